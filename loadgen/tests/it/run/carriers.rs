//! Where tokens come from and where in the handshake they travel, against our own gate.

use std::fs;

use gatecrash::ground::outcome::Outcome;
use reports::schema::PhaseName;

use super::program::run;
use super::services::{LocalServer, token};

pub const ESTABLISHED: &str = r#"gatekeeper_handshakes_total{outcome="established"}"#;

#[tokio::test]
async fn tokens_are_sent_in_every_place_of_each_protocol() {
    let everywhere = ["query:token", "header", "subprotocol", "cookie:token"];
    for (protocol, also) in [
        ("--protocol websocket", None),
        ("--protocol socketio --eio 4", Some("auth:token")),
        ("--protocol socketio --eio 3", None),
    ] {
        for place in everywhere.into_iter().chain(also) {
            let flags = format!("{protocol} --token-in {place} -c 20 --concurrency 5");
            let ended = run(&format!("{flags} --token-source mint --user ann:one")).end().await;
            ended.exits_with(0, &flags);
            let result = ended.counts(&[(Outcome::Established, 20)], &flags);
            assert_eq!(result.phases[&PhaseName::Echo].established.count, 20, "{flags}");
            assert_eq!(result.scenario.token_in.as_deref(), Some(place));
        }
    }
}

#[tokio::test]
async fn token_in_the_wrong_place_is_refused() {
    for (flags, reason) in [
        ("--protocol websocket --token-in query:jwt", "401 missing"),
        ("--protocol websocket --token-in cookie:jwt", "401 missing"),
        ("--token-in auth:jwt", "not valid token: missing"),
        ("--eio 3 --token-in query:jwt", "not valid token"),
    ] {
        let mint = "--token-source mint --user ann:one -c 10 --concurrency 5";
        let ended = run(&format!("{flags} {mint}")).end().await;
        ended.exits_with(104, flags);
        let result = ended.counts(&[(Outcome::FalseReject, 10)], flags);
        let [refusal] = &result.refusals[..] else {
            panic!("{flags}: {:?}", result.refusals);
        };
        assert!(refusal.reason.starts_with(reason), "{flags}: {}", refusal.reason);
    }
}

#[tokio::test]
async fn gate_and_generator_count_the_same_handshakes() {
    let server = LocalServer::start(&[]).await;
    let (gate, frontend) = (server.gate, server.frontend);
    let login = format!("--login-url http://{frontend}/login --token-url http://{frontend}/getIoConnectionToken");
    for (target, flags, so_far) in [
        (format!("http://{gate}"), "", 50),
        (format!("http://{gate}"), "--token-per user", 100),
        (format!("ws://{gate}/ws"), "--token-in header", 150),
    ] {
        let asked = format!("--target {target} {login} --user gonzalo:password {flags}");
        let ended = run(&format!("{asked} -c 50 --concurrency 8")).end().await;
        ended.exits_with(0, &asked);
        ended.counts(&[(Outcome::Established, 50)], &asked);
        assert_eq!(server.metric(ESTABLISHED).await, so_far, "{asked}");
    }
}

#[tokio::test]
async fn tokens_of_a_file_are_used_in_order() {
    let server = LocalServer::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.txt");
    let forged = format!("{}x", token("bob"));
    fs::write(&file, format!("{}\n\n{forged}\n", token("ann"))).unwrap();
    let source = format!("file:{}", file.display());
    let flags = format!("--target http://{} -c 30 --concurrency 5", server.gate);
    let ended = run(&flags).flag("--token-source", &source).end().await;
    ended.exits_with(99, "half of the tokens are refused");
    let expected = [(Outcome::Established, 15), (Outcome::FalseReject, 15)];
    let result = ended.counts(&expected, "every other token is forged");
    assert_eq!(result.scenario.token_source.as_deref(), Some("file"));
    assert!(result.verdict.sentence.contains("15 were refused"), "{}", result.verdict.sentence);
}
