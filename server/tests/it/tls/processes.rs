//! Sessions that poll over several connections, under TLS: connections move between the shards of a process, and
//! are relayed to other processes.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{
    super::{
        processes::FLAGS,
        servers::{TestProcess, addr, soon},
        tokens::valid_token,
    },
    Pki, Socket, TlsClient, open, server, text,
};

/// A client that polls, with a connection for each request.
struct Poller<'c> {
    client: &'c TlsClient,
    gate: SocketAddr,
    target: String,
}

impl<'c> Poller<'c> {
    async fn open(client: &'c TlsClient, gate: SocketAddr) -> Self {
        let mut poller =
            Self { client, gate, target: format!("/socket.io/?EIO=4&transport=polling&token={}", valid_token("ann")) };
        let opened = poller.send("GET", "").await;
        let open: Value = serde_json::from_str(&opened[opened.find('{').expect(&opened)..]).unwrap();
        poller.target = format!("/socket.io/?EIO=4&transport=polling&sid={}", open["sid"].as_str().unwrap());
        assert!(poller.send("POST", "40").await.ends_with("\r\n\r\nok"));
        assert!(poller.send("GET", "").await.contains("40{\"sid\":"));
        poller
    }

    async fn send(&self, method: &str, body: &str) -> String {
        let request = format!(
            "{method} {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.target,
            body.len()
        );
        self.client.exchange(self.gate, request.as_bytes()).await
    }

    /// Echoes events by polling, upgrades to a WebSocket, and echoes events there.
    async fn talk(&self, why: &str) {
        let large = format!("42[\"{}\"]", "x".repeat(200_000));
        for event in ["42[\"a\"]", &large] {
            assert!(self.send("POST", event).await.ends_with("\r\n\r\nok"), "{why}");
            let answer = self.send("GET", "").await;
            assert!(answer.ends_with(event), "{why}: {} bytes", answer.len());
        }
        let mut socket = self.upgrade().await;
        for event in ["42[\"b\"]", &large] {
            socket.send(event.into()).await.unwrap();
            assert_eq!(text(&mut socket).await, event, "{why}");
        }
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        socket.close(Some(normal)).await.unwrap();
        let frame = super::closed(socket).await.expect(why);
        assert_eq!(frame.code, CloseCode::Normal, "{why}: the closing handshake");
    }

    /// Upgrades to a WebSocket.
    async fn upgrade(&self) -> Socket {
        let path = self.target.replace("=polling", "=websocket");
        let mut socket = open(self.client, self.gate, &path).await;
        socket.send("2probe".into()).await.unwrap();
        assert_eq!(text(&mut socket).await, "3probe");
        socket.send("5".into()).await.unwrap();
        socket
    }
}

#[tokio::test]
async fn sessions_are_found_from_every_shard() {
    let pki = Pki::create();
    let server = server(&pki, &[]).await;
    let client = pki.client();
    for round in 0..4 {
        let poller = Poller::open(&client, server.gate).await;
        poller.talk(&format!("round {round}")).await;
    }
    server.metric_becomes("gatekeeper_connections_open", 0).await;
}

#[tokio::test]
async fn sessions_are_found_from_every_process() {
    let pki = Pki::create();
    let tls = pki.flags();
    let more = ["--max-connections-per-address=50"];
    let all = FLAGS.iter().chain(&more).copied();
    let flags: Vec<_> = all.chain(tls.iter().map(|it| &**it)).collect();
    let process = TestProcess::start(&flags);
    let gate = addr(&process.ready["gate"]);
    let client = pki.client();
    for round in 0..8 {
        let poller = Poller::open(&client, gate).await;
        poller.talk(&format!("round {round}")).await;
    }
    // The metrics page is relayed from the parent.
    let mut page = client.get(gate, "/metrics").await;
    assert!(value(&page, "gatekeeper_connections_taken_in_total") > 0.0, "{page}");
    // Relayed connections are closed at both ends.
    while value(&page, "gatekeeper_connections_open") > 0.0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        page = client.get(gate, "/metrics").await;
    }
    let head = "HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = client.exchange(gate, head.as_bytes()).await;
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let sent_on: f64 = value(&page, "gatekeeper_connections_taken_in_total");
    assert!(sent_on > 0.0);
}

#[tokio::test]
async fn a_relay_to_a_slow_reader_holds_limited_memory() {
    /// Together more than the kernel buffers for one connection (tcp_wmem and tcp_rmem: 4 and 6 MiB).
    const EVENTS: usize = 70;
    /// More than a gate buffers for a client that reads.
    const WAITING_BYTES: f64 = 64.0 * 1024.0;
    /// Most bytes that both ends of a relay and the other process hold together, in each direction.
    const HELD_BYTES_MAX: f64 = 4.0 * 1024.0 * 1024.0;
    let pki = Pki::create();
    let tls = pki.flags();
    let all = FLAGS.iter().copied().chain(["--max-message-bytes=300000"]);
    let flags: Vec<_> = all.chain(tls.iter().map(|it| &**it)).collect();
    let process = TestProcess::start(&flags);
    let gate = addr(&process.ready["gate"]);
    let client = pki.client();
    let buffered = async || value(&client.get(gate, "/metrics").await, "gatekeeper_buffered_bytes");
    let event = format!("42[\"{}\"]", "x".repeat(290_000));
    // One of three processes owns the session; five rounds make a relayed connection almost certain.
    for round in 0..5 {
        let poller = Poller::open(&client, gate).await;
        let (mut sink, mut stream) = poller.upgrade().await.split();
        let message = Message::from(&*event);
        let sent = tokio::spawn(async move {
            for _ in 0..EVENTS {
                sink.send(message.clone()).await?;
            }
            Ok::<_, tokio_tungstenite::tungstenite::Error>(sink)
        });
        soon("the gate waits for its client", async {
            while buffered().await < WAITING_BYTES {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        for nth in 0..EVENTS {
            let held_bytes = buffered().await;
            assert!(held_bytes <= HELD_BYTES_MAX, "round {round}: {held_bytes}");
            match soon("an event", stream.next()).await {
                Some(Ok(Message::Text(text))) => assert!(*text == *event, "round {round}, {nth}"),
                other => panic!("round {round}, {nth}: {other:?}"),
            }
        }
        let _sink = sent.await.unwrap().expect("all is sent");
    }
}

/// One value of a page of figures.
fn value(page: &str, sample: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(sample));
    line.unwrap_or_else(|| panic!("no {sample} in\n{page}")).trim().parse::<f64>().unwrap()
}
