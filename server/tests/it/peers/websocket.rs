//! Raw WebSockets: npm's ws and Python's websockets.

use serde_json::{Value, json};

use super::{Peers, cases, check, server};

/// Checks a client against a new gate; `unselected` is the `protocol` that it shows when none was selected.
async fn check_accepts_and_refuses_with_401(script: &str, unselected: Value) {
    let Some(peers) = Peers::find() else { return };
    let server = server().await;
    let url = format!("ws://{}/ws", server.gate);
    check_at(&peers, script, &url, unselected).await;
}

/// Checks a client against a running gate.
pub async fn check_at(peers: &Peers, script: &str, url: &str, unselected: Value) {
    let accepted = |carrier: &str| {
        let protocol = match carrier {
            "subprotocol" => json!("gatecrash"),
            _ => unselected.clone(),
        };
        // The text, the binary message and the close code were echoed.
        json!({"outcome": "connected", "protocol": protocol, "echo": true, "code": 1000})
    };
    let cases = cases(url, &["query", "header", "subprotocol", "cookie"], accepted, refused);
    check(peers, script, &[], cases).await;
}

fn refused(_carrier: &str, reason: &str) -> Value {
    let challenge = match reason {
        "too_long" => None,
        "missing" => Some(r#"Bearer realm="gatekeeper""#.to_owned()),
        reason => Some(format!("Bearer realm=\"gatekeeper\", error=\"invalid_token\", error_description=\"{reason}\"")),
    };
    let status = if reason == "too_long" { 431 } else { 401 };
    json!({"outcome": "refused", "status": status, "challenge": challenge, "body": reason})
}

#[tokio::test]
async fn npm_ws() {
    check_accepts_and_refuses_with_401("node/ws-client.js", json!("")).await;
}

#[tokio::test]
async fn python_websockets() {
    check_accepts_and_refuses_with_401("python/ws_client.py", Value::Null).await;
}
