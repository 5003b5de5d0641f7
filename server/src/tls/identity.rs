//! The certificate and its key: two PEM files, checked against each other before they are used.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use reactor::CertificateFault;
use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

/// The certificate and key of the server, and their files.
pub struct Identity {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

/// Why certificate and key cannot be used. No error has bytes of the key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file could not be read.
    #[error("{flag} {path}: {error}", path = path.display())]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        error: io::Error,
    },
    /// A file has other content.
    #[error("{flag} {path}: {fault}", path = path.display())]
    Content {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// Both are valid, but do not belong together.
    #[error(
        "--tls-key {key}: that is not the key of the first certificate in {cert}: name the two that belong together",
        key = key.display(), cert = cert.display()
    )]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's.
        key: PathBuf,
    },
}

const CERT: &str = "--tls-cert";
const KEY: &str = "--tls-key";

impl Identity {
    /// Reads a chain, the server's own certificate first, and the key of that.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load(cert: &Path, key: &Path) -> Result<Self, IdentityError> {
        Ok(Self { current: ArcSwap::from_pointee(read(cert, key)?), cert: cert.to_owned(), key: key.to_owned() })
    }

    /// Reads both files again; handshakes from now on get what they hold.
    ///
    /// # Errors
    /// [`IdentityError`]; what was read before stays in use.
    pub fn reload(&self) -> Result<(), IdentityError> {
        let fresh = read(&self.cert, &self.key)?;
        self.current.store(Arc::new(fresh));
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

fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, IdentityError> {
    let chain = read_chain(cert)?;
    let content = |flag, path: &Path, fault: String| IdentityError::Content { flag, path: path.to_owned(), fault };
    let leaf = chain.first().ok_or_else(|| content(CERT, cert, "there is no certificate in it".into()))?;
    let parsed = ParsedCertificate::try_from(leaf)
        .map_err(|error| content(CERT, cert, format!("its first certificate: {error}")))?;
    warn_of_time(&parsed, cert);
    let signing = default_provider()
        .key_provider
        .load_private_key(read_key(key)?)
        .map_err(|error| content(KEY, key, format!("the key cannot be used: {error}")))?;
    let certified = CertifiedKey::new(chain.clone(), signing);
    match certified.keys_match() {
        // A key that does not tell its public half is tried by the first client.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => Err(IdentityError::Mismatch { cert: cert.to_owned(), key: key.to_owned() }),
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let text = read_file(CERT, path)?;
    CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| IdentityError::Content {
        flag: CERT,
        path: path.to_owned(),
        fault: format!("that is no PEM: {error}"),
    })
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let text = read_file(KEY, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| IdentityError::Content {
        flag: KEY,
        path: path.to_owned(),
        fault: match error {
            pem::Error::NoItemsFound if is_encrypted(&text) => {
                "the key is encrypted, and nobody can be asked for its password: decrypt it first".into()
            }
            pem::Error::NoItemsFound => "there is no private key in it".into(),
            // The text of other errors may quote a line of the file, therefore it is not shown.
            _ => "that is no PEM".into(),
        },
    })
}

fn read_file(flag: &'static str, path: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|error| IdentityError::File { flag, path: path.to_owned(), error })
}

fn is_encrypted(text: &[u8]) -> bool {
    const MARK: &[u8] = b"ENCRYPTED";
    text.windows(MARK.len()).any(|window| window == MARK)
}

/// Logs a warning when the certificate is expired or not valid yet. The server starts all the same, because tests may need
/// such a certificate.
fn warn_of_time(leaf: &ParsedCertificate<'_>, path: &Path) {
    // No authority is trusted here, but the time is checked first.
    let nobody = RootCertStore::empty();
    let algorithms = default_provider().signature_verification_algorithms;
    let judged = verify_server_cert_signed_by_trust_anchor(leaf, &nobody, &[], UnixTime::now(), algorithms.all);
    let Err(error) = judged else { return };
    if let Some(CertificateFault::Expired | CertificateFault::NotYetValid) = CertificateFault::of(&error) {
        tracing::warn!(path = %path.display(), %error, "clients will refuse the certificate");
    }
}

#[cfg(test)]
mod tests;
