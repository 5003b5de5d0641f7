//! Client sockets: where to, from which address, and whether under TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;

/// A connection to open.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The peer.
    pub to: SocketAddr,
    /// The local address; its port is chosen when connecting, so each address has a range of ports per peer.
    pub from: Option<IpAddr>,
    /// TLS from the first byte on.
    pub tls: Option<ClientTls>,
}

/// What a client needs for TLS.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// Roots, versions and the session cache, shared by all sockets.
    pub config: Arc<rustls::ClientConfig>,
    /// The name that the server's certificate must bear, and that is sent as SNI.
    pub name: ServerName<'static>,
}
