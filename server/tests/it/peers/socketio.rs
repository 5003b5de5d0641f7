//! npm's socket.io-client, of version 4 (Engine.IO 4) and of version 2 (Engine.IO 3).

use serde_json::{Value, json};

use super::{Peers, USER, cases, check, server};

const SCRIPT: &str = "node/socketio-client.js";

/// The answer of an accepted client: the user, and whether its event with an attachment was echoed.
fn accepted(_carrier: &str) -> Value {
    json!({"outcome": "connected", "user": USER, "echo": true})
}

fn refused(message: &str, data: Value) -> Value {
    json!({"outcome": "refused", "message": message, "data": data})
}

/// The gate answers 431 to a token that is too long; the client reports any answer except 101 like this.
fn upgrade_failed() -> Value {
    refused("websocket error", Value::Null)
}

fn with_reason(reason: &str) -> Value {
    refused("not valid token", json!({"reason": reason}))
}

#[tokio::test]
async fn version_4_is_accepted_or_refused_with_the_reason() {
    let Some(peers) = Peers::find() else { return };
    let server = server().await;
    let cases = cases(
        &format!("http://{}", server.gate),
        &["query", "base64", "header", "subprotocol", "cookie", "auth"],
        accepted,
        |carrier, reason| match (carrier, reason) {
            // The payload of `auth` comes after the upgrade.
            (in_upgrade, "too_long") if in_upgrade != "auth" => upgrade_failed(),
            _ => with_reason(reason),
        },
    );
    check(&peers, SCRIPT, &["--version", "4"], cases).await;
}

#[tokio::test]
async fn version_2_is_accepted_or_refused() {
    let Some(peers) = Peers::find() else { return };
    let server = server().await;
    let cases = cases(
        &format!("http://{}", server.gate),
        &["query", "base64", "header", "subprotocol", "cookie"],
        accepted,
        |_, reason| match reason {
            "too_long" => upgrade_failed(),
            // Its protocol has no room for the reason.
            _ => refused("not valid token", Value::Null),
        },
    );
    check(&peers, SCRIPT, &["--version", "2"], cases).await;
}
