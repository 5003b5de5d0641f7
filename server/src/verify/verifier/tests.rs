//! Tests with whole tokens. This file has the test keys, a signer for any header and claims, and a verifier for one
//! key.

mod allocations;
mod attacks;
mod changes;
mod good;
mod vectors;

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm};
use base64_simd::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;

use super::*;
use crate::keys::load;
use crate::verify::TOKEN_BYTES_MAX;

/// The time of verification: 2023-11-14.
const NOW_S: u64 = 1_700_000_000;

/// The secret of the keys named `secret`.
const SECRET: &[u8] = b"a test secret of thirty-two bytes";

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// The claims of the frontend's tokens.
const CLAIMS: &str = r#"{"user":{"username":"gonzalo"},"iat":1699999999}"#;

/// A verifier with these keys and the default policy.
fn verifier(keys: Vec<Key>) -> Verifier {
    verifier_with(keys, Policy::default())
}

fn verifier_with(keys: Vec<Key>, policy: Policy) -> Verifier {
    Verifier::new(store(keys), Arc::new(policy))
}

fn store(keys: Vec<Key>) -> Store {
    Arc::new(ArcSwap::from_pointee(Ring::new(keys).unwrap()))
}

fn secret() -> Key {
    load::secret(SECRET, Algorithm::HS256).unwrap()
}

/// The verdict on `token` by a verifier with [`secret`] alone.
fn verdict(token: &str) -> Result<(), Refusal> {
    verifier(vec![secret()]).verify(token.as_bytes(), NOW_S).map(|_| ())
}

/// The public key of the test key pair for `algorithm`, pinned to it, without a `kid`.
fn public_key(algorithm: Algorithm) -> Key {
    let kid = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => return load::secret(SECRET, algorithm).unwrap(),
        Algorithm::ES256 => "p256",
        Algorithm::ES384 => "p384",
        Algorithm::ES512 => "p521",
        Algorithm::EdDSA => "ed25519",
        _ => "rsa2048",
    };
    let set: serde_json::Value = serde_json::from_str(include_str!("../../../tests/keys/jwks.json")).unwrap();
    let keys = set["keys"].as_array().unwrap();
    let mut jwk = keys.iter().find(|jwk| jwk["kid"] == kid).unwrap().clone();
    jwk["alg"] = algorithm.as_str().into();
    jwk.as_object_mut().unwrap().remove("kid");
    load::text(&jwk.to_string()).unwrap().remove(0)
}

/// A token of exactly this header and these claims, signed by the test key for `algorithm`.
fn sign(algorithm: Algorithm, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = signature(algorithm, signed.as_bytes());
    format!("{signed}.{signature}")
}

/// A token signed with HS256.
fn sign_hs256(header: &str, claims: &str) -> String {
    sign(Algorithm::HS256, header, claims)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

fn signature(algorithm: Algorithm, message: &[u8]) -> String {
    let ec = |pem: &str| EncodingKey::from_ec_pem(pem.as_bytes()).unwrap();
    let key = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => EncodingKey::from_secret(SECRET),
        Algorithm::ES256 => ec(include_str!("../../../tests/keys/p256.private.pem")),
        Algorithm::ES384 => ec(include_str!("../../../tests/keys/p384.private.pem")),
        // jsonwebtoken has no P-521.
        Algorithm::ES512 => {
            let pem = include_str!("../../../tests/keys/p521.private.pem");
            return sign_ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING, pem, message);
        }
        Algorithm::EdDSA => {
            EncodingKey::from_ed_pem(include_bytes!("../../../tests/keys/ed25519.private.pem")).unwrap()
        }
        _ => EncodingKey::from_rsa_pem(include_bytes!("../../../tests/keys/rsa2048.private.pem")).unwrap(),
    };
    let algorithm = algorithm.as_str().parse().unwrap();
    jsonwebtoken::crypto::sign(message, &key, algorithm).unwrap()
}

/// The encoded signature by a private key in PEM.
fn sign_ecdsa(algorithm: &'static EcdsaSigningAlgorithm, pem: &str, message: &[u8]) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64_simd::STANDARD.decode_to_vec(body).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, &der).unwrap();
    encode(pair.sign(&SystemRandom::new(), message).unwrap())
}
