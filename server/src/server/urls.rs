//! The URLs under which browsers reach the server.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::tls::url;

/// An address that a browser on this machine can open: the loopback address in place of an unspecified one.
pub(super) fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        tracing::warn!(%addr, "browsers elsewhere need --gate-url: the page shows the loopback address");
        match &mut addr {
            SocketAddr::V4(v4) => v4.set_ip(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(v6) => v6.set_ip(Ipv6Addr::LOCALHOST),
        }
    }
    addr
}

/// The origins that the frontend's pages may have in a browser.
pub(super) fn origins_of(is_tls: bool, frontend: SocketAddr) -> Vec<String> {
    let mut origins = vec![url(is_tls, frontend)];
    if frontend.ip().is_loopback() {
        let localhost = format_args!("localhost:{}", frontend.port());
        origins.push(url(is_tls, localhost));
    }
    origins
}
