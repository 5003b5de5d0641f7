//! TLS on the listeners of gate and frontend: one certificate, which is read again on SIGHUP, and tickets that resume
//! sessions without state in the server.
//!
//! The protocol itself is implemented by rustls, driven by the reactor for the gate and by tokio-rustls for the
//! frontend.

mod identity;
mod tickets;

use std::{fmt, io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use tokio::signal::unix::{SignalKind, signal};

pub use identity::{Identity, IdentityError};
pub use tickets::{Seed, Tickets};

/// The only supported protocol (RFC 7301). A client that offers only others is refused.
const ALPN: &[u8] = b"http/1.1";

/// How often the ticket keys are renewed if no client uses a ticket, which renews the keys too.
const RENEW_EVERY: Duration = Duration::from_secs(600);

/// The URL of a listener at `at`.
pub fn url(is_tls: bool, at: impl fmt::Display) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{at}")
}

/// The certificate, tickets and configuration of a server. Clones share them.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    identity: Arc<Identity>,
    tickets: Arc<Tickets>,
}

impl Tls {
    /// TLS 1.2 and 1.3 with the certificate of `identity`; sessions are resumed by `tickets` alone, none are stored.
    ///
    /// # Errors
    /// If the crypto provider does not support these versions, which that of this build does.
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

    /// The configuration for rustls. Clones use a renewed certificate too.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The seed from which another process makes the same tickets.
    pub fn seed(&self) -> Seed {
        self.tickets.seed()
    }

    /// Reads the certificate again at each SIGHUP; if it cannot be used, logs an error and keeps the old one. Also
    /// removes old ticket secrets while no client connects. Needs a tokio runtime.
    ///
    /// # Errors
    /// If no handler for the signal can be installed.
    pub fn renew_periodically(&self) -> io::Result<()> {
        let mut hangups = signal(SignalKind::hangup())?;
        let mut renewals = tokio::time::interval(RENEW_EVERY);
        let tls = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = hangups.recv() => tls.reload(),
                    _ = renewals.tick() => drop(tls.seed()),
                }
            }
        });
        Ok(())
    }

    fn reload(&self) {
        match self.identity.reload(self.tickets.unix_time()) {
            Ok(()) => tracing::info!("SIGHUP: the certificate was read again"),
            Err(error) => tracing::error!(%error, "SIGHUP: the old certificate stays in use"),
        }
    }
}
