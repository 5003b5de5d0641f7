//! The gate's answers to plain HTTP, and whether its counters add up.

use super::{
    clients::{Client, exchange, get},
    servers::TestServer,
    tokens::valid_token,
};

/// Checks that the answer starts with the first of `parts`, contains all of them, and closes the connection.
fn check(answer: &str, parts: &[&str], why: &str) {
    assert!(answer.starts_with(parts[0]), "{why}: {answer}");
    for part in parts {
        assert!(answer.contains(part), "{why}: no {part} in {answer}");
    }
    assert!(answer.contains("Connection: close\r\n"), "{why}: {answer}");
}

#[tokio::test]
async fn pages_are_answered() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&script, "var io;").unwrap();
    let flag = format!("--socketio-client={}", script.path().display());
    let server = TestServer::start(&[&flag]).await;
    let without = TestServer::start(&[]).await;
    let client = "/socket.io/socket.io.js";
    for (gate, path, parts, why) in [
        (server.gate, "/healthz", &["HTTP/1.1 200 OK\r\n", "\r\n\r\nok"][..], "the health check"),
        (server.gate, client, &["HTTP/1.1 200 ", "text/javascript", "\r\n\r\nvar io;"], "the client"),
        (without.gate, client, &["HTTP/1.1 404 "], "no client was given"),
        (server.gate, "/", &["HTTP/1.1 404 "], "nothing is here"),
        (server.gate, "/metrics", &["HTTP/1.1 200 ", "version=0.0.4", "# TYPE "], "the counters"),
        (server.gate, "/ws", &["HTTP/1.1 426 ", "Upgrade: websocket", "Version: 13"], "a socket"),
    ] {
        check(&get(gate, path).await, parts, why);
    }
    for (request, parts, why) in [
        ("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n", &["HTTP/1.1 200 ", "Content-Length: 2"][..], "no body"),
        ("POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n", &["HTTP/1.1 405 ", "Allow: GET, HEAD\r\n"], "nothing to post"),
        ("HEAD /ws HTTP/1.1\r\nHost: a\r\n\r\n", &["HTTP/1.1 405 ", "Allow: GET\r\n"], "a socket is opened by GET"),
        (
            "HEAD /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n",
            &["HTTP/1.1 400 ", "application/json"],
            "an error without a body",
        ),
        ("GET /healthz HTTP/1.1\r\n\r\n", &["HTTP/1.1 400 ", "Host"], "no host"),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &["HTTP/1.1 400 ", "Host"], "two hosts"),
        (
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            &["HTTP/1.1 426 ", "Sec-WebSocket-Version: 13\r\n"],
            "RFC 6455 section 4.4",
        ),
        ("no http\r\n\r\n", &["HTTP/1.1 400 "], "no HTTP"),
        ("\x16\x03\x01\x02\x00\x01\x00", &["HTTP/1.1 400 "], "TLS to a plain port, at once"),
    ] {
        let answer = exchange(server.gate, request.as_bytes()).await;
        check(&answer, parts, why);
        assert!(!request.starts_with("HEAD") || answer.ends_with("\r\n\r\n"), "{why}: {answer}");
    }
}

#[tokio::test]
async fn engineio_errors_are_json() {
    let server = TestServer::start(&[]).await;
    let websocket = "transport=websocket";
    for (target, message, why) in [
        ("/socket.io/?EIO=4".to_owned(), r#"{"code":0,"message":"Transport unknown"}"#, "none"),
        (
            "/socket.io/?EIO=4&transport=webtransport".to_owned(),
            r#"{"code":0,"message":"Transport unknown"}"#,
            "an unknown transport",
        ),
        (
            format!("/socket.io/?EIO=4&{websocket}&sid=x"),
            r#"{"code":1,"message":"Session ID unknown"}"#,
            "an unknown session",
        ),
        (format!("/socket.io/?EIO=4&{websocket}"), r#"{"code":3,"message":"Bad request"}"#, "no upgrade"),
        (
            format!("/socket.io/?EIO=2&{websocket}"),
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
            "before version 3",
        ),
        (format!("/socket.io/?{websocket}"), r#"{"code":5,"message":"Unsupported protocol version"}"#, "no version"),
    ] {
        let parts = ["HTTP/1.1 400 ", "Content-Type: application/json\r\n", message];
        check(&get(server.gate, &target).await, &parts, why);
    }
    let post = format!("POST /socket.io/?EIO=4&{websocket} HTTP/1.1\r\nHost: a\r\n\r\n");
    let parts = ["HTTP/1.1 400 ", r#"{"code":2,"message":"Bad handshake method"}"#];
    check(&exchange(server.gate, post.as_bytes()).await, &parts, "sockets are opened by GET");
}

#[tokio::test]
async fn counters_add_up() {
    let server = TestServer::start(&[]).await;
    let mut raw = Client::raw(server.gate, &valid_token("ann")).await;
    raw.send("hello").await;
    raw.text().await;
    let _held = Client::socketio(server.gate, &valid_token("ann")).await;
    assert!(Client::open(server.gate, "/ws?token=bad", &[]).await.is_err());
    get(server.gate, "/nothing").await;
    drop(raw);

    server.metric_becomes("gatekeeper_connections_open", 1).await;
    let handshakes = |labels: &str| format!("gatekeeper_handshakes_total{{{labels}}}");
    for (sample, value) in [
        ("gatekeeper_connections_accepted_total".to_owned(), 4),
        (handshakes(r#"outcome="established""#), 2),
        (handshakes(r#"outcome="refused",reason="malformed""#), 1),
        (handshakes(r#"outcome="answered""#), 1),
        ("gatekeeper_sessions_open".to_owned(), 1),
        (r#"gatekeeper_sessions_ended_total{reason="gone"}"#.to_owned(), 1),
        ("gatekeeper_messages_received_total".to_owned(), 1),
        ("gatekeeper_messages_sent_total".to_owned(), 1),
    ] {
        assert_eq!(server.metric(&sample), value, "{sample}");
    }
    let page = server.metrics.render();
    let sum_of = |family: &str| -> u64 {
        let samples = page.lines().filter(|line| line.starts_with(family));
        samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    assert_eq!(sum_of("gatekeeper_handshakes_total{"), 4, "each has one outcome");
}
