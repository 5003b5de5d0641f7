//! `--auth=session`: the gate looks each session up at the frontend.

mod frontends;

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    clients::{Client, exchange, get, rest},
    servers::{TestProcess, TestServer, addr, soon},
    tokens::{SECRET, valid_token},
};
use frontends::{Behaviour, Stub};

const SESSION: &str = "--auth=session";
const ORIGIN: &str = "http://app";

/// Logs the demo user in; the session's id.
pub async fn login(frontend: SocketAddr) -> String {
    let credentials = base64_simd::STANDARD.encode_to_string("gonzalo:password");
    let request =
        format!("GET /login HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\nConnection: close\r\n\r\n");
    let answer = exchange(frontend, request.as_bytes()).await;
    let (_, cookie) = answer.split_once("gatekeeper_session=").expect(&answer);
    cookie.split(';').next().unwrap().to_owned()
}

async fn logout(frontend: SocketAddr, session: &str) {
    let request = format!(
        "POST /logout HTTP/1.1\r\nHost: a\r\nCookie: gatekeeper_session={session}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let answer = exchange(frontend, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
}

/// Opens a Socket.IO session by `path`; returns the answer to `whoami`, or the refusal.
async fn socketio(gate: SocketAddr, path: &str, headers: &[(&'static str, String)]) -> String {
    let mut client = Client::open(gate, path, headers).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    if path.contains("EIO=4") {
        client.send("40").await;
    }
    let received = client.text().await;
    if received.starts_with("40") {
        client.send("421[\"whoami\"]").await;
        return client.text().await;
    }
    received
}

/// A polling session opened and connected over one connection; returns the answer to its second poll.
async fn polled(gate: SocketAddr, query: &str) -> String {
    let target = format!("/socket.io/?EIO=4&transport=polling{query}");
    let mut stream = TcpStream::connect(gate).await.unwrap();
    let opened = request(&mut stream, &format!("GET {target}"), "").await;
    let (_, sid) = opened.split_once(r#""sid":""#).expect(&opened);
    let target = format!("{target}&sid={}", sid.split('"').next().unwrap());
    for body in ["40", "421[\"whoami\"]"] {
        let posted = request(&mut stream, &format!("POST {target}"), body).await;
        if posted.ends_with("ok") && body == "40" {
            let received = request(&mut stream, &format!("GET {target}"), "").await;
            if received.starts_with("44") {
                return received;
            }
        }
    }
    request(&mut stream, &format!("GET {target}"), "").await
}

/// Sends a request over a connection that stays open; returns the answer's body.
async fn request(stream: &mut TcpStream, line: &str, body: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon("an answer", async {
        loop {
            answer.push(stream.read_u8().await.unwrap());
            if answer.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        let head = String::from_utf8(answer).unwrap();
        let (_, length) = head.split_once("Content-Length: ").expect(&head);
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        String::from_utf8(body).unwrap()
    })
    .await
}

#[tokio::test]
async fn sessions_authenticate_their_user_until_they_end() {
    let server = TestServer::start(&[SESSION, "--origin", ORIGIN]).await;
    let session = login(server.frontend).await;
    let whoami = r#"431["gonzalo"]"#;
    let cookie =
        |origin: &str| vec![("cookie", format!("gatekeeper_session={session}")), ("origin", origin.to_owned())];
    let query = format!("&session={session}");
    let (v4, v3) = ("/socket.io/?EIO=4&transport=websocket", "/socket.io/?EIO=3&transport=websocket");
    let unknown = r#"44{"message":"not valid token","data":{"reason":"unknown_session"}}"#;
    let missing = r#"44{"message":"not valid token","data":{"reason":"missing"}}"#;
    for (path, headers, expected, why) in [
        (format!("{v4}{query}"), vec![], whoami, "version 4"),
        (format!("{v3}{query}"), vec![], whoami, "version 3"),
        (v4.to_owned(), cookie(ORIGIN), whoami, "its cookie"),
        (v4.to_owned(), cookie("http://evil"), missing, "a page of an untrusted origin"),
        (v4.to_owned(), vec![], missing, "none"),
        (format!("{v4}&token={}", valid_token("ann")), vec![], missing, "a token does not replace a session"),
        (format!("{v4}&session=AAAA"), vec![], unknown, "an unknown session"),
        (format!("{v3}&session=AAAA"), vec![], r#"44"not valid token""#, "the same in 3"),
    ] {
        assert_eq!(socketio(server.gate, &path, &headers).await, expected, "{why}");
    }
    let mut client = Client::open(server.gate, v4, &[]).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    client.send(format!(r#"40{{"token":"{}"}}"#, valid_token("ann"))).await;
    assert_eq!(client.text().await, missing, "a token in the connect packet does not replace a session");
    assert_eq!(polled(server.gate, &query).await, whoami, "by polling");
    assert_eq!(polled(server.gate, "&session=AAAA").await, unknown, "by polling");

    let raw = format!("/ws?session={session}");
    let mut raw_client = Client::open(server.gate, &raw, &[]).await.unwrap();
    raw_client.send("in").await;
    assert_eq!(raw_client.text().await, "in");
    logout(server.frontend, &session).await;
    let refused = Client::open(server.gate, &raw, &[]).await.err().unwrap();
    assert_eq!((refused.status, &*refused.body), (401, "unknown_session"));
    assert_eq!(socketio(server.gate, &format!("{v4}{query}"), &[]).await, unknown);
    let long = format!("/ws?session={}", "x".repeat(300));
    let refused = Client::open(server.gate, &long, &[]).await.err().unwrap();
    assert_eq!(refused.status, 431, "too long for a lookup");
    raw_client.send("still in").await;
    assert_eq!(raw_client.text().await, "still in", "sessions are looked up at the handshake only");

    let handshakes = |what: &str| server.metric(&format!("gatekeeper_handshakes_total{{{what}}}"));
    let refused = |why: &str| handshakes(&format!(r#"outcome="refused",reason="{why}""#));
    assert_eq!(handshakes(r#"outcome="established""#), 5);
    assert_eq!((refused("unknown_session"), refused("missing")), (5, 4));
    assert_eq!(server.metric("gatekeeper_session_lookup_seconds_count"), 10);
}

#[tokio::test]
async fn pipelined_bytes_wait_for_the_lookup() {
    let server = TestServer::start(&[SESSION]).await;
    let session = login(server.frontend).await;
    let upgrade = format!(
        "GET /ws?session={session} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    // A text "ahead" and a close frame; their masking keys are zero.
    let frames = b"\x81\x85\0\0\0\0ahead\x88\x82\0\0\0\0\x03\xe8";
    let sent = [upgrade.as_bytes(), frames].concat();
    for pieces in [1, sent.len()] {
        let mut stream = TcpStream::connect(server.gate).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in sent.chunks(sent.len().div_ceil(pieces)) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("\u{5}ahead"), "{pieces} pieces: {answer}");
    }
}

#[tokio::test]
async fn connections_without_a_lookup_answer_get_503_and_others_are_served() {
    let unanswered = |why: &str| format!(r#"gatekeeper_handshakes_total{{outcome="unanswered",reason="{why}"}}"#);
    for (behaviour, reason, why) in [
        (Behaviour::Gone, "frontend", "nothing listens there"),
        (Behaviour::Answers("403 Forbidden", "Access Denied"), "frontend", "another key"),
        (Behaviour::Answers("404 Not Found", ""), "frontend", "another address"),
        (Behaviour::Answers("200 OK", "<html>"), "frontend", "a body that is not JSON"),
        (Behaviour::Answers("200 OK", r#"{"name":"x"}"#), "frontend", "JSON without a username"),
        (Behaviour::Answers("302 Found\r\nLocation: /", ""), "frontend", "a redirect"),
        (Behaviour::Silent, "time", "no answer"),
    ] {
        let stub = Stub::start(behaviour).await;
        let flags = ["--handshake-timeout=300ms", SESSION, "--session-url", &stub.url];
        let server = TestServer::start(&flags).await;
        let gate = server.gate;
        let asking = tokio::spawn(async move { Client::open(gate, "/ws?session=a", &[]).await.err() });
        assert!(get(gate, "/healthz").await.ends_with("ok"), "{why}: others are served");
        let refused = asking.await.unwrap().unwrap();
        assert_eq!((refused.status, &*refused.body), (503, "sessions cannot be looked up"), "{why}");
        assert_eq!(server.metric(&unanswered(reason)), 1, "{why}");
        let polls = get(gate, "/socket.io/?EIO=4&transport=polling&session=a").await;
        assert!(polls.starts_with("HTTP/1.1 503 "), "{why}: {polls}");
        assert!(polls.contains("Retry-After: 1\r\n"), "{why}: {polls}");
        server.metric_becomes("gatekeeper_connections_open", 0).await;
        assert_eq!(server.metric("gatekeeper_connections_half_open"), 0, "{why}");
    }
}

#[tokio::test]
async fn lookups_share_few_connections_and_a_bounded_queue() {
    const CLIENTS: usize = 1200;
    let stub = Stub::start(Behaviour::Held(r#"{"username":"ann"}"#)).await;
    let server = TestServer::start(&[SESSION, "--session-url", &stub.url]).await;
    let gate = server.gate;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        asking.spawn(async move { Client::open(gate, "/ws?session=a", &[]).await });
    }
    // 32 lookups run, 1,024 wait, and the other connections get 503 at once, before any lookup is answered.
    let mut refused_503 = 0;
    while refused_503 < CLIENTS - 32 - 1024 {
        let opened = soon("a 503", asking.join_next()).await.unwrap();
        assert_eq!(opened.unwrap().err().unwrap().status, 503);
        refused_503 += 1;
    }
    let queue = r#"gatekeeper_handshakes_total{outcome="unanswered",reason="queue"}"#;
    assert!(server.metric(queue) >= refused_503 as u64);
    stub.release();
    let mut accepted = 0;
    while let Some(opened) = soon("the others", asking.join_next()).await {
        match opened.unwrap() {
            Ok(_) => accepted += 1,
            // The queue was full before all 32 lookups had started, or the lookup timed out.
            Err(refused) => {
                assert_eq!(refused.status, 503);
                refused_503 += 1;
            }
        }
    }
    assert_eq!(accepted + refused_503, CLIENTS);
    assert!(accepted >= 32, "queued lookups are answered: {accepted}");
    assert!(stub.connections() <= 32, "{} connections", stub.connections());
    let before = stub.connections();
    for _ in 0..20 {
        Client::open(gate, "/ws?session=a", &[]).await.unwrap();
    }
    assert_eq!(stub.connections(), before, "connections are reused");
}

#[tokio::test]
async fn clients_that_close_during_their_lookup_are_counted_once() {
    let stub = Stub::start(Behaviour::Held("null")).await;
    let server = TestServer::start(&[SESSION, "--session-url", &stub.url]).await;
    for _ in 0..10 {
        let mut stream = TcpStream::connect(server.gate).await.unwrap();
        let request = b"GET /socket.io/?EIO=4&transport=polling&session=a HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(request).await.unwrap();
    }
    let abandoned = r#"gatekeeper_handshakes_total{outcome="abandoned"}"#;
    server.metric_becomes(abandoned, 10).await;
    stub.release();
    server.metric_becomes("gatekeeper_session_lookup_seconds_count", 10).await;
    for gauge in ["open", "half_open", "unconnected"] {
        assert_eq!(server.metric(&format!("gatekeeper_connections_{gauge}")), 0, "{gauge}");
    }
}

#[tokio::test]
async fn lookups_work_across_roles_and_processes() {
    let frontend = |secret: &str| {
        TestProcess::start(&["--role=frontend", "--frontend-listen=127.0.0.1:0", SESSION, "--secret", secret])
    };
    let good = frontend(SECRET);
    let other = frontend(&SECRET.replace("RFC", "rfc"));
    for (frontend, processes, expected) in [(&good, "1", 101), (&good, "2", 101), (&other, "1", 503)] {
        let frontend = addr(&frontend.ready["frontend"]);
        let url = format!("http://{frontend}/getSessionUser");
        let session = login(frontend).await;
        let mut gate = TestProcess::start(&[
            "--role=gate",
            "--listen=127.0.0.1:0",
            SESSION,
            "--session-url",
            &url,
            "--processes",
            processes,
            "--secret",
            SECRET,
        ]);
        let path = format!("/ws?session={session}");
        for _ in 0..4 {
            let opened = Client::open(addr(&gate.ready["gate"]), &path, &[]).await;
            let status = opened.err().map_or(101, |refused| refused.status);
            assert_eq!(status, expected, "{processes} processes");
        }
        if expected == 503 {
            gate.logs("give both the same --secret");
        }
    }
    // Both in one command line, with the gate in children.
    let both = TestProcess::start(&["--listen=127.0.0.1:0", "--frontend-listen=127.0.0.1:0", "--processes=2", SESSION]);
    let session = login(addr(&both.ready["frontend"])).await;
    let path = format!("/ws?session={session}");
    Client::open(addr(&both.ready["gate"]), &path, &[]).await.unwrap();
}

#[tokio::test]
async fn only_the_gate_may_look_up_sessions() {
    let server = TestServer::start(&[SESSION]).await;
    let session = login(server.frontend).await;
    let ask = async |authorization: &str, session: &str| {
        let request = format!(
            "GET /getSessionUser HTTP/1.1\r\nHost: a\r\nCookie: gatekeeper_session={session}\r\n\
             {authorization}Connection: close\r\n\r\n"
        );
        let answer = exchange(server.frontend, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].to_owned(), body.to_owned())
    };
    let key = gatekeeper::session_key::SessionKey::of_secret(SECRET.as_bytes()).authorization();
    let key = format!("Authorization: {key}\r\n");
    for (authorization, session, status, body, why) in [
        (&*key, &*session, "200", r#"{"username":"gonzalo"}"#, "the gate"),
        (&key, "AAAA", "200", "null", "no such session"),
        (&key, "", "200", "null", "no session"),
        ("", &session, "403", "Access Denied", "no authorization"),
        ("Authorization: Bearer x\r\n", &session, "403", "Access Denied", "another key"),
    ] {
        let (status_sent, body_sent) = ask(authorization, session).await;
        assert_eq!((&*status_sent, &*body_sent), (status, body), "{why}");
    }
    let by_token = TestServer::start(&[]).await;
    let answer = get(by_token.frontend, "/getSessionUser").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "no lookup route with token authentication: {answer}");
}
