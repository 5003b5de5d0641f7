//! Sockets that come from several addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use gatecrash::ground::outcome::Outcome;

use super::program::{Program, run};
use crate::engine_servers::{WebSocket, serve};

/// Handshakes by where they came from.
type Seen = Arc<Mutex<BTreeMap<IpAddr, u64>>>;

fn counting() -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let counted = seen.clone();
    let addr = serve(move |stream| {
        let Ok(peer) = stream.peer_addr() else { return };
        if let Some(mut socket) = WebSocket::accept(stream) {
            *counted.lock().unwrap().entry(peer.ip()).or_default() += 1;
            socket.receive_all();
        }
    });
    (addr, seen)
}

fn load(addr: SocketAddr, flags: &str) -> Program {
    let mint = "--token-source mint --secret any-secret-will-do --auth-grace 1ms";
    run(&format!("--target ws://{addr} --concurrency 8 {mint} {flags}"))
}

#[tokio::test]
async fn sources_are_used_in_turn() {
    let (addr, seen) = counting();
    let ended = load(addr, "-c 80 --hold end --source-ip 127.0.0.2-127.0.0.4,127.0.0.9").end().await;
    ended.exits_with(0, "four sources");
    let result = ended.counts(&[(Outcome::Established, 80)], "four sources");
    let asked = result.scenario.source_ip.as_deref();
    assert_eq!(asked, Some("127.0.0.2-127.0.0.4,127.0.0.9"));
    let seen = seen.lock().unwrap();
    let counts: Vec<(String, u64)> = seen.iter().map(|(ip, count)| (ip.to_string(), *count)).collect();
    let each = |ip: &str| (ip.to_owned(), 20);
    assert_eq!(counts, ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.9"].map(each));
}

#[tokio::test]
async fn sources_and_ports_are_checked_before_the_run() {
    let (addr, seen) = counting();
    for (flags, code, part, why) in [
        ("-c 5 --source-ip 192.0.2.1", 104, "--source-ip 192.0.2.1", "nobody's address"),
        ("-c 5 --source-ip ::1", 104, "of the other family", "the target is IPv4"),
        ("-c 5 --source-ip 10.0.0.0/4", 2, "at most 65536", "too many"),
        ("-c 5 --source-ip here", 2, "write addresses, ranges and networks", "no address"),
    ] {
        let ended = load(addr, flags).end().await;
        ended.exits_with(code, why);
        assert!(ended.stderr.contains(part), "{why}: {}", ended.stderr);
    }
    assert!(seen.lock().unwrap().is_empty(), "nothing was opened");
}
