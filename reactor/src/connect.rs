//! Client sockets: where to, from which address, and whether under TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
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

/// Makes a non-blocking socket and starts to connect it: writable then means connected or failed.
///
/// Fails for local reasons: no descriptor or port is left, or the addresses do not go together.
pub(crate) fn open(to: SocketAddr, from: Option<IpAddr>) -> io::Result<OwnedFd> {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    if let Some(from) = from {
        // Without it bind() would take a port for itself alone, whoever the peer is.
        setsockopt(&fd, sockopt::IpBindAddressNoPort, &true)?;
        rustix::net::bind(&fd, &SocketAddr::new(from, 0))?;
    }
    match rustix::net::connect(&fd, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(fd),
        Err(errno) => Err(errno.into()),
    }
}
