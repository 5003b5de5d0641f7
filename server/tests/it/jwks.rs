//! A gate that fetches its keys from a JWKS source, which may be broken.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatekeeper::config::Config;
use gatekeeper::keys::Pace;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    clients::Client,
    servers::{TestServer, gatekeeper, soon},
    tokens::{sign_by, sign_es256, valid_token},
};

const SET: &str = include_str!("../keys/jwks.json");

/// All intervals are 20 ms, so that the gate asks a broken source all the time.
const QUICK: Pace = Pace {
    lifetime_min: Duration::from_millis(20),
    lifetime_usual: Duration::from_millis(20),
    lifetime_max: Duration::from_millis(20),
    cooldown: Duration::from_millis(20),
    retry_min: Duration::from_millis(20),
    retry_max: Duration::from_millis(20),
};

/// How the source answers each request.
#[derive(Clone, Debug)]
enum Behaviour {
    Says(String),
    Status(u16),
    /// Accepts the request and never answers.
    Hangs,
    /// A body of this many megabytes.
    Floods(usize),
    /// A key set with a new `kid` for each request.
    Rotates,
}

/// Starts a source on loopback; returns the `--jwks` flag and a handle that changes the behaviour.
async fn source(behaviour: Behaviour) -> (String, Arc<Mutex<Behaviour>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("--jwks=http://{}/keys", listener.local_addr().unwrap());
    let behaviour = Arc::new(Mutex::new(behaviour));
    let current = Arc::clone(&behaviour);
    tokio::spawn(async move {
        for turn in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let behaviour = current.lock().unwrap().clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = match behaviour {
                    Behaviour::Hangs => {
                        let _ = stream.read(&mut [0; 1]).await;
                        return;
                    }
                    Behaviour::Says(text) => (200, text.into_bytes()),
                    Behaviour::Status(status) => (status, Vec::new()),
                    Behaviour::Floods(megabytes) => (200, vec![b' '; megabytes << 20]),
                    Behaviour::Rotates => (200, SET.replace("p256", &format!("p256-{turn}")).into()),
                };
                let (status, body) = answer;
                let head = format!(
                    "HTTP/1.1 {status} X\r\nCache-Control: max-age=1\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n",
                    body.len()
                );
                // The gate may close before it has read everything.
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&body).await;
            });
        }
    });
    (url, behaviour)
}

fn with_quick_pace(mut config: Config) -> Config {
    config.gate = config.gate.map(|mut gate| {
        gate.keys = gate.keys.at_pace(QUICK);
        gate
    });
    config
}

#[tokio::test]
async fn tokens_are_accepted_while_their_key_is_published() {
    let (jwks, behaviour) = source(Behaviour::Says(SET.to_owned())).await;
    let server = TestServer::start_with(&[&jwks], with_quick_pace).await;
    let token = sign_es256("p256");
    Client::raw(server.gate, &token).await;
    Client::raw(server.gate, &token).await;
    let hits = server.metric("gatekeeper_token_cache_hits_total");
    let misses = server.metric("gatekeeper_token_cache_misses_total");
    // Two shards have a cache each, and the first token of a header is no miss: nothing was looked for.
    assert!(hits + misses <= 1, "{hits}, {misses}");

    *behaviour.lock().unwrap() = Behaviour::Says(SET.replace("p256", "elliptic"));
    server.metric_becomes("gatekeeper_key_ring_swaps_total", 2).await;
    let path = format!("/ws?token={token}");
    let Err(refused) = Client::open(server.gate, &path, &[]).await else {
        panic!("a cached token was accepted although its key was removed");
    };
    assert!(refused.body.contains("unknown_key"), "{}", refused.body);
    Client::raw(server.gate, &sign_es256("elliptic")).await;
}

#[tokio::test]
async fn a_gate_starts_without_its_key_source_and_fetches_later() {
    let (jwks, behaviour) = source(Behaviour::Status(500)).await;
    let server = TestServer::start(&[&jwks]).await;
    Client::raw(server.gate, &valid_token("ann")).await;
    let early = format!("/ws?token={}", sign_es256("p256"));
    assert!(Client::open(server.gate, &early, &[]).await.is_err());

    *behaviour.lock().unwrap() = Behaviour::Says(SET.to_owned());
    server.metric_becomes(r#"gatekeeper_jwks_fetches_total{result="ok"}"#, 1).await;
    Client::raw(server.gate, &sign_es256("p256")).await;
}

/// The time of 30 accepted and 30 refused handshakes: the best of 20 tries.
async fn handshakes_time(server: &TestServer) -> Duration {
    let (good, kids) = (valid_token("ann"), ["a", "b", "c"]);
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let begun = Instant::now();
        for i in 0..30 {
            Client::raw(server.gate, &good).await;
            // A `kid` that is not on the ring; it changes every ten handshakes.
            let kid = format!("{}{}", kids[i % kids.len()], i / 10);
            let path = format!("/ws?token={}", sign_by(&kid, &[7; 32]));
            assert!(Client::open(server.gate, &path, &[]).await.is_err());
        }
        best = best.min(begun.elapsed());
    }
    best
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_key_source_does_not_slow_the_gate() {
    let (jwks, behaviour) = source(Behaviour::Says(SET.to_owned())).await;
    let server = TestServer::start_with(&[&jwks], with_quick_pace).await;
    let baseline = handshakes_time(&server).await;
    for bad in [
        Behaviour::Rotates,
        Behaviour::Status(500),
        Behaviour::Says("garbage".to_owned()),
        Behaviour::Floods(50),
        Behaviour::Hangs,
    ] {
        let counts = |server: &TestServer| {
            let fetches =
                |result: &str| server.metric(&format!(r#"gatekeeper_jwks_fetches_total{{result="{result}"}}"#));
            fetches("ok") + fetches("failed")
        };
        *behaviour.lock().unwrap() = bad.clone();
        let before = counts(&server);
        let found = handshakes_time(&server).await;
        println!("{bad:.20?}: {found:?} against {baseline:?}, {} fetches", counts(&server) - before);
        // Far less than a handshake that waits for a fetch would take, even on a busy machine.
        assert!(found < baseline * 5 + Duration::from_millis(200), "{bad:?}: {found:?}, {baseline:?}");
    }
    soon("the last handshake", Client::raw(server.gate, &valid_token("ann"))).await;
}

#[tokio::test]
async fn a_loopback_key_source_is_fetched_without_a_proxy() {
    let (jwks, _behaviour) = source(Behaviour::Says(SET.to_owned())).await;
    let verify = move || {
        let mut verify = gatekeeper();
        verify.args(["verify", &jwks]);
        verify.env("http_proxy", "http://127.0.0.1:1").output()
    };
    let output = tokio::task::spawn_blocking(verify).await.unwrap().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
}
