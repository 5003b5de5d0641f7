//! The verifiers that are compared: the gate's, jsonwebtoken, and the bare cryptographic primitives that both need.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac as aws_hmac;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use ed25519_dalek::{Verifier as _, VerifyingKey};
use gatekeeper::keys::{Algorithm, Ring, Store, load};
use gatekeeper::verify::{Policy, Verifier};
use hmac::KeyInit;
use hmac::block_api::HmacCore;
use hmac::digest::block_api::{Buffer, EagerHash, FixedOutputCore, UpdateCore};
use hmac::digest::{CtOutput, Output};
use jsonwebtoken::{DecodingKey, Validation};
use sha2::{Sha256, Sha384, Sha512};

use crate::inputs::SECRET;
use crate::sign::der;

const RSA: &str = include_str!("../../server/tests/keys/rsa2048.public.pem");
const P256: &str = include_str!("../../server/tests/keys/p256.public.pem");
const P384: &str = include_str!("../../server/tests/keys/p384.public.pem");
const P521: &str = include_str!("../../server/tests/keys/p521.public.pem");
const ED25519: &str = include_str!("../../server/tests/keys/ed25519.public.pem");
const JWKS: &str = include_str!("../../server/tests/keys/jwks.json");

/// A verifier with the key for `algorithm` alone and the default policy.
///
/// # Panics
/// When the key in the tests' folder is invalid.
pub fn verifier(algorithm: Algorithm) -> Verifier {
    with_keys(vec![public_key(algorithm)])
}

/// A verifier of HS256 tokens by any of these secrets, which have no `kid`.
///
/// # Panics
/// When a secret is empty.
pub fn verifier_of_secrets(secrets: &[&[u8]]) -> Verifier {
    with_keys(secrets.iter().map(|secret| load::secret(secret, Algorithm::HS256).expect("a secret")).collect())
}

fn with_keys(keys: Vec<gatekeeper::keys::Key>) -> Verifier {
    let ring = Ring::new(keys).expect("no two of one name");
    let store: Store = Arc::new(ArcSwap::from_pointee(ring));
    Verifier::new(store, Arc::new(Policy::default()))
}

/// The arguments of `jsonwebtoken::decode` for the same token: the prepared key, and the same rules as far as it has them.
/// `None` for an algorithm that jsonwebtoken lacks.
///
/// # Panics
/// When the key in the tests' folder is invalid.
pub fn rival_key(algorithm: Algorithm) -> Option<(DecodingKey, Validation)> {
    // jsonwebtoken has no P-521.
    let rival = algorithm.as_str().parse().ok()?;
    let key = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Ok(DecodingKey::from_secret(SECRET)),
        Algorithm::ES256 => DecodingKey::from_ec_pem(P256.as_bytes()),
        Algorithm::ES384 => DecodingKey::from_ec_pem(P384.as_bytes()),
        Algorithm::EdDSA => DecodingKey::from_ed_pem(ED25519.as_bytes()),
        _ => DecodingKey::from_rsa_pem(RSA.as_bytes()),
    };
    let mut validation = Validation::new(rival);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.required_spec_claims.clear();
    Some((key.expect("a public key"), validation))
}

/// A prepared key of a library, without the rules for tokens.
pub enum Primitive {
    /// HMAC of RustCrypto: the core without the buffered wrapper, which takes a sixth longer.
    Sha256(HmacCore<Sha256>),
    /// HMAC of RustCrypto.
    Sha384(HmacCore<Sha384>),
    /// HMAC of RustCrypto.
    Sha512(HmacCore<Sha512>),
    /// HMAC of aws-lc-rs.
    AwsSecret(Box<aws_hmac::Key>),
    /// A public key of aws-lc-rs.
    AwsPublic(ParsedPublicKey),
    /// ed25519-dalek.
    Dalek(Box<VerifyingKey>),
}

impl Primitive {
    /// The fastest library's key for `algorithm`, then that of aws-lc-rs if it is another library.
    ///
    /// # Panics
    /// When the key in the tests' folder is invalid.
    pub fn all(algorithm: Algorithm) -> Vec<Self> {
        let aws_hmac = |digest| Self::AwsSecret(Box::new(aws_hmac::Key::new(digest, SECRET)));
        let aws = |algorithm: &'static dyn VerificationAlgorithm, pem| {
            let key = ParsedPublicKey::new(algorithm, der(pem));
            Self::AwsPublic(key.expect("a public key"))
        };
        let any_length = "HMAC takes keys of any length";
        match algorithm {
            Algorithm::HS256 => {
                let core = HmacCore::new_from_slice(SECRET).expect(any_length);
                vec![Self::Sha256(core), aws_hmac(aws_hmac::HMAC_SHA256)]
            }
            Algorithm::HS384 => {
                let core = HmacCore::new_from_slice(SECRET).expect(any_length);
                vec![Self::Sha384(core), aws_hmac(aws_hmac::HMAC_SHA384)]
            }
            Algorithm::HS512 => {
                let core = HmacCore::new_from_slice(SECRET).expect(any_length);
                vec![Self::Sha512(core), aws_hmac(aws_hmac::HMAC_SHA512)]
            }
            Algorithm::RS256 => vec![aws(&signature::RSA_PKCS1_2048_8192_SHA256, RSA)],
            Algorithm::RS384 => vec![aws(&signature::RSA_PKCS1_2048_8192_SHA384, RSA)],
            Algorithm::RS512 => vec![aws(&signature::RSA_PKCS1_2048_8192_SHA512, RSA)],
            Algorithm::PS256 => vec![aws(&signature::RSA_PSS_2048_8192_SHA256, RSA)],
            Algorithm::PS384 => vec![aws(&signature::RSA_PSS_2048_8192_SHA384, RSA)],
            Algorithm::PS512 => vec![aws(&signature::RSA_PSS_2048_8192_SHA512, RSA)],
            Algorithm::ES256 => vec![aws(&signature::ECDSA_P256_SHA256_FIXED, P256)],
            Algorithm::ES384 => vec![aws(&signature::ECDSA_P384_SHA384_FIXED, P384)],
            Algorithm::ES512 => vec![aws(&signature::ECDSA_P521_SHA512_FIXED, P521)],
            Algorithm::EdDSA => {
                let der = der(ED25519);
                let point = der.last_chunk().expect("32 bytes");
                let key = VerifyingKey::from_bytes(point).expect("a public key");
                vec![Self::Dalek(Box::new(key)), aws(&signature::ED25519, ED25519)]
            }
        }
    }

    /// Whether `signature` is valid for `message`.
    #[inline]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Sha256(state) => is_tag(state, message, signature),
            Self::Sha384(state) => is_tag(state, message, signature),
            Self::Sha512(state) => is_tag(state, message, signature),
            Self::AwsSecret(key) => aws_hmac::verify(key, message, signature).is_ok(),
            Self::AwsPublic(key) => key.verify_sig(message, signature).is_ok(),
            Self::Dalek(key) => ed25519_dalek::Signature::from_slice(signature)
                .and_then(|signature| key.verify(message, &signature))
                .is_ok(),
        }
    }
}

fn is_tag<D: EagerHash>(state: &HmacCore<D>, message: &[u8], tag: &[u8]) -> bool {
    let Ok(tag) = <&Output<HmacCore<D>>>::try_from(tag) else {
        return false;
    };
    let mut state = state.clone();
    let mut buffer = Buffer::<HmacCore<D>>::default();
    buffer.digest_blocks(message, |blocks| state.update_blocks(blocks));
    let mut computed = Output::<HmacCore<D>>::default();
    state.finalize_fixed_core(&mut buffer, &mut computed);
    CtOutput::<HmacCore<D>>::new(computed) == CtOutput::from(tag)
}

/// The gate's key for `algorithm`. It is loaded as a JSON Web Key, which names its algorithm, because an RSA key can be used
/// with six algorithms.
fn public_key(algorithm: Algorithm) -> gatekeeper::keys::Key {
    let kid = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            return load::secret(SECRET, algorithm).expect("a secret");
        }
        Algorithm::ES256 => "p256",
        Algorithm::ES384 => "p384",
        Algorithm::ES512 => "p521",
        Algorithm::EdDSA => "ed25519",
        _ => "rsa2048",
    };
    let set: serde_json::Value = serde_json::from_str(JWKS).expect("JSON");
    let mut jwk = set["keys"]
        .as_array()
        .and_then(|keys| keys.iter().find(|jwk| jwk["kid"] == kid))
        .expect("a key for each kind")
        .clone();
    jwk["alg"] = algorithm.as_str().into();
    if let Some(members) = jwk.as_object_mut() {
        // The tokens have no `kid`, like those of the frontend.
        members.remove("kid");
    }
    load::text(&jwk.to_string()).expect("a public key").remove(0)
}
