//! One key, parsed once and pinned to one algorithm.

use std::fmt;

use aws_lc_rs::rsa::PublicKey as RsaPublicKey;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use ed25519_dalek::{Signature, Verifier, VerifyingKey};

use crate::keys::mac::Mac;
use crate::keys::{Algorithm, KeyError};

/// A parsed key. It checks signatures of exactly one algorithm, whatever the header of a token says.
///
/// Neither `Debug` nor any error shows the key material.
pub struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    prepared: Prepared,
}

/// The key material, parsed by the library that checks its signatures fastest (see the benchmarks).
enum Prepared {
    /// Boxed, because the states of SHA-512 are much larger than a public key.
    Secret(Box<Mac>),
    /// RSA and ECDSA.
    Public(ParsedPublicKey),
    /// Ed25519: the decompressed point, never one of low order.
    Edwards(Box<VerifyingKey>),
}

impl Key {
    /// The name by which the `kid` of a token selects this key, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm that the key is pinned to.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether this is a public key. Its signature check takes about a hundred times as long as a MAC.
    #[inline]
    pub fn is_public(&self) -> bool {
        !matches!(self.prepared, Prepared::Secret(_))
    }

    /// The same key under the name `kid`.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Whether `signature` is this key's signature over `message`.
    ///
    /// A MAC is compared in constant time. An ECDSA signature is `r || s` of fixed length (RFC 7518 section
    /// 3.4). An Ed25519 signature has its `S` below the group's order and its `R` in canonical form (RFC 8032
    /// section 5.1.7): nobody can derive a second valid signature from it.
    #[inline]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verdict: Result<_, ()> = self.verify_after(message, || Ok((signature, ())));
        verdict.is_ok_and(|(is_good, ())| is_good)
    }

    /// [`verify`](Self::verify) for a signature that `prepare` returns, together with other results. The computation of
    /// a MAC starts before the call.
    ///
    /// # Errors
    /// The error of `prepare`.
    #[inline]
    pub(crate) fn verify_after<'t, T, E>(
        &self,
        message: &[u8],
        prepare: impl FnOnce() -> Result<(&'t [u8], T), E>,
    ) -> Result<(bool, T), E> {
        match &self.prepared {
            Prepared::Secret(mac) => mac.verify_after(message, prepare),
            Prepared::Public(key) => {
                let (signature, prepared) = prepare()?;
                Ok((key.verify_sig(message, signature).is_ok(), prepared))
            }
            Prepared::Edwards(key) => {
                let (signature, prepared) = prepare()?;
                let verdict = Signature::from_slice(signature).and_then(|signature| key.verify(message, &signature));
                Ok((verdict.is_ok(), prepared))
            }
        }
    }

    /// The key of an HMAC secret.
    pub(super) fn secret(bytes: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        if bytes.is_empty() {
            return Err(KeyError::SecretEmpty);
        }
        let mac = Mac::new(bytes, algorithm).ok_or_else(|| unfit("a secret", algorithm))?;
        Ok(Self::of(algorithm, Prepared::Secret(Box::new(mac))))
    }

    /// An RSA public key as SubjectPublicKeyInfo or PKCS#1, both DER.
    pub(super) fn rsa_der(der: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        let parameters = rsa_parameters(algorithm)?;
        let material = "an RSA public key";
        let parsed = RsaPublicKey::from_der(der).map_err(|_| malformed(material))?;
        let bits = RsaParameters::public_modulus_len(parsed.as_ref()).map_err(|_| malformed(material))?;
        let accepted = parameters.min_modulus_len()..=parameters.max_modulus_len();
        if !accepted.contains(&bits) {
            return Err(KeyError::RsaSize(bits));
        }
        Self::public(parameters, der, algorithm, material)
    }

    /// An RSA public key as modulus and exponent, both big-endian.
    pub(super) fn rsa(n: &[u8], e: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        let components = signature::RsaPublicKeyComponents { n: without_leading_zeros(n), e: without_leading_zeros(e) };
        let parsed =
            components.to_parsed_public_key(rsa_parameters(algorithm)?).map_err(|_| malformed("an RSA public key"))?;
        // Converted to DER, so that size and form are checked in one place.
        Self::rsa_der(parsed.as_ref(), algorithm)
    }

    /// An elliptic-curve public key: an uncompressed point, or SubjectPublicKeyInfo in DER.
    pub(super) fn ec(bytes: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        let (scheme, material): (&'static dyn VerificationAlgorithm, _) = match algorithm {
            Algorithm::ES256 => (&signature::ECDSA_P256_SHA256_FIXED, "a P-256 public key"),
            Algorithm::ES384 => (&signature::ECDSA_P384_SHA384_FIXED, "a P-384 public key"),
            Algorithm::ES512 => (&signature::ECDSA_P521_SHA512_FIXED, "a P-521 public key"),
            _ => return Err(unfit("an elliptic-curve key", algorithm)),
        };
        Self::public(scheme, bytes, algorithm, material)
    }

    /// An Ed25519 public key: its 32 bytes, or SubjectPublicKeyInfo in DER.
    pub(super) fn ed25519(bytes: &[u8]) -> Result<Self, KeyError> {
        let material = "an Ed25519 public key";
        let point = bytes.strip_prefix(&ED25519_DER_PREFIX).unwrap_or(bytes);
        let key = VerifyingKey::try_from(point).map_err(|_| malformed(material))?;
        // With a point of low order a forged signature is valid for almost every message.
        if key.is_weak() {
            return Err(malformed(material));
        }
        Ok(Self::of(Algorithm::EdDSA, Prepared::Edwards(Box::new(key))))
    }

    fn public(
        scheme: &'static dyn VerificationAlgorithm,
        bytes: &[u8],
        algorithm: Algorithm,
        material: &'static str,
    ) -> Result<Self, KeyError> {
        let parsed = ParsedPublicKey::new(scheme, bytes).map_err(|_| malformed(material))?;
        Ok(Self::of(algorithm, Prepared::Public(parsed)))
    }

    fn of(algorithm: Algorithm, prepared: Prepared) -> Self {
        Self { kid: None, algorithm, prepared }
    }
}

/// The bytes before the 32 of the point in a SubjectPublicKeyInfo: two sequences, the object identifier 1.3.101.112, a
/// bit string (RFC 8410 section 4).
const ED25519_DER_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Key").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Result<&'static RsaParameters, KeyError> {
    Ok(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return Err(unfit("an RSA key", algorithm)),
    })
}

/// RFC 7518 section 6.3.1.1 forbids leading zeros, but some encoders write one.
fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn unfit(material: &'static str, algorithm: Algorithm) -> KeyError {
    KeyError::AlgorithmUnfit { material, algorithm }
}

fn malformed(material: &'static str) -> KeyError {
    KeyError::KeyMalformed(material)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_accepted_for_hmac_only() {
        for algorithm in Algorithm::ALL {
            let is_hmac = algorithm.as_str().starts_with("HS");
            let key = Key::secret(b"secret", algorithm);
            assert_eq!(key.is_ok(), is_hmac, "{algorithm}");
        }
        assert!(matches!(Key::secret(b"", Algorithm::HS256), Err(KeyError::SecretEmpty)), "anybody knows it");
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = Key::secret(b"my_super_secret_key", Algorithm::HS256).unwrap();
        let shown = format!("{:?}", key.with_kid("demo"));
        assert_eq!(shown, r#"Key { kid: Some("demo"), algorithm: HS256, .. }"#);
    }

    #[test]
    fn leading_zeros_are_removed() {
        for (bytes, rest, why) in [
            (&[0, 0, 1, 0][..], &[1, 0][..], "only those at the start"),
            (&[0], &[], "a zero becomes empty"),
            (&[], &[], "an empty number stays empty"),
        ] {
            assert_eq!(without_leading_zeros(bytes), rest, "{why}");
        }
    }
}
