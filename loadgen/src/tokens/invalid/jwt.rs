//! A JWT taken apart and put together again (RFC 7515 section 3.1), and keys of an attacker's own.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, crypto};
use serde_json::{Map, Value};

use crate::ground::values::Token;
use crate::spec::pem;

/// The parts of a token.
pub(super) struct Jwt {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    /// In base64url.
    pub signature: String,
}

impl Jwt {
    /// Takes a token apart; `None`: it is no JWT in the compact form, or its header or claims are no JSON object.
    pub fn parse(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let object = |part: &str| {
            let json = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(part).ok()?;
            serde_json::from_slice(&json).ok()
        };
        Some(Self { header: object(header)?, claims: object(claims)?, signature: signature.to_owned() })
            .filter(|_| parts.next().is_none())
    }

    /// Its algorithm.
    pub fn alg(&self) -> Result<Algorithm, String> {
        let alg = self.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        alg.parse().map_err(|_| format!("nothing here signs {alg:?}, as the target's tokens are"))
    }

    /// What is signed.
    pub fn signing_input(&self) -> String {
        let part = |object: &Map<String, Value>| {
            let json = Value::Object(object.clone()).to_string();
            base64_simd::URL_SAFE_NO_PAD.encode_to_string(json)
        };
        format!("{}.{}", part(&self.header), part(&self.claims))
    }

    /// The whole, under this signature in base64url.
    pub fn with_signature(&self, signature: &str) -> Token {
        format!("{}.{signature}", self.signing_input()).into()
    }
}

/// A key that the target does not know.
pub(super) struct OtherKey(EncodingKey);

/// Bytes of an HMAC's secret: as many as the longest of its digests (RFC 7518 section 3.2).
const SECRET_BYTES: usize = 64;

impl OtherKey {
    /// A new key for an algorithm.
    pub fn for_alg(alg: Algorithm) -> Result<Self, String> {
        new_key(alg).map(Self).ok_or_else(|| format!("no new key can be made for {alg:?}"))
    }

    /// An HMAC with this secret.
    pub fn with_secret(secret: &[u8]) -> Self {
        Self(EncodingKey::from_secret(secret))
    }

    /// Signs.
    pub fn sign(&self, jwt: &Jwt, alg: Algorithm) -> Result<Token, String> {
        crypto::sign(jwt.signing_input().as_bytes(), &self.0, alg)
            .map(|signature| jwt.with_signature(&signature))
            .map_err(|error| format!("a new key does not sign {alg:?}: {error}"))
    }
}

fn new_key(alg: Algorithm) -> Option<EncodingKey> {
    let random = SystemRandom::new();
    match (alg.family(), alg) {
        (AlgorithmFamily::Hmac, _) => Some(EncodingKey::from_secret(&rand::random::<[u8; SECRET_BYTES]>())),
        (AlgorithmFamily::Rsa, _) => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).ok()?;
            let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
            EncodingKey::from_rsa_pem(pem("PRIVATE KEY", der.as_ref()).as_bytes()).ok()
        }
        (AlgorithmFamily::Ec, _) => {
            let curve = match alg {
                Algorithm::ES384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
                _ => &ECDSA_P256_SHA256_ASN1_SIGNING,
            };
            let der = EcdsaKeyPair::generate_pkcs8(curve, &random).ok()?;
            Some(EncodingKey::from_ec_der(der.as_ref()))
        }
        (AlgorithmFamily::Ed, _) => {
            let der = Ed25519KeyPair::generate_pkcs8(&random).ok()?;
            Some(EncodingKey::from_ed_der(der.as_ref()))
        }
    }
}
