//! Limits on what a peer can take from the gate.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::{
    clients::{Client, exchange, get, rest},
    servers::TestServer,
    tokens::valid_token,
};

#[tokio::test]
async fn a_slow_request_is_answered_with_408() {
    let server = TestServer::start(&["--handshake-timeout=300ms"]).await;
    let timeouts = r#"gatekeeper_handshakes_total{outcome="timeout",reason="head"}"#;
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
    assert_eq!(client.close_code().await, 1000, "upgraded, and never connected");
    assert_eq!(server.metric(timeouts), 3, "the head was there in time");
    let timeouts = r#"gatekeeper_handshakes_total{outcome="timeout",reason="connect"}"#;
    assert_eq!(server.metric(timeouts), 1);
}

#[tokio::test]
async fn each_handshake_step_has_its_own_timeout() {
    let server = TestServer::start(&["--handshake-timeout=60s", "--connect-timeout=200ms"]).await;
    let mut silent = TcpStream::connect(server.gate).await.unwrap();
    silent.write_all(b"GET /ws").await.unwrap();
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut client = Client::open(server.gate, path, &[]).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    assert_eq!(client.close_code().await, 1000, "not connected in time");
    let mut byte = [0];
    let read = tokio::io::AsyncReadExt::read(&mut silent, &mut byte);
    let head_waits = timeout(Duration::from_millis(20), read).await.is_err();
    assert!(head_waits, "the head timeout is longer");
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
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{why}: {answer}");
    }
}

#[tokio::test]
async fn a_full_gate_answers_503_with_retry_after() {
    let server = TestServer::start(&["--max-connections=2"]).await;
    let mut first = Client::raw(server.gate, &valid_token("ann")).await;
    let _second = Client::raw(server.gate, &valid_token("bob")).await;

    let answer = get(server.gate, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("Retry-After: 1\r\n"), "{answer}");
    let refused = Client::open(server.gate, &format!("/ws?token={}", valid_token("cid")), &[]).await;
    assert_eq!(refused.err().map(|refused| refused.status), Some(503), "with a valid token too");
    assert_eq!(server.metric(r#"gatekeeper_handshakes_total{outcome="full",reason="connections"}"#), 2);

    first.send("still here").await;
    assert_eq!(first.text().await, "still here", "established sockets are not closed");
    drop(first);
    server.metric_becomes("gatekeeper_connections_open", 1).await;
    Client::raw(server.gate, &valid_token("cid")).await;
}

#[tokio::test]
async fn the_gate_stops_reading_from_a_client_that_does_not_read() {
    let server = TestServer::start(&[]).await;
    let mut client = Client::raw(server.gate, &valid_token("ann")).await;
    let message = "x".repeat(500_000);
    let mut sent_bytes = 0;
    // The gate stops reading at its buffer limit, which blocks the client's sends.
    let send_max = Duration::from_millis(300);
    while timeout(send_max, client.send(message.as_str())).await.is_ok() {
        sent_bytes += message.len();
        assert!(sent_bytes < 100_000_000, "the gate buffers without a limit");
    }
}

#[tokio::test]
async fn connections_per_address_are_limited() {
    let server = TestServer::start(&["--max-connections-per-address=2"]).await;
    let first = Client::raw(server.gate, &valid_token("ann")).await;
    let _second = Client::raw(server.gate, &valid_token("ann")).await;
    let answer = get(server.gate, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("Retry-After: 1\r\n"), "{answer}");

    let from = tokio::net::TcpSocket::new_v4().unwrap();
    from.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = from.connect(server.gate).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "another address: {answer}");

    drop(first);
    server.metric_becomes("gatekeeper_connections_open", 1).await;
    Client::raw(server.gate, &valid_token("ann")).await;
    let full = r#"gatekeeper_handshakes_total{outcome="full",reason="address"}"#;
    assert_eq!(server.metric(full), 1);
}

/// Opens half-open connections that send single bytes; returns how many the gate closed.
async fn trickle(gate: std::net::SocketAddr) -> usize {
    let mut streams = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(gate).await.unwrap();
        stream.write_all(b"GET /ws?").await.unwrap();
        streams.push(stream);
    }
    let mut ended = 0;
    for stream in &mut streams {
        let _ = stream.write_all(b"a").await;
        let mut answer = String::new();
        let read = tokio::io::AsyncReadExt::read_to_string(stream, &mut answer);
        if timeout(Duration::from_millis(20), read).await.is_ok() {
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
            ended += 1;
        }
    }
    ended
}

#[tokio::test]
async fn the_oldest_half_open_connections_are_closed_beyond_the_limit() {
    let server = TestServer::start(&["--max-half-open=8", "--handshake-timeout=60s"]).await;
    let attack = tokio::spawn(trickle(server.gate));
    for _ in 0..32 {
        let mut client = Client::raw(server.gate, &valid_token("ann")).await;
        client.send("in").await;
        assert_eq!(client.text().await, "in", "valid clients are accepted during the attack");
    }
    assert!(attack.await.unwrap() >= 64 - 8, "the oldest were closed");
    let gave_way = r#"gatekeeper_handshakes_total{outcome="gave_way",reason="head"}"#;
    assert!(server.metric(gave_way) >= 64 - 8, "closed connections are counted");
    server.metric_becomes("gatekeeper_connections_open", 0).await;
}

#[tokio::test]
async fn the_oldest_unconnected_sessions_are_closed_beyond_the_limit() {
    let server = TestServer::start(&["--max-half-open=8", "--handshake-timeout=60s"]).await;
    let mut good = Client::socketio(server.gate, &valid_token("ann")).await;
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(Client::open(server.gate, path, &[]).await.unwrap());
    }
    let polls = "/socket.io/?EIO=4&transport=polling";
    for _ in 0..64 {
        assert!(get(server.gate, polls).await.starts_with("HTTP/1.1 200 "));
    }
    // Each of the two shards keeps four of each kind.
    let gave_way = r#"gatekeeper_handshakes_total{outcome="gave_way",reason="connect"}"#;
    server.metric_becomes(gave_way, 2 * (64 - 8)).await;
    let first = &mut silent[0];
    assert!(first.text().await.starts_with("0{"));
    assert_eq!(first.close_code().await, 1013, "1013: try again later");
    good.send("42[\"a\"]").await;
    assert_eq!(good.text().await, "42[\"a\"]", "connected sessions stay open");
}

#[tokio::test]
async fn forged_tokens_do_not_keep_valid_clients_out() {
    let server = TestServer::start(&[]).await;
    let gate = server.gate;
    let forgers = tokio::spawn(async move {
        for _ in 0..500 {
            let refused = Client::open(gate, "/ws?token=forged", &[]).await;
            assert_eq!(refused.err().map(|refused| refused.status), Some(401));
        }
    });
    for _ in 0..100 {
        Client::raw(gate, &valid_token("ann")).await;
    }
    forgers.await.unwrap();
    server.metric_becomes("gatekeeper_connections_open", 0).await;
    let failed = r#"gatekeeper_handshakes_total{outcome="abandoned"}"#;
    assert_eq!(server.metric(failed), 0, "every handshake was answered");
}

#[tokio::test]
async fn frames_with_a_length_beyond_the_limit_are_closed_at_once() {
    let server = TestServer::start(&["--max-message-bytes=1000"]).await;
    for (head, code, why) in [
        (&[0x82, 0xfe, 0x03, 0xe9][..], 1009, "one byte above the limit"),
        (&[0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0], 1009, "4 GB"),
        (&[0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0], 1009, "more than any memory"),
        (&[0x82, 0xfe, 0, 1], 1002, "more bytes than the length needs"),
    ] {
        let mut stream = TcpStream::connect(server.gate).await.unwrap();
        let upgrade = upgrade_request("ann");
        let frame = [head, &[0; 4]].concat();
        stream.write_all(&[upgrade.as_bytes(), &frame].concat()).await.unwrap();
        let mut answer = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.unwrap();
        let head_end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let close = &answer[head_end + 4..];
        assert_eq!(close[0], 0x88, "{why}: a close frame");
        assert_eq!(u16::from_be_bytes([close[2], close[3]]), code, "{why}");
    }
}

/// The upgrade of a raw WebSocket (RFC 6455 section 4.1), with a valid token of `user`.
fn upgrade_request(user: &str) -> String {
    format!(
        "GET /ws?token={} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        valid_token(user)
    )
}

/// Opens a raw WebSocket and sends `frames` until the gate stops reading or closes.
async fn send_frames(gate: std::net::SocketAddr, frames: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gate).await.unwrap();
    let upgrade = upgrade_request("bob");
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    // The gate may close before all bytes are sent.
    let _ = timeout(Duration::from_secs(5), stream.write_all(frames)).await;
    stream
}

/// A head of a frame of more than 125 `bytes`, as short as it may be (RFC 6455 section 5.2), whose masking key is zero.
fn frame_head(first: u8, bytes: u64) -> Vec<u8> {
    match u16::try_from(bytes) {
        Ok(bytes) => [&[first, 0xfe][..], &bytes.to_be_bytes(), &[0; 4]].concat(),
        Err(_) => [&[first, 0xff][..], &bytes.to_be_bytes(), &[0; 4]].concat(),
    }
}

#[tokio::test]
async fn connections_that_hold_the_most_memory_are_closed() {
    const BUFFER_BYTES: usize = 1 << 20;
    let flag = format!("--max-buffer-bytes={BUFFER_BYTES}");
    let server = TestServer::start(&[&flag]).await;
    let ended = r#"gatekeeper_sessions_ended_total{reason="greediest"}"#;
    let mut inside = Client::raw(server.gate, &valid_token("ann")).await;
    // Two connections that hold little: half a head, half a frame.
    let mut half_open = TcpStream::connect(server.gate).await.unwrap();
    let (front, back) = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".split_at(20);
    half_open.write_all(front).await.unwrap();
    let half_frame = [frame_head(0x81, 1000), vec![b'x'; 500]].concat();
    let mut slow = send_frames(server.gate, &half_frame).await;

    let whole = |bytes| [frame_head(0x82, bytes), vec![0; bytes as usize]].concat();
    let part = [frame_head(0x82, 900_000), vec![0; 800_000]].concat();
    let fragment = [frame_head(0x02, 600_000), vec![0; 600_000]].concat();
    let unread: Vec<u8> = (0..60).flat_map(|_| whole(900_000)).collect();
    let mut clients = Vec::new();
    for (frames, why) in [
        (&part, "a message that is not whole"),
        (&fragment, "fragments of one"),
        (&unread, "answers that the client does not read"),
    ] {
        let before = server.metric(ended);
        clients.push(send_frames(server.gate, frames).await);
        server.metric_becomes(ended, before + 1).await;
        assert!(server.metric("gatekeeper_buffered_bytes") <= BUFFER_BYTES as u64 / 2, "{why}");
    }
    // A client that sends events by POST and never polls.
    let opened = get(server.gate, &format!("/socket.io/?EIO=4&transport=polling&token={}", valid_token("bob"))).await;
    let (_, sid) = opened.split_once(r#""sid":""#).unwrap();
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", sid.split('"').next().unwrap());
    let event = format!("42[\"{}\"]", "x".repeat(150_000));
    for body in ["40", &event, &event] {
        let post = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(server.gate, post.as_bytes()).await;
        assert!(answer.ends_with("ok"), "{answer}");
    }
    server.metric_becomes(ended, 4).await;
    server.metric_becomes("gatekeeper_unpolled_bytes", 0).await;

    inside.send("in").await;
    assert_eq!(inside.text().await, "in", "a connection that holds nothing stays open");
    half_open.write_all(back).await.unwrap();
    assert!(rest(&mut half_open).await.ends_with("ok"), "a connection that holds little stays open");
    let rest_of_frame = [vec![b'x'; 500], vec![0x88, 0x80, 0, 0, 0, 0]].concat();
    slow.write_all(&rest_of_frame).await.unwrap();
    let answer = rest(&mut slow).await;
    assert!(answer.contains(&"x".repeat(1000)), "the half frame is completed");
}
