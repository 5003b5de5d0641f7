//! The user's page in Chromium.

use serde_json::json;

use testkit::on_path;

use super::{super::servers::TestServer, Peers};

/// Logs in, waits for the socket, reconnects, tries a bad token, logs out.
const SCRIPT: &str = "node/private-page.js";

async fn check(peers: &Peers, flags: &[&str], refused: &str, why: &str) {
    let server = TestServer::start(flags).await;
    check_at(peers, &format!("http://{}", server.frontend), refused, why).await;
}

/// Like [`check`], for a running frontend.
pub async fn check_at(peers: &Peers, frontend: &str, refused: &str, why: &str) {
    // The script uses the installed browser.
    on_path("chromium");
    let answers = peers.run(SCRIPT, &[frontend], String::new()).await;
    let expected = json!({
        "login401": 401,
        "status": "connected as gonzalo",
        "user": "gonzalo",
        "reconnected": "connected as gonzalo",
        "refused": refused,
        "loggedOut": 403,
        "complaints": [],
    });
    assert_eq!(answers, [expected], "{why}");
}

#[tokio::test]
async fn the_page_connects_with_its_own_script() {
    let Some(peers) = Peers::find() else { return };
    let refused = "refused: not valid token (encoding_invalid)";
    check(&peers, &[], refused, "no client").await;
}

#[tokio::test]
async fn the_page_connects_by_its_session() {
    let Some(peers) = Peers::find() else { return };
    let client = peers.package("socket.io/client-dist/socket.io.js");
    let flag = format!("--socketio-client={}", client.display());
    for (flags, why) in [
        (&["--auth=session"][..], "the page's own script"),
        (&["--auth=session", &flag], "the client, which polls first"),
    ] {
        let refused = "refused: not valid token (unknown_session)";
        check(&peers, flags, refused, why).await;
    }
}

#[tokio::test]
async fn the_page_connects_with_the_client_of_the_gate() {
    let Some(peers) = Peers::find() else { return };
    for (client, refused, why) in [
        ("socket.io/client-dist/socket.io.js", "refused: not valid token (encoding_invalid)", "version 4"),
        ("socket.io-client-2/dist/socket.io.js", "refused: not valid token", "version 2 receives no reason"),
    ] {
        let client = peers.package(client);
        let flag = format!("--socketio-client={}", client.display());
        check(&peers, &[&flag], refused, why).await;
    }
}
