//! Sockets whose token expires while they are open.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{
    clients::Client,
    servers::TestServer,
    tokens::{SECRET, now_s, sign},
};

/// With `--on-expiry close`, a socket ends within this of its token's `exp`.
const WITHIN: Duration = Duration::from_secs(1);

/// Tries for what is promised within a time: the machine may be busy with something else.
const TRIES: usize = 3;

fn expiring(exp_s: u64) -> String {
    sign(&json!({"sub": "ann", "exp": exp_s}), SECRET)
}

/// How long after `exp_s` it is now.
fn late(exp_s: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.checked_sub(Duration::from_secs(exp_s)).expect("it was not closed before its time")
}

#[tokio::test]
async fn a_raw_socket_is_closed_with_4401_within_a_second() {
    let server = TestServer::start(&["--on-expiry=close"]).await;
    let mut lateness = Vec::new();
    for _ in 0..TRIES {
        let exp_s = now_s() + 2;
        let mut client = Client::raw(server.gate, &expiring(exp_s)).await;
        client.send("hello").await;
        assert_eq!(client.text().await, "hello", "it lives until then");
        assert_eq!(client.close_code().await, 4401);
        lateness.push(late(exp_s));
        if lateness.last() < Some(&WITHIN) {
            let ended = r#"gatekeeper_sessions_ended_total{reason="expired"}"#;
            server.metric_becomes(ended, lateness.len() as u64).await;
            return;
        }
    }
    panic!("always late: {lateness:?}");
}

#[tokio::test]
async fn a_socketio_client_is_disconnected_within_a_second() {
    let server = TestServer::start(&["--on-expiry=close"]).await;
    let mut lateness = Vec::new();
    for _ in 0..TRIES {
        let exp_s = now_s() + 2;
        let mut client = Client::socketio(server.gate, &expiring(exp_s)).await;
        assert_eq!(client.text().await, "41", "a disconnect by the server");
        lateness.push(late(exp_s));
        assert_eq!(client.close_code().await, 1000);
        if lateness.last() < Some(&WITHIN) {
            return;
        }
    }
    panic!("always late: {lateness:?}");
}

#[tokio::test]
async fn leeway_counts_for_the_end_as_for_the_start() {
    let server = TestServer::start(&["--on-expiry=close", "--leeway=3s"]).await;
    let exp_s = now_s() - 1;
    let mut client = Client::raw(server.gate, &expiring(exp_s)).await;
    assert_eq!(client.close_code().await, 4401);
    assert!(late(exp_s) >= Duration::from_secs(3), "{:?}", late(exp_s));
}

#[tokio::test]
async fn by_default_a_session_outlives_its_token() {
    let server = TestServer::start(&[]).await;
    let exp_s = now_s() + 1;
    let mut raw = Client::raw(server.gate, &expiring(exp_s)).await;
    let mut socketio = Client::socketio(server.gate, &expiring(exp_s + 1)).await;
    // The instant must pass for this to mean anything.
    while now_s() <= exp_s + 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    raw.send("still here").await;
    assert_eq!(raw.text().await, "still here");
    socketio.send(r#"42["still here"]"#).await;
    assert_eq!(socketio.text().await, r#"42["still here"]"#);
}
