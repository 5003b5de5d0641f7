//! Signs many tokens with a key that is parsed once.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaEncoding, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use gatekeeper::keys::Algorithm;

use crate::inputs::{CLAIMS, SECRET};

/// A private key and its algorithm.
pub struct Signer {
    algorithm: Algorithm,
    key: Key,
}

enum Key {
    Secret(Box<hmac::Key>),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Elliptic(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

impl Signer {
    /// The signer whose tokens [`verifier`](crate::verifier) of the same algorithm accepts.
    ///
    /// # Panics
    /// When the key in the tests' folder is invalid.
    pub fn new(algorithm: Algorithm) -> Self {
        let key = match algorithm {
            Algorithm::HS256 => return Self::of_secret(SECRET),
            Algorithm::HS384 => Key::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA384, SECRET))),
            Algorithm::HS512 => Key::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA512, SECRET))),
            Algorithm::RS256 => rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::RS384 => rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::RS512 => rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::PS256 => rsa(&signature::RSA_PSS_SHA256),
            Algorithm::PS384 => rsa(&signature::RSA_PSS_SHA384),
            Algorithm::PS512 => rsa(&signature::RSA_PSS_SHA512),
            Algorithm::ES256 => elliptic(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, P256),
            Algorithm::ES384 => elliptic(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, P384),
            Algorithm::ES512 => elliptic(&signature::ECDSA_P521_SHA512_FIXED_SIGNING, P521),
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der(ED25519));
                Key::Edwards(pair.expect("a private key"))
            }
        };
        Self { algorithm, key }
    }

    /// The signer of HS256 tokens with that secret.
    pub fn of_secret(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self { algorithm: Algorithm::HS256, key: Key::Secret(Box::new(key)) }
    }

    /// A token with the usual header and these claims.
    pub fn token(&self, claims: &str) -> String {
        let header = format!(r#"{{"typ":"JWT","alg":"{}"}}"#, self.algorithm);
        self.token_with(&header, claims)
    }

    /// A token with this header and these claims, which may be invalid.
    ///
    /// # Panics
    /// When the key does not sign.
    pub fn token_with(&self, header: &str, claims: &str) -> String {
        let mut token = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_append(signature, &mut token);
        token
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Secret(key) => hmac::sign(key, message).as_ref().to_vec(),
            Key::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
            Key::Elliptic(pair) => pair.sign(&random, message).expect("a key that signs").as_ref().to_vec(),
            Key::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*padding, &random, message, &mut signature).expect("a key that signs");
                signature
            }
        }
    }
}

/// The signed part of a token, and its decoded signature.
///
/// # Panics
/// When the text is no token.
pub fn parts(token: &str) -> (&[u8], Vec<u8>) {
    let (signed, signature) = token.rsplit_once('.').expect("a token");
    let signature = URL_SAFE_NO_PAD.decode_to_vec(signature).expect("base64url");
    (signed.as_bytes(), signature)
}

const RSA: &str = include_str!("../../server/tests/keys/rsa2048.private.pem");
const P256: &str = include_str!("../../server/tests/keys/p256.private.pem");
const P384: &str = include_str!("../../server/tests/keys/p384.private.pem");
const P521: &str = include_str!("../../server/tests/keys/p521.private.pem");
const ED25519: &str = include_str!("../../server/tests/keys/ed25519.private.pem");

fn rsa(padding: &'static dyn RsaEncoding) -> Key {
    let pair = rsa::KeyPair::from_pkcs8(&der(RSA)).expect("a private key");
    Key::Rsa(Box::new(pair), padding)
}

fn elliptic(algorithm: &'static EcdsaSigningAlgorithm, pem: &str) -> Key {
    Key::Elliptic(EcdsaKeyPair::from_pkcs8(algorithm, &der(pem)).expect("a private key"))
}

pub(crate) fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode_to_vec(body).expect("a PEM block")
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// A token with [`CLAIMS`], signed with `algorithm`.
///
/// # Panics
/// When the key in the tests' folder is invalid.
pub fn token(algorithm: Algorithm) -> String {
    Signer::new(algorithm).token(CLAIMS)
}
