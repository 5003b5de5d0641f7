//! Loads keys from their sources: a secret on the command line, a PEM file, a JWK or JWK set.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::keys::{Algorithm, Key, KeyError, jwk, pem};

/// The longest key file that is read: a thousand RSA keys of 4,096 bits. The limit keeps a wrong path (a log, a disk
/// image) from filling the memory.
pub const KEY_FILE_BYTES_MAX: u64 = 1 << 20;

/// An HMAC key for HS256, HS384 or HS512.
///
/// A secret of any length above zero is accepted: the configuration decides whether it is too short.
///
/// # Errors
/// [`KeyError::SecretEmpty`], or [`KeyError::AlgorithmUnfit`] for an algorithm that is not HMAC.
pub fn secret(bytes: &[u8], algorithm: Algorithm) -> Result<Key, KeyError> {
    Key::secret(bytes, algorithm)
}

/// The keys in `text`, at least one.
///
/// - PEM: one or more blocks `PUBLIC KEY` (SubjectPublicKeyInfo, RFC 7468 section 13) or `RSA PUBLIC KEY`
///   (PKCS#1). Such a key has no `kid`. RSA is pinned to RS256, a curve to its algorithm: ES256, ES384, ES512 or
///   EdDSA.
/// - A JSON Web Key, or a set of them (RFC 7517): RSA, EC, OKP with Ed25519, oct. A key without `alg` is pinned in the
///   same way, and oct to HS256. Private members are never read. Keys of a set for another purpose (another `use`, an
///   unknown `kty`, `crv` or `alg`) are skipped, as section 5 requires.
///
/// # Errors
/// What is wrong with the text, with the line or the key.
pub fn text(text: &str) -> Result<Vec<Key>, KeyError> {
    if text.trim_start().starts_with('{') {
        jwk::keys(text)
    } else if text.contains(pem::BEGIN) {
        pem::blocks(text)?.iter().map(public_key).collect()
    } else {
        Err(KeyError::FormatUnknown)
    }
}

/// The text of a file of limited length.
pub(super) fn read(path: &Path) -> Result<String, KeyError> {
    let mut content = String::new();
    File::open(path)?.take(KEY_FILE_BYTES_MAX + 1).read_to_string(&mut content)?;
    if content.len() as u64 > KEY_FILE_BYTES_MAX {
        return Err(KeyError::FileTooLong(KEY_FILE_BYTES_MAX));
    }
    Ok(content)
}

/// The key of one PEM block.
fn public_key(block: &pem::Block<'_>) -> Result<Key, KeyError> {
    let advice = match block.label {
        "RSA PUBLIC KEY" => return Key::rsa_der(&block.der, Algorithm::RS256),
        "PUBLIC KEY" => return any_public_key(block),
        "CERTIFICATE" => "configure its public key (openssl x509 -pubkey -noout)",
        label if label.ends_with("PRIVATE KEY") => "the gate needs only the public key (openssl pkey -pubout)",
        _ => "a public key was expected",
    };
    Err(KeyError::PemUnfit { line: block.line, label: block.label.to_owned(), advice })
}

/// The key of a SubjectPublicKeyInfo, which names its type: each parser accepts only its own type.
fn any_public_key(block: &pem::Block<'_>) -> Result<Key, KeyError> {
    match Key::rsa_der(&block.der, Algorithm::RS256) {
        Err(KeyError::KeyMalformed(_)) => {}
        result => return result,
    }
    [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512]
        .into_iter()
        .map(|algorithm| Key::ec(&block.der, algorithm))
        .chain([Key::ed25519(&block.der)])
        .find_map(Result::ok)
        .ok_or(KeyError::PemMalformed { line: block.line, problem: "it is not a key of RSA, a P curve or Ed25519" })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::keys::file::KeyFile;

    const RSA: &str = include_str!("../../tests/keys/rsa2048.public.pem");
    const RSA_PKCS1: &str = include_str!("../../tests/keys/rsa2048.pkcs1.pem");
    const RSA_SMALL: &str = include_str!("../../tests/keys/rsa1024.public.pem");
    const RSA_PRIVATE: &str = include_str!("../../tests/keys/rsa2048.private.pem");
    const P256: &str = include_str!("../../tests/keys/p256.public.pem");
    const P384: &str = include_str!("../../tests/keys/p384.public.pem");
    const P521: &str = include_str!("../../tests/keys/p521.public.pem");
    const ED25519: &str = include_str!("../../tests/keys/ed25519.public.pem");

    fn algorithms(content: &str) -> Vec<Algorithm> {
        let keys = text(content).unwrap();
        keys.iter().map(Key::algorithm).collect()
    }

    #[test]
    fn a_pem_key_is_pinned_by_its_type() {
        for (content, algorithm, why) in [
            (RSA, Algorithm::RS256, "SubjectPublicKeyInfo"),
            (RSA_PKCS1, Algorithm::RS256, "PKCS#1"),
            (P256, Algorithm::ES256, "pinned by its curve"),
            (P384, Algorithm::ES384, "pinned by its curve"),
            (P521, Algorithm::ES512, "pinned by its curve"),
            (ED25519, Algorithm::EdDSA, "Ed25519 has one algorithm"),
        ] {
            assert_eq!(algorithms(content), [algorithm], "{why}");
        }
        let both = format!("{RSA}{P256}");
        assert_eq!(algorithms(&both), [Algorithm::RS256, Algorithm::ES256]);
    }

    #[test]
    fn a_text_without_public_keys_is_refused_with_its_reason() {
        let broken = P256.replace("MF", "MG");
        for (content, message, why) in [
            ("", "neither a PEM", "an empty file"),
            ("ssh-ed25519 AAAA", "neither a PEM", "another format"),
            (RSA_SMALL, "1024 bits", "a key that is too short"),
            (RSA_PRIVATE, "only the public key", "a private key"),
            (broken.as_str(), "not a key of", "DER of an unknown type"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x509 -pubkey", "a certificate"),
        ] {
            let error = text(content).unwrap_err().to_string();
            assert!(error.contains(message), "{why}: {error}");
        }
    }

    #[test]
    fn the_error_for_a_file_names_its_path() {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        let path = written.path().to_owned();
        written.write_all(b"no key\n").unwrap();
        let file = |path: &Path| KeyFile::open(path).map(|(_, keys)| keys);
        let error = file(&path).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");

        written.write_all(P256.as_bytes()).unwrap();
        assert_eq!(file(&path).unwrap().len(), 1);

        let long = vec![b'x'; KEY_FILE_BYTES_MAX as usize + 1];
        written.write_all(&long).unwrap();
        let error = file(&path).unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");

        let error = file(Path::new("/nowhere/keys.pem")).unwrap_err();
        assert!(error.to_string().contains("cannot be read"));
    }
}
