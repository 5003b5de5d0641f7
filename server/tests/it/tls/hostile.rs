//! Clients that break TLS, stall, or do not speak it.

use std::time::Duration;

use rustls::{ClientConnection, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    super::servers::{TestServer, soon},
    Pki, server,
};

/// Sends `bytes` without TLS; returns what the gate answers until it closes or resets.
async fn send_plain(server: &TestServer, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.gate).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut answer)).await;
    answer
}

/// A ClientHello.
fn hello(pki: &Pki) -> Vec<u8> {
    let client = pki.client();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(client.config(), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

const ALERT: u8 = 21;

#[tokio::test]
async fn bytes_that_are_not_tls_are_answered_with_an_alert() {
    let pki = Pki::create();
    let server = server(&pki, &[]).await;
    let hello = hello(&pki);
    let mut changed = hello.clone();
    // The handshake's type.
    changed[5] = 99;
    let mut oversized = vec![0x16, 3, 1, 0xff, 0xff];
    oversized.extend(vec![0; 0xffff]);
    let cases: [(&[u8], &str); 5] = [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "plain HTTP"),
        (&[0; 64], "nothing but zeros"),
        (&oversized, "a record that is too long"),
        (&changed, "an unknown message"),
        (&[&hello[..], &hello].concat(), "a second hello"),
    ];
    for (bytes, why) in cases {
        let answer = send_plain(&server, bytes).await;
        let alert = answer.windows(3).rposition(|it| it == [ALERT, 3, 3] || it == [ALERT, 3, 1]);
        // After the server's flight the alert is encrypted.
        let is_sealed = answer.first() == Some(&0x16);
        assert!(alert.is_some() || is_sealed, "{why}: {answer:?}");
    }
    let failed = r#"gatekeeper_handshakes_total{outcome="tls_failed"}"#;
    server.metric_becomes(failed, cases.len() as u64).await;
    let answer = pki.client().get(server.gate, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let answer = soon("the frontend", async {
        let mut stream = TcpStream::connect(server.frontend).await.unwrap();
        stream.write_all(cases[0].0).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    });
    assert_eq!(answer.await.first(), Some(&ALERT), "the frontend too");
}

#[tokio::test]
async fn the_head_timeout_covers_the_tls_handshake() {
    let pki = Pki::create();
    let server = server(&pki, &["--head-timeout=300ms"]).await;
    let hello = hello(&pki);
    let mut idle = Vec::new();
    for (bytes, why) in [
        (&hello[..3], "half a record's head"),
        (&hello[..hello.len() - 1], "a hello but for a byte"),
        (&hello, "a hello and no more"),
    ] {
        let mut stream = TcpStream::connect(server.gate).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        idle.push((stream, why));
    }
    // A client that sends one byte every 20 ms.
    let drip = async {
        let mut stream = TcpStream::connect(server.gate).await.unwrap();
        for byte in &hello {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it took {} bytes", hello.len());
    };
    soon("a slow hello", drip).await;
    for (mut stream, why) in idle {
        let mut answer = Vec::new();
        let ended = soon(why, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{why}: {ended:?}");
    }
    let sample = r#"gatekeeper_handshakes_total{outcome="timeout",reason="head"}"#;
    server.metric_becomes(sample, 4).await;
    // The handshake deadline covers TLS and the HTTP request together.
    let mut stream = pki.client().connect(server.gate).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let answer = testkit::rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn the_oldest_half_open_tls_handshakes_are_closed_beyond_the_limit() {
    let pki = Pki::create();
    let one_shard = |mut config: gatekeeper::config::Config| {
        config.gate.as_mut().unwrap().shards = 1;
        config
    };
    let server = super::server_with(&pki, &["--max-half-open=4"], one_shard).await;
    let hello = hello(&pki);
    let mut held = Vec::new();
    for _ in 0..12 {
        let mut stream = TcpStream::connect(server.gate).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        held.push(stream);
    }
    let gave_way = r#"gatekeeper_handshakes_total{outcome="gave_way",reason="head"}"#;
    server.metric_becomes(gave_way, 8).await;
    server.metric_becomes("gatekeeper_connections_half_open", 4).await;
    let answer = pki.client().get(server.gate, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "a complete handshake is accepted: {answer}");
    drop(held);
    server.metric_becomes("gatekeeper_connections_open", 0).await;
}

#[tokio::test]
async fn incomplete_hellos_are_limited_by_max_buffer_bytes() {
    const BUFFER_BYTES: u64 = 1_000_000;
    let pki = Pki::create();
    let flag = format!("--max-buffer-bytes={BUFFER_BYTES}");
    let server = server(&pki, &[&flag]).await;
    // The first 16,000 bytes of a longer ClientHello.
    let mut part = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc];
    part.resize(16_000, 0);
    let mut clients = Vec::new();
    for _ in 0..BUFFER_BYTES as usize / part.len() {
        let mut stream = TcpStream::connect(server.gate).await.unwrap();
        stream.write_all(&part).await.unwrap();
        clients.push(async move { stream.read(&mut [0]).await });
    }
    // Together the hellos exceed the limit of all sockets twice.
    let ends = clients.into_iter().map(Box::pin);
    let first_closed = futures_util::future::select_all(ends);
    let (_, _, _others) = soon("the first close", first_closed).await;
    // The metric is updated once per turn of the event loop.
    soon("a figure of what the others hold", async {
        while !(1..=BUFFER_BYTES / 2).contains(&server.metric("gatekeeper_buffered_bytes")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let answer = pki.client().get(server.gate, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_session_with_an_invalid_tls_record_is_counted() {
    let pki = Pki::create();
    let server = server(&pki, &[]).await;
    let mut socket = super::raw(&pki.client(), server.gate).await;
    let (stream, _) = socket.get_mut().get_mut();
    stream.write_all(&[0x17, 3, 3, 0, 32]).await.unwrap();
    stream.write_all(&[7; 32]).await.unwrap();
    server.metric_becomes(r#"gatekeeper_sessions_ended_total{reason="tls"}"#, 1).await;
}
