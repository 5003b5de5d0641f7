//! The gate's listeners: one per shard at one address, so that the kernel deals the connections.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Opens `shards` listeners at `addr`; port 0 takes a free one, the same for all.
///
/// With SO_REUSEPORT a second process could bind the same port and take half of its connections unnoticed, so the
/// address is tried without it first. Fails when it is in use or not this machine's.
pub fn open(addr: SocketAddr, shards: usize) -> io::Result<Vec<TcpListener>> {
    if addr.port() != 0 {
        drop(reactor::bind(addr, false)?);
    }
    let first = reactor::bind(addr, true)?;
    let addr = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < shards {
        listeners.push(reactor::bind(addr, true)?);
    }
    Ok(listeners)
}

/// Deals listeners to `shards` shards in turn. Where there are fewer, shards share them; where there are more, shards
/// have several: each is listened to.
pub fn deal(listeners: &[TcpListener], shards: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut dealt: Vec<Vec<TcpListener>> = (0..shards).map(|_| Vec::new()).collect();
    let turns = listeners.len().max(shards);
    let given = listeners.iter().cycle().take(turns);
    for (listener, shard) in given.zip((0..shards).cycle()) {
        dealt[shard].push(listener.try_clone()?);
    }
    Ok(dealt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_refused_though_it_could_be_shared() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let open_ones = open(any, 2).unwrap();
        let addr = open_ones[0].local_addr().unwrap();
        assert_eq!(open_ones[1].local_addr().unwrap(), addr, "one address for all");
        assert_eq!(open(addr, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(open_ones);
        open(addr, 1).unwrap();
    }

    #[test]
    fn every_shard_listens_and_every_listener_is_used() {
        for (listeners, shards, each, why) in [
            (2, 2, &[1, 1][..], "one for one"),
            (1, 3, &[1, 1, 1], "shared"),
            (2, 3, &[1, 1, 1], "some of them shared"),
            (5, 2, &[3, 2], "several"),
        ] {
            let open: Vec<_> = (0..listeners).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            let dealt = deal(&open, shards).unwrap();
            let counts: Vec<_> = dealt.iter().map(Vec::len).collect();
            assert_eq!(counts, each, "{why}");
            for listener in open {
                let addr = listener.local_addr().unwrap();
                let mut all = dealt.iter().flatten();
                let heard = all.any(|dealt| dealt.local_addr().unwrap() == addr);
                assert!(heard, "{why}: {addr}");
            }
        }
    }
}
