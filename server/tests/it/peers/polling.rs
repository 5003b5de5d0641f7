//! npm's socket.io-client by default, polling first and then over a WebSocket, and where it may only poll.

use serde_json::{Value, json};

use super::{
    super::{
        servers::{TestProcess, addr},
        tokens::{SECRET, valid_token},
    },
    Case, ORIGIN, Peers, USER, check, server,
};

const SCRIPT: &str = "node/socketio-client.js";

#[tokio::test]
async fn clients_poll_and_upgrade() {
    let Some(peers) = Peers::find() else { return };
    let server = server().await;
    check_clients(&peers, &format!("http://{}", server.gate), 4).await;
}

#[tokio::test]
async fn clients_poll_and_upgrade_over_several_processes() {
    let Some(peers) = Peers::find() else { return };
    let flags =
        ["--role=gate", "--listen=127.0.0.1:0", "--processes=3", "--workers=2", "--origin", ORIGIN, "--secret", SECRET];
    let process = TestProcess::start(&flags);
    let url = format!("http://{}", addr(&process.ready["gate"]));
    // Most requests reach a shard that does not own the session.
    check_clients(&peers, &url, 2).await;
}

/// Connects both versions of the client, with each transport and carrier, `attempts` times.
pub async fn check_clients(peers: &Peers, url: &str, attempts: u32) {
    let accepted =
        |transport: &str| json!({"outcome": "connected", "user": USER, "echo": true, "transport": transport});
    let refused = |data: Value| json!({"outcome": "refused", "message": "not valid token", "data": data});
    let default = || json!("default");
    let polling = || json!(["polling"]);
    let token = valid_token(USER);
    for version in ["4", "2"] {
        let reason = match version {
            "4" => json!({"reason": "malformed"}),
            _ => Value::Null,
        };
        let mut cases = Vec::new();
        for (transports, carrier, token, answer) in [
            (default(), "query", &*token, accepted("websocket")),
            (default(), "header", &*token, accepted("websocket")),
            (default(), "cookie", &*token, accepted("websocket")),
            (default(), "query", "bad", refused(reason.clone())),
            (polling(), "query", &*token, accepted("polling")),
            (polling(), "header", &*token, accepted("polling")),
            (polling(), "query", "bad", refused(reason.clone())),
        ] {
            // The kernel spreads connections over all shards, so some reach a shard without the session.
            for attempt in 0..attempts {
                cases.push(Case {
                    ask: json!({"url": url, "carrier": carrier, "token": token, "origin": ORIGIN,
                                "transports": transports}),
                    answer: answer.clone(),
                    why: format!("version {version}, {transports}, {carrier}, attempt {attempt}"),
                });
            }
        }
        check(peers, SCRIPT, &["--version", version], cases).await;
    }
}
