//! What a peer can take from the gate, at most.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::{
    clients::{Client, exchange, get, rest},
    servers::TestServer,
    tokens::good,
};

#[tokio::test]
async fn a_slow_request_is_ended() {
    let server = TestServer::start(&["--handshake-timeout=300ms"]).await;
    let timeouts = r#"gatekeeper_handshakes_total{outcome="timeout"}"#;
    for (i, (sent, why)) in [
        ("", "not a byte"),
        ("GET /ws HTTP/1.1\r\n", "half a head"),
        ("GET /ws HTTP/1.1\r\nHost: a\r\nX: y\r\n", "all but its end"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = TcpStream::connect(server.gate).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{why}: {answer}");
        assert_eq!(server.metric(timeouts), i as u64 + 1, "{why}");
    }

    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut client = Client::open(server.gate, path, &[]).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    assert_eq!(
        client.close_code().await,
        1000,
        "upgraded, and never connected"
    );
    assert_eq!(server.metric(timeouts), 4);
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let server = TestServer::start(&[]).await;
    let mut stream = TcpStream::connect(server.gate).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(rest(&mut stream).await.ends_with("ok"));
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let server = TestServer::start(&[]).await;
    let filler = |bytes: usize| format!("X: {}\r\n", "x".repeat(bytes));
    let many = "A: b\r\n".repeat(100);
    for (headers, status, why) in [
        (filler(15_000), "200", "below the limit"),
        (filler(17_000), "431", "above the limit"),
        (filler(100_000), "431", "far above"),
        (many, "431", "too many headers"),
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let answer = exchange(server.gate, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{why}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_full_gate_says_when_to_come_again() {
    let server = TestServer::start(&["--max-connections=2"]).await;
    let mut first = Client::raw(server.gate, &good("ann")).await;
    let _second = Client::raw(server.gate, &good("bob")).await;

    let answer = get(server.gate, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("Retry-After: 1\r\n"), "{answer}");
    let refused = Client::open(server.gate, &format!("/ws?token={}", good("cid")), &[]).await;
    assert_eq!(
        refused.err().map(|refused| refused.status),
        Some(503),
        "a good token, too"
    );
    assert_eq!(
        server.metric(r#"gatekeeper_handshakes_total{outcome="full"}"#),
        2
    );

    first.send("still here").await;
    assert_eq!(
        first.text().await,
        "still here",
        "those inside are not touched"
    );
    drop(first);
    server
        .metric_becomes("gatekeeper_connections_open", 1)
        .await;
    Client::raw(server.gate, &good("cid")).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_either() {
    let server = TestServer::start(&[]).await;
    let mut client = Client::raw(server.gate, &good("ann")).await;
    let message = "x".repeat(500_000);
    let mut sent_bytes = 0;
    // The gate stops reading before it holds more than it may, so the client's own sends come to a halt.
    let send_max = Duration::from_millis(300);
    while timeout(send_max, client.send(message.as_str()))
        .await
        .is_ok()
    {
        sent_bytes += message.len();
        assert!(sent_bytes < 100_000_000, "the gate takes what nobody reads");
    }
}
