//! The page of metrics, read by Prometheus' own client, after a load of which every number is known.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    super::{
        clients::{Client, get},
        servers::{TestServer, soon},
        tokens::{sign_es256, valid_token},
    },
    Peers,
};

/// A page, parsed.
struct Page(Value);

impl Page {
    async fn read(peers: &Peers, server: &TestServer) -> Self {
        let answer = get(server.gate, "/metrics").await;
        let (_, page) = answer.split_once("\r\n\r\n").unwrap();
        let asked = [json!({"page": page})];
        Self(peers.ask("python/metrics.py", &[], &asked).await.remove(0))
    }

    /// The value of one sample, whose labels are all of `labels`.
    #[track_caller]
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Value = labels
            .iter()
            .map(|(label, text)| (label.to_string(), Value::from(*text)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let samples = self.0["samples"].as_array().unwrap();
        let mut found = samples.iter().filter(|sample| sample["name"] == name && sample["labels"] == labels);
        let sample = found.next().unwrap_or_else(|| panic!("no {name} {labels} in {}", self.0));
        assert!(found.next().is_none(), "{name} {labels} is there once");
        sample["value"].as_f64().unwrap()
    }

    /// Checks that buckets grow to the count, which covers one verdict in sixteen on each of two shards.
    #[track_caller]
    fn check_histogram(&self, name: &str, verdicts: u64) {
        let bucket = format!("{name}_bucket");
        let samples = self.0["samples"].as_array().unwrap();
        let counts: Vec<_> = samples
            .iter()
            .filter(|sample| sample["name"] == *bucket)
            .map(|sample| sample["value"].as_f64().unwrap())
            .collect();
        assert!(counts.is_sorted() && counts.len() > 10, "{name}: {counts:?}");
        let count = self.value(&format!("{name}_count"), &[]);
        assert_eq!(counts.last(), Some(&count), "{name}: +Inf");
        let least = verdicts.div_ceil(16) as f64;
        assert!((least..=least + 1.0).contains(&count), "{name}: {count} of {verdicts}");
        let mean_s = self.value(&format!("{name}_sum"), &[]) / count;
        assert!((1e-7..1.0).contains(&mean_s), "{name}: {mean_s} s");
        assert_eq!(self.0["types"][name], "histogram");
    }
}

#[tokio::test]
async fn prometheus_parser_reads_the_metrics() {
    let Some(peers) = Peers::find() else { return };
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/jwks.json");
    let server = TestServer::start(&["--keys", keys, "--connect-timeout=400ms", "--head-timeout=400ms"]).await;
    let secret = valid_token("ann");
    let public = sign_es256("p256");
    // One at a time, so that each shard verifies the token without its cache at most once.
    let mut sockets = Vec::new();
    for token in [&secret, &public] {
        for _ in 0..20 {
            sockets.push(Client::raw(server.gate, token).await);
        }
    }
    for socket in &mut sockets[..5] {
        socket.send("hello").await;
        assert_eq!(socket.text().await, "hello");
    }
    for _ in 0..7 {
        assert!(Client::open(server.gate, "/ws?token=bad", &[]).await.is_err());
    }
    // Two clients time out, each in another handshake step.
    let mut half = TcpStream::connect(server.gate).await.unwrap();
    half.write_all(b"GET /ws HTTP/1.1\r\n").await.unwrap();
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut silent = Client::open(server.gate, path, &[]).await.unwrap();
    silent.closed().await;
    soon("a 408", half.read_to_end(&mut Vec::new())).await.unwrap();
    let polls = format!("/socket.io/?EIO=3&transport=polling&token={secret}");
    for _ in 0..3 {
        assert!(get(server.gate, &polls).await.starts_with("HTTP/1.1 200 "));
    }
    // A frame that is not whole.
    let mut unfinished = TcpStream::connect(server.gate).await.unwrap();
    let request = format!(
        "GET /ws?token={secret} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let sent = [request.as_bytes(), b"\x81\xff\0\0\0\0\0\x01\0\0\0\0\0\0half"].concat();
    unfinished.write_all(&sent).await.unwrap();
    server.metric_becomes("gatekeeper_connections_open", 41).await;
    server.metric_becomes("gatekeeper_connections_parked", 40).await;

    let page = Page::read(&peers, &server).await;
    let verdicts = 20 + 20 + 7 + 3 + 1;
    let outcome = |outcome| page.value("gatekeeper_handshakes_total", &[("outcome", outcome)]);
    let because = |outcome, reason| {
        let labels = [("outcome", outcome), ("reason", reason)];
        page.value("gatekeeper_handshakes_total", &labels)
    };
    for (received, expected, what) in [
        (outcome("established"), 20 + 20 + 3 + 1, "established handshakes"),
        (outcome("polled"), 3, "connections of polls"),
        (because("refused", "malformed"), 7, "refused"),
        (because("refused", "expired"), 0, "for no other reason"),
        (because("timeout", "head"), 1, "half a head"),
        (because("timeout", "connect"), 1, "no connect packet"),
        (because("timeout", "upgrade"), 0, "no upgrade was begun"),
        (because("gave_way", "head"), 0, "below the limit"),
        (because("full", "connections"), 0, "for all"),
        (page.value("gatekeeper_connections_accepted_total", &[]), 40 + 7 + 2 + 3 + 1 + 1, "with this one"),
        (page.value("gatekeeper_connections_open", &[]), 40 + 1 + 1, "with this one"),
        (page.value("gatekeeper_connections_unconnected", &[]), 0, "all are connected"),
        (page.value("gatekeeper_sessions_open", &[]), 20 + 20 + 3 + 1, "open"),
        (page.value("gatekeeper_sessions_polling", &[]), 3, "of them poll"),
        (page.value("gatekeeper_polling_sessions_total", &[]), 3, "ever did"),
        (page.value("gatekeeper_messages_received_total", &[]), 5, "messages"),
        (page.value("gatekeeper_messages_sent_total", &[]), 5, "and their echoes"),
        (page.value("gatekeeper_keys", &[]), keys_in_use(), "the set's and the secret"),
    ] {
        assert_eq!(received, f64::from(expected), "{what}");
    }
    check_gauges(&page);
    page.check_histogram("gatekeeper_verify_seconds", verdicts);
    page.check_histogram("gatekeeper_gate_seconds", verdicts);
}

/// Checks the values that are known only within bounds.
fn check_gauges(page: &Page) {
    // The scraping connection may be half-open itself.
    let half_open = page.value("gatekeeper_connections_half_open", &[]);
    assert!(half_open <= 1.0, "{half_open} half-open connections");
    // A shard's first token by a public key is not looked up in the cache; later ones are hits.
    let hits = page.value("gatekeeper_token_cache_hits_total", &[]);
    assert!((18.0..=19.0).contains(&hits), "{hits} of 20");
    assert_eq!(page.value("gatekeeper_token_cache_misses_total", &[]), 0.0);
    assert!(page.value("gatekeeper_token_cache_bytes", &[]) > 0.0);
    assert!(page.value("process_cpu_seconds_total", &[]) > 0.0);
    assert!(page.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(page.value("process_open_fds", &[]) > 41.0);
}

fn keys_in_use() -> u16 {
    let set: Value = serde_json::from_str(include_str!("../../keys/jwks.json")).unwrap();
    set["keys"].as_array().unwrap().len() as u16 + 1
}
