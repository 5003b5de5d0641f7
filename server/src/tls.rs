//! TLS on the listeners of gate and frontend: one certificate, read again on SIGHUP, and tickets that resume a session
//! without any memory of it.
//!
//! Nothing here does TLS: that is rustls, driven by the reactor for the gate and by tokio-rustls for the frontend.

mod identity;
mod tickets;

use std::{fmt, io, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::default_provider,
    server::{NoServerSessionStorage, ResolvesServerCert},
};
use tokio::signal::unix::{SignalKind, signal};

pub use identity::{Identity, IdentityError};
pub use tickets::{Seed, Tickets};

/// The one protocol that is spoken (RFC 7301): a browser that asks for more is told so, one that asks for something else
/// alone is refused.
const ALPN: &[u8] = b"http/1.1";

/// How often tickets step to a new key of themselves; a server with clients does so in time anyway.
const STEP_EVERY: Duration = Duration::from_secs(600);

/// Where a browser finds what listens at `at`.
pub fn url(is_tls: bool, at: impl fmt::Display) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{at}")
}

/// What a server needs for TLS. Clones share everything.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    identity: Arc<Identity>,
    tickets: Arc<Tickets>,
}

impl Tls {
    /// TLS 1.2 and 1.3 by `identity`, resumed by `tickets` alone: whatever a client brings along is not kept.
    ///
    /// # Errors
    /// When the crypto provider lacks what these versions need, which the one of this build does not.
    pub fn new(identity: Identity, tickets: Tickets) -> Result<Self, rustls::Error> {
        let identity = Arc::new(identity);
        let tickets = Arc::new(tickets);
        let resolver: Arc<dyn ResolvesServerCert> = identity.clone();
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = tickets.clone();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // A request in early data could be replayed, token and all (RFC 8446 section 8).
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), identity, tickets })
    }

    /// The configuration for rustls. A certificate that is read again is used by all who hold it.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// What another process makes the same tickets from.
    pub fn seed(&self) -> Seed {
        self.tickets.seed()
    }

    /// Reads the certificate again at each SIGHUP; a bad one leaves the old one in use, and the log says so. Also has old
    /// secrets of tickets forgotten while no client comes. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the signal cannot be had.
    pub fn keep_fresh(&self) -> io::Result<()> {
        let mut hangups = signal(SignalKind::hangup())?;
        let mut steps = tokio::time::interval(STEP_EVERY);
        let tls = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = hangups.recv() => tls.reload(),
                    _ = steps.tick() => drop(tls.seed()),
                }
            }
        });
        Ok(())
    }

    fn reload(&self) {
        match self.identity.reload() {
            Ok(()) => tracing::info!("SIGHUP: the certificate was read again"),
            Err(error) => tracing::error!(%error, "SIGHUP: the old certificate stays in use"),
        }
    }
}
