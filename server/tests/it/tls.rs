//! The gate and the frontend under TLS, with independent clients.

mod hostile;
mod processes;
mod reload;
mod resumption;

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use gatekeeper::config::Config;
use rustls::version::{TLS12, TLS13};
use testkit::TlsClient;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, protocol::CloseFrame},
};

pub use testkit::Pki;

use super::{
    servers::{TestProcess, TestServer, addr, soon},
    tokens::{invalid_tokens, valid_token},
};

/// A server under TLS in this process.
async fn server(pki: &Pki, flags: &[&str]) -> TestServer {
    server_with(pki, flags, |config| config).await
}

async fn server_with(pki: &Pki, flags: &[&str], change: impl FnOnce(Config) -> Config) -> TestServer {
    let tls = pki.flags();
    let all: Vec<_> = flags.iter().copied().chain(tls.iter().map(|it| &**it)).collect();
    TestServer::start_with(&all, change).await
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A WebSocket at `path`.
async fn open(client: &TlsClient, gate: SocketAddr, path: &str) -> Socket {
    let stream = client.connect(gate).await.unwrap();
    let url = format!("wss://{gate}{path}");
    let opened = soon(path, client_async(url, stream)).await;
    opened.unwrap_or_else(|error| panic!("{path}: {error}")).0
}

async fn raw(client: &TlsClient, gate: SocketAddr) -> Socket {
    let path = format!("/ws?token={}", valid_token("ann"));
    open(client, gate, &path).await
}

/// Logs the demo user in; returns the value of `set-cookie`.
async fn login(client: &TlsClient, frontend: SocketAddr) -> String {
    let request = "GET /login HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                   Authorization: Basic Z29uemFsbzpwYXNzd29yZA==\r\n\r\n";
    let answer = client.exchange(frontend, request.as_bytes()).await;
    let mut lines = answer.lines();
    let cookie = lines.find_map(|line| line.strip_prefix("set-cookie: "));
    cookie.expect(&answer).to_owned()
}

async fn text(socket: &mut Socket) -> String {
    match soon("a message", socket.next()).await {
        Some(Ok(Message::Text(text))) => text.to_string(),
        other => panic!("{other:?} in place of a text"),
    }
}

async fn echo(socket: &mut Socket, message: &str) {
    socket.send(message.into()).await.unwrap();
    assert_eq!(text(socket).await, message);
}

/// Reads to the end of the stream; returns the close frame. Panics at an end without close_notify.
async fn closed(mut socket: Socket) -> Option<CloseFrame> {
    let mut frame = None;
    while let Some(message) = soon("the end", socket.next()).await {
        if let Message::Close(close) = message.expect("close_notify") {
            frame = close;
        }
    }
    frame
}

#[tokio::test]
async fn all_protocols_work_under_tls() {
    let pki = Pki::create();
    let server = server(&pki, &[]).await;
    for (versions, alpn, why) in
        [(&[&TLS13][..], &["h2", "http/1.1"][..], "1.3, as browsers ask"), (&[&TLS12], &[], "1.2, without ALPN")]
    {
        let client = pki.client_of(versions, alpn);
        let stream = client.connect(server.gate).await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol();
        let expected = (!alpn.is_empty()).then_some(&b"http/1.1"[..]);
        assert_eq!(agreed, expected, "{why}");

        let page = client.get(server.gate, "/healthz").await;
        assert!(page.ends_with("\r\n\r\nok"), "{why}: {page}");
        let mut socket = raw(&client, server.gate).await;
        echo(&mut socket, "hello").await;
        echo(&mut socket, &"x".repeat(900_000)).await;
        socket.close(None).await.unwrap();
        closed(socket).await;

        let path = format!("/socket.io/?EIO=4&transport=websocket&token={}", valid_token("ann"));
        let mut socket = open(&client, server.gate, &path).await;
        assert!(text(&mut socket).await.starts_with("0{"), "{why}");
        socket.send("40".into()).await.unwrap();
        assert!(text(&mut socket).await.starts_with("40{"), "{why}");
        socket.send("42[\"a\"]".into()).await.unwrap();
        assert_eq!(text(&mut socket).await, "42[\"a\"]", "{why}");

        for invalid in invalid_tokens().iter().filter(|invalid| invalid.token.is_some()) {
            let path = format!("/ws?token={}", invalid.token.as_deref().unwrap());
            let head = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
            let request = format!("GET {path} HTTP/1.1\r\nHost: gate\r\n{head}\r\n");
            let answer = client.exchange(server.gate, request.as_bytes()).await;
            let status = if invalid.reason == "too_long" { "431" } else { "401" };
            assert!(answer.contains(status), "{why}: {}: {answer}", invalid.kind);
        }
    }
}

#[tokio::test]
async fn the_frontend_serves_tls_and_links_the_gate_by_https() {
    let pki = Pki::create();
    let server = server(&pki, &[]).await;
    let client = pki.client();
    let cookie = login(&client, server.frontend).await;
    assert!(cookie.contains("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let page = format!("GET /private HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n");
    let page = client.exchange(server.frontend, page.as_bytes()).await;
    let gate = format!("https://{}", server.gate);
    assert!(page.contains(&format!("data-gate=\"{gate}\"")), "{page}");
    let sockets = format!("wss://{}", server.gate);
    assert!(page.contains(&sockets), "the policy allows them: {page}");

    let origin = format!("Origin: https://{}\r\n", server.frontend);
    let preflight =
        format!("OPTIONS /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{origin}\r\n");
    let allowed = client.exchange(server.gate, preflight.as_bytes()).await;
    assert!(allowed.contains("Access-Control-Allow-Origin: https://"), "{allowed}");
}

#[tokio::test]
async fn a_gate_asks_its_own_frontend_without_tls() {
    let pki = Pki::create();
    let tls = pki.flags();
    let client = pki.client();
    for processes in ["--processes=1", "--processes=2"] {
        let flags =
            ["--listen=127.0.0.1:0", "--frontend-listen=127.0.0.1:0", "--auth=session", processes, &tls[0], &tls[1]];
        let process = TestProcess::start(&flags);
        let [gate, frontend] = ["gate", "frontend"].map(|part| addr(&process.ready[part]));
        let cookie = login(&client, frontend).await;
        let (_, session) = cookie.split_once('=').unwrap();
        let session = session.split(';').next().unwrap();
        for _ in 0..4 {
            let mut socket = open(&client, gate, &format!("/ws?session={session}")).await;
            echo(&mut socket, processes).await;
        }
        let stream = client.connect(gate).await.unwrap();
        let unknown = client_async(format!("wss://{gate}/ws?session=AAAA"), stream).await;
        let refused = unknown.expect_err("an unknown session").to_string();
        assert!(refused.contains("401"), "{refused}");
    }
}

#[tokio::test]
async fn a_full_gate_answers_503_under_tls() {
    let pki = Pki::create();
    let server = server(&pki, &["--max-connections=2"]).await;
    let client = pki.client();
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(raw(&client, server.gate).await);
    }
    let answer = client.get(server.gate, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("Retry-After"), "{answer}");
    drop(held);
    server.metric_becomes("gatekeeper_connections_open", 0).await;
    let answer = client.get(server.gate, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_drain_sends_1001_and_close_notify() {
    let pki = Pki::create();
    let server = server(&pki, &[]).await;
    let client = pki.client();
    let socket = raw(&client, server.gate).await;
    let ended = server.stop();
    let frame = closed(socket).await.expect("a close frame");
    assert_eq!(u16::from(frame.code), 1001);
    soon("the end", ended).await.unwrap().unwrap();
}
