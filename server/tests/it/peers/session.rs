//! npm's socket.io-client where a session lets it in: by WebSocket, by polling, and by the second and then the first.

use serde_json::{Value, json};

use super::{
    super::{servers::TestServer, session_lookups::login},
    Case, ORIGIN, Peers, USER, check,
};

const SCRIPT: &str = "node/socketio-client.js";

#[tokio::test]
async fn clients_connect_by_their_session() {
    let Some(peers) = Peers::find() else { return };
    let server = TestServer::start(&["--auth=session", "--origin", ORIGIN]).await;
    let url = format!("http://{}", server.gate);
    let session = login(server.frontend).await;
    for version in ["4", "2"] {
        let reason = match version {
            "4" => json!({"reason": "unknown_session"}),
            _ => Value::Null,
        };
        let refused = json!({"outcome": "refused", "message": "not valid token", "data": reason});
        let mut cases = Vec::new();
        for (transports, transport) in
            [(json!(["websocket"]), "websocket"), (json!(["polling"]), "polling"), (json!("default"), "websocket")]
        {
            let accepted = json!({"outcome": "connected", "user": USER, "echo": true, "transport": transport});
            for (carrier, session, answer) in [
                ("session", &*session, &accepted),
                ("session-cookie", &session, &accepted),
                ("session", "AAAA", &refused),
                ("session-cookie", "AAAA", &refused),
            ] {
                cases.push(Case {
                    ask: json!({"url": url, "carrier": carrier, "token": session, "origin": ORIGIN,
                        "transports": transports}),
                    answer: answer.clone(),
                    why: format!("{carrier} {session} by {transports}"),
                });
            }
        }
        check(&peers, SCRIPT, &["--version", version], cases).await;
    }
}
