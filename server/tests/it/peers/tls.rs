//! The same programs under TLS, and those that speak nothing but that: OpenSSL and curl.

use std::process::Output;

use serde_json::{Value, json};
use testkit::on_path;
use tokio::process::Command;

use super::{
    super::{
        processes::FLAGS,
        servers::{TestProcess, TestServer, addr, soon},
        tls::Pki,
    },
    ORIGIN, Peers, page, polling, websocket,
};

async fn server(pki: &Pki) -> TestServer {
    let [cert, key] = pki.flags();
    TestServer::start(&["--origin", ORIGIN, &cert, &key]).await
}

fn peers(pki: &Pki) -> Option<Peers> {
    Some(Peers::find()?.trusting(pki.path("ca.pem")))
}

#[tokio::test]
async fn websocket_clients() {
    let pki = Pki::create();
    let Some(peers) = peers(&pki) else { return };
    let server = server(&pki).await;
    let url = format!("wss://{}/ws", server.gate);
    websocket::check_at(&peers, "node/ws-client.js", &url, json!("")).await;
    websocket::check_at(&peers, "python/ws_client.py", &url, Value::Null).await;
}

#[tokio::test]
async fn socketio_clients_poll_and_upgrade() {
    let pki = Pki::create();
    let Some(peers) = peers(&pki) else { return };
    let server = server(&pki).await;
    polling::check_clients(&peers, &format!("https://{}", server.gate), 2).await;
}

#[tokio::test]
async fn socketio_clients_poll_and_upgrade_over_several_processes() {
    let pki = Pki::create();
    let Some(peers) = peers(&pki) else { return };
    let [cert, key] = pki.flags();
    let more = ["--origin", ORIGIN, &cert, &key];
    let flags: Vec<_> = FLAGS.iter().copied().chain(more).collect();
    let process = TestProcess::start(&flags);
    let url = format!("https://{}", addr(&process.ready["gate"]));
    polling::check_clients(&peers, &url, 2).await;
}

#[tokio::test]
async fn the_page_in_a_browser() {
    let pki = Pki::create();
    let Some(peers) = peers(&pki) else { return };
    let [cert, key] = pki.flags();
    let server = TestServer::start(&[&cert, &key]).await;
    let frontend = format!("https://{}", server.frontend);
    let refused = "refused: not valid token (encoding_invalid)";
    page::check_at(&peers, &frontend, refused, "under TLS").await;
}

/// Runs an installed program to its end.
async fn run(program: &str, words: &str) -> Output {
    let mut command = Command::new(on_path(program));
    command.args(words.split_whitespace());
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    soon(program, command.output()).await.unwrap()
}

#[tokio::test]
async fn openssl_resumes_its_session() {
    let pki = Pki::create();
    if Peers::find().is_none() {
        return;
    }
    let server = server(&pki).await;
    let ca = pki.path("ca.pem").display().to_string();
    let session = pki.path("session.pem").display().to_string();
    let to = format!("s_client -connect {} -CAfile {ca} -verify_return_error", server.gate);
    let reconnects = run("openssl", &format!("{to} -tls1_2 -reconnect")).await;
    let received = String::from_utf8_lossy(&reconnects.stdout);
    assert_eq!(received.matches("Reused, TLSv1.2").count(), 5, "{received}");

    // TLS 1.3 sends tickets after the handshake, so the client makes a request first.
    let whole = format!("{to} -tls1_3 -ign_eof -sess_out {session}");
    for (words, expected) in
        [(whole, "New, TLSv1.3"), (format!("{to} -tls1_3 -ign_eof -sess_in {session}"), "Reused, TLSv1.3")]
    {
        let mut command = Command::new(on_path("openssl"));
        command.args(words.split_whitespace()).kill_on_drop(true);
        command.stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut stdin = child.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stdin, request).await.unwrap();
        let output = soon("openssl", child.wait_with_output()).await.unwrap();
        let received = String::from_utf8_lossy(&output.stdout);
        assert!(received.contains(expected), "{words}: {received}");
        assert!(received.contains("HTTP/1.1 200 OK"), "{words}: {received}");
    }
}

#[tokio::test]
async fn curl_is_answered_only_over_tls() {
    let pki = Pki::create();
    if Peers::find().is_none() {
        return;
    }
    let server = server(&pki).await;
    let ca = pki.path("ca.pem").display().to_string();
    for place in [server.gate, server.frontend] {
        for version in ["--tlsv1.3", "--tls-max 1.2"] {
            let words = format!("-sS --cacert {ca} {version} https://{place}/healthz");
            let output = run("curl", &words).await;
            let received = String::from_utf8_lossy(&output.stdout);
            assert_eq!(received.trim(), "ok", "{words}: {output:?}");
        }
        let plain = run("curl", &format!("-sS http://{place}/healthz")).await;
        assert!(!plain.status.success(), "{plain:?}");
        let untrusted = run("curl", &format!("-sS https://{place}/healthz")).await;
        let received = String::from_utf8_lossy(&untrusted.stderr);
        assert!(received.contains("certificate"), "an untrusted certificate: {received}");
    }
}
