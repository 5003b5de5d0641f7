//! Sockets whose token expires while they are open.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{
    clients::Client,
    servers::TestServer,
    tokens::{SECRET, now_s, sign},
};

/// Longest time between a token's `exp` and the end of its socket with `--on-expiry close`.
const WITHIN: Duration = Duration::from_secs(1);

/// Attempts to meet [`WITHIN`], since the machine may be busy.
const TRIES: usize = 3;

fn expiring(exp_s: u64) -> String {
    sign(&json!({"sub": "ann", "exp": exp_s}), SECRET)
}

/// Time since `exp_s`.
fn late(exp_s: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.checked_sub(Duration::from_secs(exp_s)).expect("closed before exp")
}

#[tokio::test]
async fn sockets_are_closed_within_a_second_of_exp() {
    let server = TestServer::start(&["--on-expiry=close"]).await;
    for is_socketio in [false, true] {
        let mut lateness = Vec::new();
        while lateness.last().is_none_or(|late| *late >= WITHIN) {
            assert!(lateness.len() < TRIES, "always late: {lateness:?}, Socket.IO {is_socketio}");
            let exp_s = now_s() + 2;
            if is_socketio {
                let mut client = Client::socketio(server.gate, &expiring(exp_s)).await;
                assert_eq!(client.text().await, "41", "a disconnect by the server");
                lateness.push(late(exp_s));
                assert_eq!(client.close_code().await, 1000);
            } else {
                let mut client = Client::raw(server.gate, &expiring(exp_s)).await;
                client.send("hello").await;
                assert_eq!(client.text().await, "hello", "open before exp");
                assert_eq!(client.close_code().await, 4401);
                lateness.push(late(exp_s));
            }
        }
        if !is_socketio {
            let ended = r#"gatekeeper_sessions_ended_total{reason="expired"}"#;
            server.metric_becomes(ended, lateness.len() as u64).await;
        }
    }
}

#[tokio::test]
async fn leeway_delays_the_close_at_exp() {
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
    // Wait until both tokens have expired.
    while now_s() <= exp_s + 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    raw.send("still here").await;
    assert_eq!(raw.text().await, "still here");
    socketio.send(r#"42["still here"]"#).await;
    assert_eq!(socketio.text().await, r#"42["still here"]"#);
}
