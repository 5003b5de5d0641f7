//! TLS resumption by tickets of any shard and any process.

use std::net::SocketAddr;

use rustls::{
    HandshakeKind,
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    super::{
        processes::FLAGS,
        servers::{TestProcess, addr, soon},
    },
    Pki, TlsClient, server,
};

/// Enough rounds that each shard issues tickets and accepts another shard's.
const ROUNDS: usize = 16;

/// Makes one request over a new connection; returns the kind of its handshake.
async fn ask(client: &TlsClient, to: SocketAddr) -> HandshakeKind {
    let mut stream = client.connect(to).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    // The tickets come before the answer.
    soon("an answer", stream.read_to_end(&mut Vec::new())).await.unwrap();
    stream.get_ref().1.handshake_kind().unwrap()
}

/// Checks that the first handshake is full and all others are resumed.
async fn check(client: &TlsClient, to: SocketAddr, why: &str) {
    assert_ne!(ask(client, to).await, HandshakeKind::Resumed, "{why}");
    for round in 0..ROUNDS {
        let kind = ask(client, to).await;
        assert_eq!(kind, HandshakeKind::Resumed, "{why}: {round}");
    }
}

#[tokio::test]
async fn shards_accept_each_others_tickets() {
    let pki = Pki::create();
    let server = server(&pki, &[]).await;
    for (versions, why) in [(&[&TLS13][..], "1.3"), (&[&TLS12], "1.2")] {
        let client = pki.client_of(versions, &[]);
        check(&client, server.gate, why).await;
        check(&pki.client_of(versions, &[]), server.frontend, "the frontend").await;
    }
    let counted = |resumed| {
        let sample = format!("gatekeeper_tls_handshakes_total{{resumed=\"{resumed}\"}}");
        server.metric(&sample)
    };
    assert_eq!(counted(true), 2 * ROUNDS as u64);
    assert_eq!(counted(false), 2);
}

#[tokio::test]
async fn processes_accept_each_others_tickets() {
    let pki = Pki::create();
    let tls = pki.flags();
    let flags: Vec<_> = FLAGS.iter().copied().chain(tls.iter().map(|it| &**it)).collect();
    let process = TestProcess::start(&flags);
    let gate = addr(&process.ready["gate"]);
    check(&pki.client(), gate, "three processes").await;
}

#[tokio::test]
async fn a_successor_accepts_its_predecessors_tickets() {
    let pki = Pki::create();
    let path = pki.path("takeover");
    let takeover = format!("--takeover={}", path.display());
    let [cert, key] = pki.flags();
    let flags = ["--listen=127.0.0.1:0", "--frontend-listen=127.0.0.1:0", &takeover, &cert, &key];
    let first = TestProcess::start(&flags);
    let gate = addr(&first.ready["gate"]);
    let client = pki.client();
    ask(&client, gate).await;
    let second = TestProcess::start(&flags);
    let (status, _, log) = first.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(addr(&second.ready["gate"]), gate);
    assert_eq!(ask(&client, gate).await, HandshakeKind::Resumed);
}
