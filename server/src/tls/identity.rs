//! The certificate and its key: two PEM files. Before use, the key is checked against the certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs};

use arc_swap::ArcSwap;
use reactor::CertificateFault;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem, pem::PemObject};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificate and key of the server, and their files.
pub struct Identity {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

/// Why certificate and key cannot be used. No error contains bytes of the key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read, or its content is not a certificate or key.
    #[error("{flag} {path}: {fault}", path = path.display())]
    File {
        /// The flag of the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        fault: String,
    },
    /// The key is not that of the certificate.
    #[error(
        "--tls-key {key}: this is not the key of the first certificate in {cert}: configure two files that belong together",
        key = key.display(), cert = cert.display()
    )]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

const CERT: &str = "--tls-cert";
const KEY: &str = "--tls-key";

impl Identity {
    /// Reads a certificate chain, which begins with the server's own, and its key. Logs a warning if the certificate is
    /// not valid at `now`.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load(cert: &Path, key: &Path, now: UnixTime) -> Result<Self, IdentityError> {
        Ok(Self { current: ArcSwap::from_pointee(read(cert, key, now)?), cert: cert.to_owned(), key: key.to_owned() })
    }

    /// Reads both files again, for all later handshakes. Logs a warning like [`load`](Self::load).
    ///
    /// # Errors
    /// [`IdentityError`]; the old certificate and key stay in use.
    pub fn reload(&self, now: UnixTime) -> Result<(), IdentityError> {
        self.current.store(Arc::new(read(&self.cert, &self.key, now)?));
        Ok(())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.cert.display())
    }
}

fn read(cert: &Path, key: &Path, now: UnixTime) -> Result<CertifiedKey, IdentityError> {
    let chain = read_chain(cert)?;
    let leaf = chain.first().ok_or_else(|| file_error(CERT, cert, "the file has no certificate".into()))?;
    let parsed = ParsedCertificate::try_from(leaf)
        .map_err(|error| file_error(CERT, cert, format!("its first certificate: {error}")))?;
    warn_of_time(&parsed, cert, now);
    let signing = default_provider()
        .key_provider
        .load_private_key(read_key(key)?)
        .map_err(|error| file_error(KEY, key, format!("the key cannot be used: {error}")))?;
    let certified = CertifiedKey::new(chain.clone(), signing);
    match certified.keys_match() {
        // If the public key cannot be computed, a mismatch shows at the first handshake.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => Err(IdentityError::Mismatch { cert: cert.to_owned(), key: key.to_owned() }),
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let text = read_file(CERT, path)?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>();
    chain.map_err(|error| file_error(CERT, path, format!("the file is not PEM: {error}")))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let text = read_file(KEY, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let fault = match error {
            pem::Error::NoItemsFound if is_encrypted(&text) => "the key is encrypted: decrypt it first",
            pem::Error::NoItemsFound => "the file has no private key",
            // The text of other errors may quote a line of the file, therefore it is not shown.
            _ => "the file is not PEM",
        };
        file_error(KEY, path, fault.to_owned())
    })
}

fn file_error(flag: &'static str, path: &Path, fault: String) -> IdentityError {
    IdentityError::File { flag, path: path.to_owned(), fault }
}

fn read_file(flag: &'static str, path: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|error| file_error(flag, path, error.to_string()))
}

fn is_encrypted(text: &[u8]) -> bool {
    const MARK: &[u8] = b"ENCRYPTED";
    text.windows(MARK.len()).any(|window| window == MARK)
}

/// Logs a warning if the certificate is expired or not valid yet. It is used anyway, because tests may need such a
/// certificate.
fn warn_of_time(leaf: &ParsedCertificate<'_>, path: &Path, now: UnixTime) {
    // There is no trusted authority, but the time is checked before the issuer.
    let no_roots = RootCertStore::empty();
    let algorithms = default_provider().signature_verification_algorithms;
    let verdict = verify_server_cert_signed_by_trust_anchor(leaf, &no_roots, &[], now, algorithms.all);
    let Err(error) = verdict else { return };
    if let Some(CertificateFault::Expired | CertificateFault::NotYetValid) = CertificateFault::of(&error) {
        tracing::warn!(path = %path.display(), %error, "clients will refuse the certificate");
    }
}

#[cfg(test)]
mod tests;
