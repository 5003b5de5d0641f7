//! The gate's listeners: one per shard at one address, so that the kernel deals the connections.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// The kernel holds a connection back until its first bytes are there, which saves a wake for each; a silent one
/// comes after about this long, and its time to authenticate starts then.
const DEFER_ACCEPT_S: u32 = 1;

/// Opens `shards` listeners at `addr`; port 0 takes a free one, the same for all.
///
/// SO_REUSEPORT would let a second process bind the same port and take half of its connections in silence, so the
/// address is tried without it first. Fails when it is in use or not ours.
pub fn open(addr: SocketAddr, shards: usize) -> io::Result<Vec<TcpListener>> {
    if addr.port() != 0 {
        drop(reactor::bind(addr, false, None)?);
    }
    let first = reactor::bind(addr, true, Some(DEFER_ACCEPT_S))?;
    let addr = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < shards {
        listeners.push(reactor::bind(addr, true, Some(DEFER_ACCEPT_S))?);
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_refused_though_it_could_be_shared() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let open_ones = open(any, 2).unwrap();
        let addr = open_ones[0].local_addr().unwrap();
        assert_eq!(
            open_ones[1].local_addr().unwrap(),
            addr,
            "one address for all"
        );
        assert_eq!(open(addr, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(open_ones);
        open(addr, 1).unwrap();
    }
}
