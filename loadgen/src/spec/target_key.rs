//! The target's key, where it is known: it signs the invalid tokens whose signature must be valid.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, crypto};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::ground::values::InputError;
use crate::spec::secret::Secret;
use crate::spec::signing::{read_key, unknown_key};

/// The target's signing key and its public key, each where it is known.
#[derive(Clone, Debug, Default)]
pub struct TargetKey {
    signing: Option<Arc<EncodingKey>>,
    /// As the target may keep it: the text of a PEM file (RFC 7468 section 13).
    public_pem: Option<Arc<[u8]>>,
}

/// The error of `alg-confused` without the target's public key.
pub const NO_PUBLIC_KEY: &str = "it is an HMAC over the target's public key: give --key FILE.pem, the target's public or \
                                 private RSA, EC or Ed25519 key; a target that checks with a shared secret has none to confuse";

/// The error of kinds that need the target's signing key.
pub const NO_SIGNING_KEY: &str = "its signature must be the target's: give --secret env:NAME, or --key FILE.pem with the \
                                  private key";

impl TargetKey {
    /// A shared secret.
    pub fn from_secret(secret: &Secret) -> Self {
        Self { signing: Some(Arc::new(EncodingKey::from_secret(secret.expose()))), public_pem: None }
    }

    /// A PEM file: a private key, whose public one follows from it, or a public key alone.
    pub fn from_file(path: &Path) -> Result<Self, InputError> {
        let pem = read_key(path)?;
        if pem.trim_ascii_start().starts_with(b"-----BEGIN PUBLIC KEY-----") {
            return Ok(Self { signing: None, public_pem: Some(pem.into()) });
        }
        let signing = [EncodingKey::from_rsa_pem, EncodingKey::from_ec_pem, EncodingKey::from_ed_pem]
            .iter()
            .find_map(|read| read(&pem).ok());
        match (signing, public_pem(&pem)) {
            (Some(signing), Some(public)) => {
                Ok(Self { signing: Some(Arc::new(signing)), public_pem: Some(public.into_bytes().into()) })
            }
            _ => Err(unknown_key(path)),
        }
    }

    /// Whether the signing key is known.
    pub fn is_signing(&self) -> bool {
        self.signing.is_some()
    }

    /// The public key as PEM.
    pub fn public_pem(&self) -> Option<&[u8]> {
        self.public_pem.as_deref()
    }

    /// The signature of `message` in base64url. `None`: no signing key of this algorithm is known.
    pub fn sign(&self, message: &[u8], alg: Algorithm) -> Option<String> {
        crypto::sign(message, self.signing.as_ref()?, alg).ok()
    }

    /// Whether this key made the signature, which is in base64url.
    pub fn has_signed(&self, message: &[u8], signature: &str, alg: Algorithm) -> bool {
        let read = match alg.family() {
            // An HMAC is checked by signing again.
            AlgorithmFamily::Hmac => return self.sign(message, alg).as_deref() == Some(signature),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem,
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem,
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem,
        };
        let key = self.public_pem().and_then(|pem| read(pem).ok());
        key.is_some_and(|key| crypto::verify(signature, message, &key, alg).unwrap_or(false))
    }
}

/// The public key of a private one in PEM.
fn public_pem(private: &[u8]) -> Option<String> {
    let der: PublicKeyX509Der<'_> = match PrivateKeyDer::from_pem_slice(private).ok()? {
        PrivateKeyDer::Pkcs1(der) => {
            let pair = rsa::KeyPair::from_der(der.secret_pkcs1_der()).ok()?;
            pair.public_key().as_der().ok()?
        }
        PrivateKeyDer::Pkcs8(der) => pkcs8_public(der.secret_pkcs8_der())?,
        _ => return None,
    };
    Some(pem("PUBLIC KEY", der.as_ref()))
}

fn pkcs8_public(der: &[u8]) -> Option<PublicKeyX509Der<'static>> {
    if let Ok(pair) = rsa::KeyPair::from_pkcs8(der) {
        return pair.public_key().as_der().ok();
    }
    for curve in [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING] {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve, der) {
            return pair.public_key().as_der().ok();
        }
    }
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    pair.public_key().as_der().ok()
}

/// DER as PEM (RFC 7468 section 2), as every tool writes it.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    /// Characters of a line (RFC 7468 section 2).
    const LINE: usize = 64;
    let text = base64_simd::STANDARD.encode_to_string(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (place, letter) in text.chars().enumerate() {
        if place > 0 && place % LINE == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem + &format!("\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"header.claims";

    #[test]
    fn private_and_public_keys_verify_their_own_signatures() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        for (made_for, alg) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::ES384),
            (&rcgen::PKCS_ED25519, Algorithm::EdDSA),
        ] {
            let pair = rcgen::KeyPair::generate_for(made_for).unwrap();
            std::fs::write(&path, pair.serialize_pem()).unwrap();
            let key = TargetKey::from_file(&path).unwrap();
            let public = String::from_utf8(key.public_pem().unwrap().to_vec()).unwrap();
            assert_eq!(public.trim(), pair.public_key_pem().replace('\r', "").trim(), "{alg:?}");
            let signature = key.sign(MESSAGE, alg).unwrap();
            assert!(key.has_signed(MESSAGE, &signature, alg), "{alg:?}");
            assert!(!key.has_signed(b"other", &signature, alg), "{alg:?}");

            std::fs::write(&path, pair.public_key_pem()).unwrap();
            let public = TargetKey::from_file(&path).unwrap();
            assert!(!public.is_signing() && public.sign(MESSAGE, alg).is_none());
            assert!(public.has_signed(MESSAGE, &signature, alg), "the public key is enough");
        }
        std::fs::write(&path, "no key").unwrap();
        assert!(TargetKey::from_file(&path).is_err());
    }

    #[test]
    fn a_secret_verifies_its_own_signatures() {
        let key = TargetKey::from_secret(&Secret::new(*b"one secret"));
        let other = TargetKey::from_secret(&Secret::new(*b"another"));
        let signature = key.sign(MESSAGE, Algorithm::HS384).unwrap();
        assert!(key.has_signed(MESSAGE, &signature, Algorithm::HS384));
        assert!(!key.has_signed(MESSAGE, &signature, Algorithm::HS256));
        assert!(!other.has_signed(MESSAGE, &signature, Algorithm::HS384));
        assert!(key.sign(MESSAGE, Algorithm::RS256).is_none(), "another family");
        assert_eq!(key.public_pem(), None);
    }
}
