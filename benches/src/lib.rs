//! Fixtures of the benchmarks: one token per algorithm, in the shape that the frontend hands out, with the
//! key that each verifier checks it by.
//!
//! The keys are those of the server's tests; they protect nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair};
use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use gatekeeper::keys::{Algorithm, Ring, Store, load};
use gatekeeper::verify::{Policy, Verifier};
use jsonwebtoken::{DecodingKey, EncodingKey, Validation};

/// The instant at which tokens are judged, in seconds since 1970. jsonwebtoken reads the clock by itself,
/// which is part of its price; without `exp` and `nbf` the two cannot disagree.
pub const NOW_S: u64 = 1_700_000_000;

/// The claims of the frontend's tokens: with HS256 a token of 145 bytes.
pub const CLAIMS: &str = r#"{"user":{"username":"gonzalo"},"iat":1699999999}"#;

/// The secret of every HMAC token: as long as RFC 7518 section 3.2 asks for HS256.
pub const SECRET: &[u8] = b"a test secret of thirty-two byte";

const RSA_PRIVATE: &str = include_str!("../../server/tests/keys/rsa2048.private.pem");
const RSA_PUBLIC: &str = include_str!("../../server/tests/keys/rsa2048.public.pem");
const P256_PRIVATE: &str = include_str!("../../server/tests/keys/p256.private.pem");
const P256_PUBLIC: &str = include_str!("../../server/tests/keys/p256.public.pem");
const P384_PRIVATE: &str = include_str!("../../server/tests/keys/p384.private.pem");
const P384_PUBLIC: &str = include_str!("../../server/tests/keys/p384.public.pem");
const P521_PRIVATE: &str = include_str!("../../server/tests/keys/p521.private.pem");
const ED25519_PRIVATE: &str = include_str!("../../server/tests/keys/ed25519.private.pem");
const ED25519_PUBLIC: &str = include_str!("../../server/tests/keys/ed25519.public.pem");
const JWKS: &str = include_str!("../../server/tests/keys/jwks.json");

/// A token with [`CLAIMS`], signed with `algorithm`.
///
/// # Panics
/// When a fixture is broken.
pub fn token(algorithm: Algorithm) -> String {
    let header = format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#);
    let signed = format!("{}.{}", encode(&header), encode(CLAIMS));
    let signature = match rival(algorithm) {
        Some(rival) => {
            let key = signing_key(algorithm);
            jsonwebtoken::crypto::sign(signed.as_bytes(), &key, rival).expect("a key that signs")
        }
        None => sign_p521(signed.as_bytes()),
    };
    format!("{signed}.{signature}")
}

/// A verifier with the key for `algorithm` alone and the default policy.
///
/// # Panics
/// When a fixture is broken.
pub fn verifier(algorithm: Algorithm) -> Verifier {
    let ring = Ring::new(vec![public_key(algorithm)]).expect("one key has no twin");
    let store: Store = Arc::new(ArcSwap::from_pointee(ring));
    Verifier::new(store, Arc::new(Policy::default()))
}

/// What `jsonwebtoken::decode` needs for the same token: the key, prepared as far as it lets, and the same
/// rules where it has them. None where it lacks the algorithm.
///
/// # Panics
/// When a fixture is broken.
pub fn rival_key(algorithm: Algorithm) -> Option<(DecodingKey, Validation)> {
    let rival = rival(algorithm)?;
    let key = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            Ok(DecodingKey::from_secret(SECRET))
        }
        Algorithm::ES256 => DecodingKey::from_ec_pem(P256_PUBLIC.as_bytes()),
        Algorithm::ES384 => DecodingKey::from_ec_pem(P384_PUBLIC.as_bytes()),
        Algorithm::EdDSA => DecodingKey::from_ed_pem(ED25519_PUBLIC.as_bytes()),
        _ => DecodingKey::from_rsa_pem(RSA_PUBLIC.as_bytes()),
    };
    let mut validation = Validation::new(rival);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.required_spec_claims.clear();
    Some((key.expect("a public key"), validation))
}

/// The algorithm by jsonwebtoken's name for it; it has no P-521.
fn rival(algorithm: Algorithm) -> Option<jsonwebtoken::Algorithm> {
    algorithm.as_str().parse().ok()
}

fn signing_key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            Ok(EncodingKey::from_secret(SECRET))
        }
        Algorithm::ES256 => EncodingKey::from_ec_pem(P256_PRIVATE.as_bytes()),
        Algorithm::ES384 => EncodingKey::from_ec_pem(P384_PRIVATE.as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(ED25519_PRIVATE.as_bytes()),
        _ => EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()),
    }
    .expect("a private key")
}

fn sign_p521(message: &[u8]) -> String {
    let body: String = P521_PRIVATE
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let der = STANDARD.decode_to_vec(body).expect("a PEM block");
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &der).expect("a private key");
    let signature = pair
        .sign(&SystemRandom::new(), message)
        .expect("a key that signs");
    encode(signature)
}

/// The gate's key for `algorithm`. An RSA key may serve six algorithms, so it is loaded as a JSON Web Key,
/// which can say which one.
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
        // The tokens have no kid, as those of the frontend.
        members.remove("kid");
    }
    let mut keys = load::text(&jwk.to_string()).expect("a public key");
    keys.remove(0)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_verifiers_accept_the_same_token() {
        for algorithm in Algorithm::ALL {
            let token = token(algorithm);
            let mut verifier = verifier(algorithm);
            let user = verifier.verify(token.as_bytes(), NOW_S).map(|it| it.user);
            assert_eq!(user, Ok(Some("gonzalo")), "{algorithm}");

            let Some((key, validation)) = rival_key(algorithm) else {
                assert_eq!(algorithm, Algorithm::ES512, "it has all the others");
                continue;
            };
            let found = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation);
            assert!(found.is_ok(), "{algorithm}: {found:?}");
        }
    }

    #[test]
    fn the_token_is_as_long_as_said() {
        assert_eq!(token(Algorithm::HS256).len(), 145);
    }
}
