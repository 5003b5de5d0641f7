//! npm's `ws` with `jsonwebtoken`: raw WebSockets, every place for a token, both ways to refuse one.

use std::time::{Duration, Instant};

use gatecrash::ground::outcome::Outcome;
use reports::schema::PhaseName;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::run::program::{Program, run};
use crate::run::services::SECRET;
use testkit::PATIENCE;
use testkit::{PeerServer, Peers};

fn minting(server: &PeerServer, flags: &str) -> Program {
    let asked = format!("--target ws://{}/chat --token-source mint", server.addr);
    run(&format!("{asked} {flags}")).flag("--secret", SECRET)
}

/// Waits until it has seen every socket close; its last count.
async fn emptied(server: &PeerServer) -> Value {
    let emptied = timeout(PATIENCE, async {
        loop {
            let stats = server.stats().await;
            if stats["open"] == 0 {
                return stats;
            }
        }
    });
    emptied.await.expect("its sockets are closed")
}

#[tokio::test]
async fn tokens_are_sent_in_every_place() {
    let Some(peers) = Peers::find() else { return };
    let server = peers.serve("ws-server.js", &[]).await;
    for place in ["query:token", "header", "subprotocol", "cookie:token"] {
        let flags = format!("-c 40 --concurrency 8 --hold 0s --token-in {place}");
        let ended = minting(&server, &flags).end().await;
        ended.exits_with(0, place);
        ended.counts(&[(Outcome::Established, 40)], place);
    }
    let stats = emptied(&server).await;
    let each = json!({"query": 40, "header": 40, "subprotocol": 40, "cookie": 40});
    assert_eq!(stats["carriers"], each);
    assert_eq!((&stats["accepted"], &stats["refused"]), (&json!(160), &json!(0)));
}

#[tokio::test]
async fn a_token_is_refused_before_the_upgrade_or_soon_after() {
    let Some(peers) = Peers::find() else { return };
    for (refuse, reason) in [("401", "401 not valid token"), ("4401", "closed 4401 not valid token")] {
        let server = peers.serve("ws-server.js", &["--refuse", refuse]).await;
        let flags = "-c 40 --concurrency 8 --claims null";
        let ended = minting(&server, &flags.replace("null", r#"{"exp":1}"#)).end().await;
        ended.exits_with(104, refuse);
        let result = ended.counts(&[(Outcome::FalseReject, 40)], refuse);
        let refusals: Vec<_> = result.refusals.iter().map(|refusal| (refusal.reason.as_str(), refusal.count)).collect();
        assert_eq!(refusals, [(reason, 40)], "{refuse}");
        assert_eq!(server.stats().await["refused"], 40, "{refuse}");
    }
}

#[tokio::test]
async fn held_sockets_send_paced_messages() {
    let Some(peers) = Peers::find() else { return };
    let server = peers.serve("ws-server.js", &[]).await;
    let flags = "-c 30 --concurrency 30 --hold 600ms --echo 4 --message-rate 20/s --message-bytes 100";
    let begun = Instant::now();
    let ended = minting(&server, flags).end().await;
    ended.exits_with(0, "held");
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
    let result = ended.counts(&[(Outcome::Established, 30)], "held");
    let echo = &result.phases[&PhaseName::Echo].established;
    assert_eq!(echo.count, 120);
    assert!(echo.response.is_some(), "planned messages have a response, in the closed model too");
    let stats = emptied(&server).await;
    assert_eq!((&stats["echoed"], &stats["bytes"]), (&json!(120), &json!(12_000)));
}
