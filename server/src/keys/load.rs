//! Loads keys from their sources: a secret on the command line, a PEM file, a JWK or JWK set.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::keys::{Algorithm, Key, KeyError, jwk, pem};

/// The longest key file that is read: a thousand RSA keys of 4,096 bits. A wrong path (a log, a disk image) must not fill
/// the memory.
pub const KEY_FILE_BYTES_MAX: u64 = 1 << 20;

/// An HMAC key for HS256, HS384 or HS512.
///
/// A secret of any length above zero is accepted; the configuration reads its length from [`Key::secret_bytes`] and
/// decides about short ones.
///
/// # Errors
/// [`KeyError::SecretEmpty`], or [`KeyError::AlgorithmUnfit`] for an algorithm that is not HMAC.
pub fn secret(bytes: &[u8], algorithm: Algorithm) -> Result<Key, KeyError> {
    Key::secret(bytes, algorithm)
}

/// The keys of a file, of which there is at least one; see [`text`] for the formats.
///
/// # Errors
/// [`KeyError::File`], with the path and what is wrong.
pub fn file(path: &Path) -> Result<Vec<Key>, KeyError> {
    read(path)
        .and_then(|content| text(&content))
        .map_err(|source| KeyError::File { path: path.to_owned(), source: Box::new(source) })
}

/// The keys in `text`, of which there is at least one.
///
/// - PEM: one or more blocks `PUBLIC KEY` (SubjectPublicKeyInfo, RFC 7468 section 13) or `RSA PUBLIC KEY`
///   (PKCS#1). They have no `kid` and are pinned to RS256, to ES256, ES384 or ES512 by their curve, or to
///   EdDSA.
/// - A JSON Web Key, or a set of them (RFC 7517): RSA, EC, OKP with Ed25519, oct. A key without `alg` is
///   pinned likewise, and oct to HS256. Private members are never read. Keys of a set for another purpose
///   (another `use`, an unknown `kty`, `crv` or `alg`) are skipped, as section 5 asks.
///
/// # Errors
/// What is wrong with the text, by line or by key.
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
        return Err(KeyError::FileTooLong { bytes_max: KEY_FILE_BYTES_MAX });
    }
    Ok(content)
}

/// The key of one PEM block.
fn public_key(block: &pem::Block<'_>) -> Result<Key, KeyError> {
    let advice = match block.label {
        "RSA PUBLIC KEY" => return Key::rsa_der(&block.der, Algorithm::RS256),
        "PUBLIC KEY" => return any_public_key(block),
        "CERTIFICATE" => "give its public key (openssl x509 -pubkey -noout)",
        label if label.ends_with("PRIVATE KEY") => "the gate needs its public half alone (openssl pkey -pubout)",
        _ => "a public key was expected",
    };
    Err(KeyError::PemUnfit { line: block.line, label: block.label.to_owned(), advice })
}

/// The key of a SubjectPublicKeyInfo, which names its kind: each parser accepts its own kind alone.
fn any_public_key(block: &pem::Block<'_>) -> Result<Key, KeyError> {
    match Key::rsa_der(&block.der, Algorithm::RS256) {
        Err(KeyError::KeyMalformed { .. }) => {}
        decided => return decided,
    }
    [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512]
        .into_iter()
        .map(|algorithm| Key::ec(&block.der, algorithm))
        .chain([Key::ed25519(&block.der)])
        .find_map(Result::ok)
        .ok_or(KeyError::PemMalformed {
            line: block.line,
            problem: "it is no public key on RSA, P-256, P-384, P-521 or Ed25519",
        })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

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
    fn a_pem_key_is_pinned_by_its_kind() {
        for (content, algorithm, why) in [
            (RSA, Algorithm::RS256, "SubjectPublicKeyInfo"),
            (RSA_PKCS1, Algorithm::RS256, "PKCS#1"),
            (P256, Algorithm::ES256, "by curve"),
            (P384, Algorithm::ES384, "by curve"),
            (P521, Algorithm::ES512, "by curve"),
            (ED25519, Algorithm::EdDSA, "Ed25519 has one algorithm"),
        ] {
            assert_eq!(algorithms(content), [algorithm], "{why}");
        }
        let both = format!("{RSA}{P256}");
        assert_eq!(algorithms(&both), [Algorithm::RS256, Algorithm::ES256]);
    }

    #[test]
    fn the_error_says_why_a_text_has_no_public_key() {
        let broken = P256.replace("MF", "MG");
        for (content, message, why) in [
            ("", "neither a PEM", "an empty file"),
            ("ssh-ed25519 AAAA", "neither a PEM", "another format"),
            (RSA_SMALL, "1024 bits", "too small a key"),
            (RSA_PRIVATE, "public half", "a private key"),
            (broken.as_str(), "no public key on", "DER of nothing known"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x509 -pubkey", "a certificate"),
        ] {
            let error = text(content).unwrap_err().to_string();
            assert!(error.contains(message), "{why}: {error}");
        }
    }

    #[test]
    fn the_error_names_the_file() {
        let mut empty = tempfile::NamedTempFile::new().unwrap();
        let path = empty.path().to_owned();
        let error = file(&path).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");

        empty.write_all(P256.as_bytes()).unwrap();
        assert_eq!(file(&path).unwrap().len(), 1);

        let long = vec![b'x'; KEY_FILE_BYTES_MAX as usize + 1];
        empty.write_all(&long).unwrap();
        let error = file(&path).unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");

        let error = file(Path::new("/nowhere/keys.pem")).unwrap_err();
        assert!(error.to_string().contains("cannot be read"));
    }
}
