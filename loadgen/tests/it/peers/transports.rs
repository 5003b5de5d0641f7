//! The real Node `socket.io`, of versions 4 and 2, by every transport and in another namespace.

use gatecrash::ground::outcome::Outcome;
use reports::schema::PhaseName;
use serde_json::json;

use crate::run::program::run;
use crate::run::services::SECRET;
use testkit::Peers;

#[tokio::test]
async fn node_and_generator_counts_agree_by_every_transport_and_namespace() {
    let Some(peers) = Peers::find() else { return };
    for (version, eio) in [("4", 4), ("2", 3)] {
        for (transport, namespace) in
            [("polling", "/"), ("upgrade", "/"), ("websocket", "/admin"), ("polling", "/admin"), ("upgrade", "/admin")]
        {
            let why = format!("{version} {transport} {namespace}");
            // It pings so often that heartbeats come between.
            let words = ["--version", version, "--namespace", namespace, "--ping", "60"];
            let server = peers.serve("socketio-server.js", &words).await;
            let addr = server.addr;
            let ended = run(&format!(
                "--target http://{addr} --eio {eio} --transport {transport} --namespace {namespace} -c 60 \
                 --concurrency 8 --echo 3 --token-source mint --mix valid=5,expired=1 --hold 200ms"
            ))
            .flag("--secret", SECRET)
            .end()
            .await;
            ended.exits_with(0, &why);
            let result = ended.result();
            let (established, refused) = (result.totals.established, result.totals.refused_expected);
            assert_eq!(established + refused, 60, "{why}: {:?}", result.failures);
            assert_eq!(result.sockets.dropped, 0, "{why}");
            assert_eq!(result.phases[&PhaseName::Echo].established.count, 3 * established, "{why}");
            let stats = server.stats().await;
            let counted = json!([stats["accepted"], stats["refused"], stats["echoed"], stats["open"]]);
            assert_eq!(counted, json!([established, refused, 3 * established, 0]), "{why}");
            let moved = if transport == "polling" { 0 } else { established };
            assert_eq!(stats["websockets"], json!(moved), "{why}: where they ended");
        }
    }
}

#[tokio::test]
async fn an_unknown_namespace_is_refused_by_name() {
    let Some(peers) = Peers::find() else { return };
    let server = peers.serve("socketio-server.js", &["--version", "4"]).await;
    let addr = server.addr;
    let asked = format!("--target http://{addr} --namespace /nowhere -c 5 --concurrency 5");
    let ended = run(&format!("{asked} --token-source mint")).flag("--secret", SECRET).end().await;
    let result = ended.counts(&[(Outcome::FalseReject, 5)], "nobody is let in");
    assert_eq!(result.refusals[0].reason, "Invalid namespace");
}
