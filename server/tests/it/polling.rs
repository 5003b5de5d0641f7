//! Engine.IO by long-polling: payloads, waiting polls, upgrades, and every way to end, over two shards.

mod bodies;
mod jsonp;
mod processes;
mod upgrade;

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    clients::{Client, exchange},
    servers::{TestServer, soon},
    tokens::{invalid_tokens, valid_token},
};

const ORIGIN: &str = "http://app";

/// An HTTP answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect(text);
        Self { status: head[9..12].parse().unwrap(), head: head.to_owned(), body: body.to_owned() }
    }

    #[track_caller]
    fn check(&self, status: u16, body: &str, why: &str) {
        assert_eq!((self.status, &*self.body), (status, body), "{why}: {self:?}");
    }
}

fn request(method: &str, target: &str, headers: &str, body: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: gate\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

/// A client that polls, with a connection for each request, so that some come to the other shard.
#[derive(Clone)]
struct Poller {
    gate: SocketAddr,
    target: String,
}

impl Poller {
    /// Opens a session; returns its first payload.
    async fn open(gate: SocketAddr, eio: u8, token: &str) -> (Self, String) {
        let target = format!("/socket.io/?EIO={eio}&transport=polling");
        let unnamed = Self { gate, target };
        let opened = unnamed.send("GET", &format!("&token={token}"), "").await;
        assert_eq!(opened.status, 200, "{opened:?}");
        let json = &opened.body[opened.body.find('{').unwrap()..];
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
        let open = values.next().unwrap().unwrap();
        assert_eq!(open["upgrades"], serde_json::json!(["websocket"]));
        let sid = open["sid"].as_str().unwrap();
        let named = Self { target: format!("{}&sid={sid}", unnamed.target), ..unnamed };
        (named, opened.body)
    }

    /// A client of version 4, connected.
    async fn connected(gate: SocketAddr) -> Self {
        let (poller, _) = Self::open(gate, 4, &valid_token("ann")).await;
        poller.post("40").await.check(200, "ok", "a connect packet");
        let connected = poller.get().await.body;
        assert!(connected.starts_with(r#"40{"sid":"#), "{connected}");
        poller
    }

    async fn send(&self, method: &str, more: &str, body: &str) -> Answer {
        let target = format!("{}{more}", self.target);
        let request = request(method, &target, "Connection: close\r\n", body);
        Answer::parse(&exchange(self.gate, request.as_bytes()).await)
    }

    async fn get(&self) -> Answer {
        self.send("GET", "", "").await
    }

    async fn post(&self, body: &str) -> Answer {
        self.send("POST", "", body).await
    }

    /// Starts a long poll; returns when the gate has read the request.
    async fn wait(&self, server: &TestServer) -> tokio::task::JoinHandle<Answer> {
        const RECEIVED: &str = "gatekeeper_received_bytes_total";
        let request = request("GET", &self.target, "Connection: close\r\n", "");
        let with_it = server.metric(RECEIVED) + request.len() as u64;
        let gate = self.gate;
        let waiting = async move { Answer::parse(&exchange(gate, request.as_bytes()).await) };
        let waiting = tokio::spawn(waiting);
        server.metric_becomes(RECEIVED, with_it).await;
        waiting
    }

    /// Checks that the gate no longer knows the session.
    async fn check_over(&self, why: &str) {
        let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
        self.get().await.check(400, unknown, why);
    }

    fn websocket(&self) -> String {
        self.target.replace("=polling", "=websocket")
    }
}

const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;

#[tokio::test]
async fn packets_go_both_ways() {
    let server = TestServer::start(&[]).await;
    // Enough sessions that both shards own some.
    for _ in 0..8 {
        let poller = Poller::connected(server.gate).await;
        let sent = "42[\"a\",\"€\"]\u{1e}451-[\"b\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID";
        poller.post(sent).await.check(200, "ok", "three packets");
        poller.get().await.check(200, sent, "they come back");

        let waiting = poller.wait(&server).await;
        poller.post("421[\"whoami\"]").await.check(200, "ok", "an event");
        let answer = waiting.await.unwrap();
        answer.check(200, "431[\"ann\"]", "through the poll that waited");
    }
}

#[tokio::test]
async fn version_3_has_its_own_payload_format() {
    let server = TestServer::start(&[]).await;
    let (poller, opened) = Poller::open(server.gate, 3, &valid_token("ann")).await;
    assert!(opened.ends_with("}2:40"), "connected without a connect packet: {opened}");
    let (length, packet) = opened.split_once(':').unwrap();
    let length: usize = length.parse().unwrap();
    assert_eq!(packet.len(), length + "2:40".len());

    let sent = "12:42[\"a\",\"🚪\"]6:2probe";
    poller.post(sent).await.check(200, "ok", "two packets");
    let back = "12:42[\"a\",\"🚪\"]6:3probe";
    poller.get().await.check(200, back, "an echo and a pong");

    let (poller, opened) = Poller::open(server.gate, 3, "bad").await;
    assert!(opened.ends_with(r#"}19:44"not valid token""#), "{opened}");
    poller.post("1:1").await.check(200, "ok", "the client sends a close packet");
    poller.check_over("closed by the client").await;
}

#[tokio::test]
async fn polling_refuses_invalid_tokens_with_their_reason() {
    let server = TestServer::start(&[]).await;
    for invalid in invalid_tokens() {
        let token = invalid.token.as_deref().unwrap_or_default();
        if invalid.reason == "too_long" {
            let request = request("GET", &format!("/socket.io/?EIO=4&transport=polling&token={token}"), "", "");
            let answer = Answer::parse(&exchange(server.gate, request.as_bytes()).await);
            assert_eq!(answer.status, 431, "{}", invalid.kind);
            continue;
        }
        if invalid.token.is_none() {
            continue;
        }
        let (poller, _) = Poller::open(server.gate, 4, token).await;
        poller.post("40").await.check(200, "ok", invalid.kind);
        let refused = format!(r#"44{{"message":"not valid token","data":{{"reason":"{}"}}}}"#, invalid.reason);
        poller.get().await.check(200, &refused, invalid.kind);
    }
}

#[tokio::test]
async fn requests_that_overlap_end_the_session() {
    let server = TestServer::start(&[]).await;
    let poller = Poller::connected(server.gate).await;
    let waiting = poller.wait(&server).await;
    poller.get().await.check(400, BAD_REQUEST, "the second poll");
    waiting.await.unwrap().check(200, "1", "the first poll receives a close packet");
    poller.check_over("two polls").await;

    let poller = Poller::connected(server.gate).await;
    let whole = request("POST", &poller.target, "", "42[\"a\"]");
    let mut stream = TcpStream::connect(server.gate).await.unwrap();
    // The answer to the complete request shows that the gate has read the half request behind it.
    let sent = format!("{whole}{}", &whole[..whole.len() - 3]);
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    soon("the first answer", stream.read(&mut answer)).await.unwrap();
    poller.post("42[\"b\"]").await.check(400, BAD_REQUEST, "the second POST");
    poller.check_over("two POSTs").await;
}

#[tokio::test]
async fn sessions_end_on_close_invalid_packets_and_lost_polls() {
    let server = TestServer::start(&["--ping-interval=60000"]).await;
    let poller = Poller::connected(server.gate).await;
    let waiting = poller.wait(&server).await;
    poller.post("1").await.check(200, "ok", "the client closes");
    waiting.await.unwrap().check(200, "6", "its poll is over");
    poller.check_over("closed by the client").await;

    for (body, why) in [
        ("abc", "no packet"),
        ("", "nothing"),
        ("4abc", "no Socket.IO packet"),
        ("2", "in version 4 the server pings"),
        ("bAQID", "no binary event announced it"),
        ("42[\"a\"]\u{1e}", "the second packet is empty"),
    ] {
        let poller = Poller::connected(server.gate).await;
        let waiting = poller.wait(&server).await;
        poller.post(body).await.check(400, BAD_REQUEST, why);
        let received = waiting.await.unwrap();
        assert!(received.body.ends_with('1'), "{why}: {received:?}");
        poller.check_over(why).await;
    }

    let poller = Poller::connected(server.gate).await;
    let waiting = poller.wait(&server).await;
    waiting.abort();
    let _ = waiting.await;
    let gone = r#"gatekeeper_sessions_ended_total{reason="gone"}"#;
    server.metric_becomes(gone, 1).await;
    poller.check_over("its poll was cut off").await;
}

#[tokio::test]
async fn heartbeats_are_sent_in_polls() {
    let server = TestServer::start(&["--ping-interval=150", "--ping-timeout=3000"]).await;
    let poller = Poller::connected(server.gate).await;
    for _ in 0..2 {
        poller.get().await.check(200, "2", "a ping ends the poll");
        poller.post("3").await.check(200, "ok", "its pong");
    }
    let server = TestServer::start(&["--ping-interval=50", "--ping-timeout=100"]).await;
    for eio in [3, 4] {
        let (poller, _) = Poller::open(server.gate, eio, &valid_token("ann")).await;
        if eio == 4 {
            poller.post("40").await.check(200, "ok", "a connect packet");
        }
        let over = r#"gatekeeper_sessions_ended_total{reason="ping_timeout"}"#;
        server.metric_becomes(over, u64::from(eio) - 2).await;
        poller.check_over("silence").await;
    }
}

#[tokio::test]
async fn invalid_requests_are_answered_with_their_error() {
    let server = TestServer::start(&["--max-message-bytes=100"]).await;
    let poller = Poller::connected(server.gate).await;
    let target = &poller.target;
    let unknown = target.replace("sid=", "sid=AAAA");
    let unknown_sid = r#"{"code":1,"message":"Session ID unknown"}"#;
    for (sent, status, body, why) in [
        (request("GET", &unknown, "", ""), 400, unknown_sid, "no such id"),
        (request("POST", &unknown, "", "2"), 400, unknown_sid, "nor for a POST"),
        (request("PUT", target, "", ""), 400, BAD_REQUEST, "no such method"),
        (
            request("POST", "/socket.io/?EIO=4&transport=polling", "", ""),
            400,
            r#"{"code":2,"message":"Bad handshake method"}"#,
            "sessions are opened by GET",
        ),
        (
            request("GET", "/socket.io/?EIO=abc&transport=polling", "", ""),
            400,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
            "no such version",
        ),
        (format!("POST {target} HTTP/1.1\r\nHost: a\r\n\r\n"), 411, "no length", "a body has a length"),
        (request("POST", target, "Content-Length: 3\r\n", "42"), 400, BAD_REQUEST, "two lengths"),
        (request("POST", target, "", &"4".repeat(101)), 413, "the body is too large", "above maxPayload"),
    ] {
        let answer = Answer::parse(&exchange(server.gate, sent.as_bytes()).await);
        answer.check(status, body, why);
    }
    poller.post("42[\"a\"]").await.check(200, "ok", "the session still exists");
}

#[tokio::test]
async fn a_connection_serves_its_requests_in_order() {
    let server = TestServer::start(&[]).await;
    for _ in 0..4 {
        let poller = Poller::connected(server.gate).await;
        let mut stream = TcpStream::connect(server.gate).await.unwrap();
        // A long poll with a pipelined POST, which the gate reads when the poll has ended.
        let both = [request("GET", &poller.target, "", ""), request("POST", &poller.target, "", "42[\"second\"]")];
        stream.write_all(both.concat().as_bytes()).await.unwrap();
        poller.post("42[\"first\"]").await.check(200, "ok", "by another connection");
        let mut received = String::new();
        let mut buffer = [0; 1024];
        while !received.ends_with("ok") {
            let bytes = soon("an answer", stream.read(&mut buffer)).await.unwrap();
            assert!(bytes > 0, "{received}");
            received.push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
        }
        assert!(received.contains("42[\"first\"]"), "{received}");
        assert!(received.contains("Connection: keep-alive"), "{received}");
        poller.get().await.check(200, "42[\"second\"]", "the POST was taken");
    }
}

#[tokio::test]
async fn cors_headers_follow_the_origin_list() {
    let server = TestServer::start(&["--origin", ORIGIN]).await;
    let target = "/socket.io/?EIO=4&transport=polling";
    for (method, origin, status, allowed) in [
        ("OPTIONS", ORIGIN, 204, true),
        ("OPTIONS", "http://evil", 204, false),
        ("GET", ORIGIN, 200, true),
        ("GET", "http://evil", 200, false),
        ("PUT", ORIGIN, 400, true),
    ] {
        let headers = format!("Connection: close\r\nOrigin: {origin}\r\n");
        let sent = request(method, target, &headers, "");
        let answer = Answer::parse(&exchange(server.gate, sent.as_bytes()).await);
        assert_eq!(answer.status, status, "{method} from {origin}");
        let allows = format!("Access-Control-Allow-Origin: {ORIGIN}\r\n");
        assert_eq!(answer.head.contains(&allows), allowed, "{method} from {origin}");
        let methods = answer.head.contains("Access-Control-Allow-Methods: GET, POST");
        assert_eq!(methods, allowed && method == "OPTIONS", "{method} from {origin}");
    }
}

#[tokio::test]
async fn waiting_polls_are_answered_with_a_close_when_the_gate_drains() {
    let server = TestServer::start(&[]).await;
    let poller = Poller::connected(server.gate).await;
    let waiting = poller.wait(&server).await;
    soon("the end", server.stop()).await.unwrap().unwrap();
    waiting.await.unwrap().check(200, "1", "the session is closed");
}

#[tokio::test]
async fn counters_of_polling_add_up() {
    let server = TestServer::start(&[]).await;
    let poller = Poller::connected(server.gate).await;
    let mut socket = Client::open(server.gate, &poller.websocket(), &[]).await.unwrap();
    socket.send("2probe").await;
    socket.send("5").await;
    assert_eq!(socket.text().await, "3probe");
    let (left, _) = Poller::open(server.gate, 4, "bad").await;
    left.post("1").await.check(200, "ok", "a close packet before the connect packet");
    drop(socket);
    server.metric_becomes("gatekeeper_connections_open", 0).await;
    server.metric_becomes("gatekeeper_sessions_open", 0).await;

    let outcome = |outcome: &str| server.metric(&format!("gatekeeper_handshakes_total{{outcome=\"{outcome}\"}}"));
    assert_eq!(server.metric("gatekeeper_polling_sessions_total"), 2);
    assert_eq!(server.metric("gatekeeper_connections_accepted_total"), 6);
    let outcomes = ["established", "abandoned", "polled", "upgraded"];
    assert_eq!(outcomes.map(outcome), [1, 1, 5, 1], "{outcomes:?}");
}

#[tokio::test]
async fn waiting_packets_are_split_into_several_answers() {
    let flags = ["--app=conformance", "--auth=none"];
    let longer = [flags[0], flags[1], "--max-message-bytes=8000000"];
    for (flags, bytes, count, more, why) in [
        (&flags[..], 999_999, 3, "", "each as long as may be"),
        (&flags[..], 300_000, 5, "", "three and two"),
        (&longer, 7_000_000, 2, "", "longer than usual"),
        (&flags[..], 999_000, 2, "&j=1", "a script of escapes"),
    ] {
        let server = TestServer::start(flags).await;
        let target = "/engine.io/?EIO=4&transport=polling".to_owned();
        let gate = server.gate;
        let mut poller = Poller { gate, target };
        let opened = poller.get().await.body;
        let (_, sid) = opened.split_once(r#""sid":""#).unwrap();
        let sid = sid.split('"').next().unwrap();
        poller.target.push_str(&format!("&sid={sid}"));
        let packet = format!("4{}", "\u{1}".repeat(bytes));
        for _ in 0..count {
            poller.post(&packet).await.check(200, "ok", why);
        }
        poller.target.push_str(more);
        let mut received = 0;
        while received < count * bytes {
            let answer = poller.get().await;
            assert_eq!(answer.status, 200, "{why}");
            let escaped = answer.body.matches("\\u0001").count();
            received += escaped + answer.body.matches('\u{1}').count();
        }
        assert_eq!(received, count * bytes, "{why}");
    }
}
