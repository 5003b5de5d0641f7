//! Every transport through the program, against a gate of several shards.

use gatecrash::ground::outcome::Outcome;
use reports::schema::{Phase, PhaseName};

use super::program::run;
use super::services::{LocalServer, SECRET};

/// The command line of a run that mints its tokens.
fn minting(server: &LocalServer, flags: &str) -> super::program::Program {
    let gate = server.gate;
    let asked = format!("--target http://{gate} --protocol socketio --token-source mint");
    run(&format!("{asked} {flags}")).flag("--secret", SECRET)
}

#[tokio::test]
async fn gate_and_generator_counts_agree_by_every_transport() {
    for shards in [&["--workers=4"][..], &["--workers=2", "--processes=2"]] {
        counts_agree(shards).await;
    }
}

async fn counts_agree(shards: &[&str]) {
    let server = LocalServer::start(shards).await;
    let mut opened = 0;
    for transport in ["polling", "upgrade", "websocket"] {
        for eio in [3, 4] {
            let flags =
                format!("--transport {transport} --eio {eio} -c 60 --concurrency 8 --echo 2 --mix valid=5,expired=1");
            let why = format!("{transport} {eio} {shards:?}");
            let ended = minting(&server, &flags).end().await;
            ended.exits_with(0, &why);
            let result = ended.result();
            let established = result.totals.established;
            let refused = result.totals.refused_expected;
            assert_eq!(established + refused, 60, "{why}: {:?}", result.failures);
            assert_eq!(result.phases[&PhaseName::Echo].established.count, 2 * established, "{why}");
            let polled = result.phases.contains_key(&Phase::Poll.into());
            assert_eq!(polled, transport != "websocket", "{why}");
            let upgraded = result.phases.contains_key(&Phase::Upgrade.into());
            assert_eq!(upgraded, transport != "polling", "{why}");
            assert_eq!(result.scenario.transport.as_deref(), Some(transport));
            opened += established;
            let accepted = r#"gatekeeper_handshakes_total{outcome="established"}"#;
            assert_eq!(server.metric(accepted).await, opened, "{why}");
            server.metric_becomes("gatekeeper_sessions_open", 0).await;
        }
    }
}

#[tokio::test]
async fn impossible_transports_are_errors_before_the_run() {
    for (flags, part) in [
        ("--target ws://127.0.0.1:1/ --transport polling", "a raw WebSocket has no other transport"),
        ("--target ws://127.0.0.1:1/ --namespace /admin", "a raw WebSocket has no namespaces"),
        ("--transport upgrade --token-in subprotocol", "a poll offers no subprotocol"),
        ("--namespace admin", "it begins with /"),
        ("--namespace /a,b", "no comma"),
    ] {
        let ended = run(&format!("{flags} --token-source mint --secret x")).end().await;
        ended.exits_with(2, flags);
        assert!(ended.stderr.contains(part), "{flags}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn embedded_server_accepts_polling() {
    let ended = run("--transport upgrade -c 100 --concurrency 8").end().await;
    ended.exits_with(0, "logged in, polled, moved");
    let result = ended.counts(&[(Outcome::Established, 100)], "all");
    assert_eq!(result.phases[&Phase::Upgrade.into()].established.count, 100);
    assert_eq!(result.phases[&PhaseName::Echo].established.count, 100);
}
