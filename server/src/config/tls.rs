//! The flags about TLS.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::UnixTime;

use crate::config::error::ConfigError;
use crate::process::unix_s;
use crate::tls::{Identity, Seed, Tickets, Tls};

/// A certificate and its key: both, or neither.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsArgs {
    /// Speak TLS alone, on every listener, with this certificate: PEM, its own first, then those that vouch for it; read
    /// again on SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate, PEM, not encrypted; read again with it
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// Whether the server speaks TLS.
    pub(super) fn is_given(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// The certificate and key in the files; `None` without the flags. A `seed` makes this server accept the session
    /// tickets of the server that the seed comes from.
    pub(super) fn read(&self, seed: Option<Seed>) -> Result<Option<Tls>, ConfigError> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let identity = Identity::load(cert, key, UnixTime::since_unix_epoch(Duration::from_secs(unix_s())))?;
        let seed = seed.unwrap_or_else(|| Seed::random(unix_s()));
        let tickets = Tickets::new(seed, unix_s).map_err(|_| ConfigError::NoTickets)?;
        Ok(Some(Tls::new(identity, tickets)?))
    }
}
