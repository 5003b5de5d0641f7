//! npm's socket.io-client as it comes, polling first and then over a WebSocket, and where it may only poll.

use serde_json::{Value, json};

use super::{super::tokens::good, Case, ORIGIN, Peers, USER, check, server};

const SCRIPT: &str = "node/socketio-client.js";

#[tokio::test]
async fn clients_poll_and_upgrade() {
    let Some(peers) = Peers::find() else { return };
    let server = server().await;
    let url = format!("http://{}", server.gate);
    let let_in = |transport: &str| json!({"outcome": "connected", "user": USER, "echo": true, "transport": transport});
    let refused =
        |data: Value| json!({"outcome": "refused", "message": "not valid token", "data": data});
    let default = || json!("default");
    let polling = || json!(["polling"]);
    let token = good(USER);
    for version in ["4", "2"] {
        let reason = match version {
            "4" => json!({"reason": "malformed"}),
            _ => Value::Null,
        };
        let mut cases = Vec::new();
        for (transports, carrier, token, answer) in [
            (default(), "query", &*token, let_in("websocket")),
            (default(), "header", &*token, let_in("websocket")),
            (default(), "cookie", &*token, let_in("websocket")),
            (default(), "query", "bad", refused(reason.clone())),
            (polling(), "query", &*token, let_in("polling")),
            (polling(), "header", &*token, let_in("polling")),
            (polling(), "query", "bad", refused(reason.clone())),
        ] {
            // The kernel deals connections to both shards: some of each come to the other one.
            for attempt in 0..4 {
                cases.push(Case {
                    ask: json!({"url": url, "carrier": carrier, "token": token, "origin": ORIGIN,
                                "transports": transports}),
                    answer: answer.clone(),
                    why: format!("version {version}, {transports}, {carrier}, attempt {attempt}"),
                });
            }
        }
        check(&peers, SCRIPT, &["--version", version], cases).await;
    }
}
