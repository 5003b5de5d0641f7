//! The gate's listeners: one per shard, all at one address. The kernel distributes the connections over them.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Opens `shards` listeners at `addr`; with port 0 the kernel chooses one free port for all.
///
/// With SO_REUSEPORT, two servers could bind the same port and share its connections unnoticed. The address is therefore
/// bound without SO_REUSEPORT first, which fails when it is in use.
pub fn open(addr: SocketAddr, shards: usize) -> io::Result<Vec<TcpListener>> {
    if addr.port() != 0 {
        drop(reactor::bind(addr, false)?);
    }
    let first = reactor::bind(addr, true)?;
    let addr = first.local_addr()?;
    [Ok(first)].into_iter().chain((1..shards).map(|_| reactor::bind(addr, true))).collect()
}

/// Distributes listeners over `shards` shards in rotation. Shards share listeners when there are fewer listeners than
/// shards, and have several listeners when there are more.
pub fn distribute(listeners: &[TcpListener], shards: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut by_shard: Vec<Vec<TcpListener>> = (0..shards).map(|_| Vec::new()).collect();
    let rotation = listeners.iter().cycle().take(listeners.len().max(shards));
    for (listener, shard) in rotation.zip((0..shards).cycle()) {
        by_shard[shard].push(listener.try_clone()?);
    }
    Ok(by_shard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_in_use_is_refused() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = open(any, 2).unwrap();
        let addr = listeners[0].local_addr().unwrap();
        assert_eq!(listeners[1].local_addr().unwrap(), addr, "one address for all");
        assert_eq!(open(addr, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listeners);
        open(addr, 1).unwrap();
    }

    #[test]
    fn every_shard_has_a_listener_and_every_listener_a_shard() {
        for (listeners, shards, each, why) in [
            (2, 2, &[1, 1][..], "one per shard"),
            (1, 3, &[1, 1, 1], "one for all"),
            (2, 3, &[1, 1, 1], "two shards share one"),
            (5, 2, &[3, 2], "several per shard"),
        ] {
            let open: Vec<_> = (0..listeners).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            let by_shard = distribute(&open, shards).unwrap();
            let counts: Vec<_> = by_shard.iter().map(Vec::len).collect();
            assert_eq!(counts, each, "{why}");
            for listener in open {
                let addr = listener.local_addr().unwrap();
                let is_used = by_shard.iter().flatten().any(|other| other.local_addr().unwrap() == addr);
                assert!(is_used, "{why}: {addr}");
            }
        }
    }
}
