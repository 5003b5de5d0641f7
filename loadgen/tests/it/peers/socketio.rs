//! The real Node `socket.io`, of versions 4 and 2, with `jsonwebtoken` in a middleware that reads the query.

use std::fs;

use gatecrash::ground::outcome::Outcome;
use reports::schema::{Phase, PhaseName, TokenKind};
use serde_json::{Value, json};

use crate::run::program::{Program, run};
use crate::run::services::{LoginService, SECRET};
use testkit::{PeerServer, Peers, Pki};

/// Version of npm's socket.io, and the flag that speaks to it.
const VERSIONS: [(&str, &str); 2] = [("4", "--eio 4"), ("2", "--eio 3")];

/// The command of the docs, against a server.
fn minting(server: &PeerServer, flags: &str) -> Program {
    let addr = server.addr;
    let asked = format!("--target http://{addr} --protocol socketio --token-source mint");
    run(&format!("{asked} --secret env:SECRET {flags}")).env("SECRET", SECRET)
}

async fn socketio(peers: &Peers, version: &str) -> PeerServer {
    let words = ["--version", version];
    peers.serve("socketio-server.js", &words).await
}

#[tokio::test]
async fn node_and_generator_counts_agree() {
    let Some(peers) = Peers::find() else { return };
    for (version, eio) in VERSIONS {
        let server = socketio(&peers, version).await;
        let pid = server.pid();
        let flags = format!("{eio} -c 200 --concurrency 16 --echo 2 --server-pid {pid}");
        let ended = minting(&server, &flags).end().await;
        ended.exits_with(0, version);
        let result = ended.counts(&[(Outcome::Established, 200)], version);
        assert_eq!(result.phases[&PhaseName::Echo].established.count, 400, "{version}");
        let observed = result.server.expect("--server-pid is observed");
        assert_eq!(observed.source, "pid");
        assert!(observed.cpu_us_per_handshake.unwrap() > 0.0, "{version}");
        let stats = server.stats().await;
        let counted = json!([stats["accepted"], stats["refused"], stats["echoed"]]);
        assert_eq!(counted, json!([200, 0, 400]), "{version}");
    }
}

#[tokio::test]
async fn node_metrics_are_read() {
    let Some(peers) = Peers::find() else { return };
    let server = socketio(&peers, "4").await;
    let addr = server.addr;
    let flags = "-c 200 --concurrency 16 --hold 1s";
    let names = "--server-metrics-names sockets=socketio_sockets_open";
    let metrics = format!("--server-metrics http://{addr}/metrics {names}");
    let ended = minting(&server, &format!("{flags} {metrics}")).end().await;
    ended.exits_with(0, "prom-client's page is read beside the load");
    let result = ended.counts(&[(Outcome::Established, 200)], "prom-client");
    let told = result.server.expect("it was asked for");
    assert_eq!(told.source, "metrics");
    assert_eq!(told.missing, [""; 0], "the usual names are Node's too");
    assert!(told.cpu_us_per_handshake.unwrap() > 1.0, "{told:?}");
    assert!(told.rss_bytes_peak.unwrap() > 10_000_000, "{told:?}");
    let open = (told.open_sockets_idle, told.open_sockets_peak);
    assert_eq!(open, (Some(0), Some(200)), "{told:?}");
}

#[tokio::test]
async fn open_model_runs_against_node() {
    let Some(peers) = Peers::find() else { return };
    let server = socketio(&peers, "4").await;
    let ended = minting(&server, "-c 100 -r 200/s --arrivals poisson").end().await;
    ended.passes_or_was_late("the open model");
    ended.counts(&[(Outcome::Established, 100)], "the open model");
    assert_eq!(server.stats().await["accepted"], 100);
}

#[tokio::test]
async fn wrong_secret_gives_false_rejects() {
    let Some(peers) = Peers::find() else { return };
    for (version, eio) in VERSIONS {
        let server = socketio(&peers, version).await;
        let flags = format!("{eio} -c 50 --concurrency 8");
        let forging = minting(&server, &flags).env("SECRET", "another secret, of 32 bytes or more");
        let ended = forging.end().await;
        ended.exits_with(104, "every valid token is refused for one reason");
        let result = ended.counts(&[(Outcome::FalseReject, 50)], version);
        let refusals: Vec<_> = result
            .refusals
            .iter()
            .map(|refusal| (refusal.token_kind, refusal.reason.as_str(), refusal.count))
            .collect();
        assert_eq!(refusals, [(TokenKind::Valid, "not valid token", 50)], "{version}");
        assert_eq!(server.stats().await["refused"], 50, "{version}");
    }
}

#[tokio::test]
async fn claims_flag_overrides_claims() {
    let Some(peers) = Peers::find() else { return };
    let server = socketio(&peers, "4").await;
    let ended = minting(&server, "-c 5 --concurrency 5").flag("--claims", r#"{"exp":1}"#);
    ended.end().await.counts(&[(Outcome::FalseReject, 5)], "an exp long gone");
    let named = minting(&server, "-c 5 --concurrency 5").flag("--claims", r#"{"user":{"username":"ann"}}"#);
    named.end().await.counts(&[(Outcome::Established, 5)], "another user");
    assert_eq!(server.stats().await["users"], json!({"ann": 5}));
}

#[tokio::test]
async fn each_user_has_a_session_and_tokens_of_their_own() {
    let Some(peers) = Peers::find() else { return };
    for (per, tokens_each) in [("connection", 10), ("user", 1)] {
        let (server, logins) = (socketio(&peers, "4").await, LoginService::start().await);
        let names: Vec<String> = (0..10).map(|number| format!("user-{number}")).collect();
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users.csv");
        let lines: String = names.iter().map(|name| format!("{name},{name}-password\n")).collect();
        fs::write(&users, lines).unwrap();
        let (addr, at) = (server.addr, logins.flags());
        let flags = format!("--target http://{addr} {at} -c 100 --concurrency 8 --token-per {per}");
        let ended = run(&flags).flag("--users", &users).end().await;
        ended.exits_with(0, per);

        let result = ended.counts(&[(Outcome::Established, 100)], per);
        assert_eq!(result.phases[&Phase::Login.into()].established.count, 10, "{per}");
        let mut sessions = logins.sessions();
        sessions.sort();
        let users: Vec<&String> = sessions.iter().map(|(user, _)| user).collect();
        assert_eq!(users, names.iter().collect::<Vec<_>>(), "{per}: one session each");
        let given: u64 = sessions.iter().map(|(_, given)| given).sum();
        // One more on trial, before the run, where each connection is to have its own.
        let trial = u64::from(per == "connection");
        assert_eq!(given, tokens_each * 10 + trial, "{per}");
        let seen: Value = names.iter().map(|name| (name.clone(), json!(10))).collect();
        assert_eq!(server.stats().await["users"], seen, "{per}: in turn");
    }
}

#[tokio::test]
async fn certificates_are_checked_unless_k_is_given() {
    let Some(peers) = Peers::find() else { return };
    let (pki, other) = (Pki::create(), Pki::create());
    let path = |pki: &Pki, name: &str| pki.path(name).into_os_string().into_string().unwrap();
    let (certificate, key) = (path(&pki, "cert.pem"), path(&pki, "key.pem"));
    let (authority, stranger) = (path(&pki, "ca.pem"), path(&other, "ca.pem"));
    let by_name = format!("--cacert {authority}");
    let resuming = format!("{by_name} --tls-resumption on");

    for (trusted, flags, code, resumes, why) in [
        (&stranger, "-k", 0, false, "no certificate is checked"),
        (&authority, "", 0, false, "it is trusted"),
        (&stranger, by_name.as_str(), 0, false, "it is named"),
        (&stranger, resuming.as_str(), 0, true, "clients that come back"),
        (&stranger, "", 104, false, "it is not trusted"),
    ] {
        let words = ["--version", "4", "--tls", &certificate, &key];
        let server = peers.serve("socketio-server.js", &words).await;
        let addr = server.addr;
        let asked = format!("--target https://{addr} --token-source mint -c 20 --concurrency 5");
        let ended = run(&format!("{asked} {flags}")).flag("--secret", SECRET).env("SSL_CERT_FILE", trusted).end().await;
        ended.exits_with(code, why);
        if code != 0 {
            let words = "it is signed by no authority that this machine trusts";
            assert!(ended.stderr.contains(words), "{why}: {}", ended.stderr);
            continue;
        }
        let result = ended.counts(&[(Outcome::Established, 20)], why);
        assert_eq!(result.phases[&Phase::Tls.into()].established.count, 20, "{why}");
        assert_eq!(result.sockets.tls_handshakes, Some(20), "{why}");
        let resumed = result.sockets.tls_resumed.unwrap();
        assert_eq!(resumed > 0, resumes, "{why}: {resumed}");
        assert_eq!(server.stats().await["resumed"], resumed, "{why}: by Node's count");
    }
}
