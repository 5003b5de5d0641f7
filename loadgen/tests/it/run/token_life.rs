//! Tokens that expire while a run goes on, against our own gate and frontend.

use gatecrash::ground::outcome::Outcome;
use reports::schema::Phase;

use super::program::{Ended, run};
use super::services::{LocalServer, SECRET};

/// Arrivals over three seconds by one user, whose tokens live for two.
const THREE_SECONDS: &str = "-c 60 -r 20 --token-per user --hold 0s";

async fn minting(server: &LocalServer, flags: &str) -> Ended {
    let gate = server.gate;
    let asked = format!("--target http://{gate} --token-source mint --token-ttl 2s {flags}");
    run(&asked).flag("--secret", SECRET).end().await
}

async fn logging_in(server: &LocalServer, flags: &str) -> Ended {
    let (gate, frontend) = (server.gate, server.frontend);
    let asked = format!(
        "--target http://{gate} --user gonzalo:password --login-url http://{frontend}/login \
         --token-url http://{frontend}/getIoConnectionToken {flags}"
    );
    run(&asked).end().await
}

#[tokio::test]
async fn user_token_is_renewed_before_exp() {
    let server = LocalServer::start(&["--token-ttl=2s"]).await;
    let flags = |refresh| format!("{THREE_SECONDS} --refresh {refresh}");
    let (never, ahead) = (flags("never"), flags("ahead:1s"));
    let (never, ahead) = tokio::join!(logging_in(&server, &never), logging_in(&server, &ahead));
    let kept = never.result();
    assert!(kept.totals.false_reject > 0, "{:?}", kept.totals);
    assert_eq!((kept.tokens.requests, kept.tokens.refreshed_ahead), (1, 0));

    let result = ahead.counts(&[(Outcome::Established, 60)], "none was too old");
    let tokens = result.tokens;
    assert!(tokens.refreshed_ahead > 0, "{tokens:?}");
    assert_eq!(tokens.requests, 1 + tokens.refreshed_ahead, "one before the run");
    assert_eq!((tokens.failures, tokens.refused_first), (0, 0));
    let timed = result.phases[&Phase::Token.into()].established.count;
    assert_eq!(timed, tokens.requests, "each is timed");
    assert_eq!(result.scenario.refresh.as_deref(), Some("ahead:1s"));
}

#[tokio::test]
async fn refused_arrival_retries_once_with_a_new_token() {
    for protocol in ["socketio --transport polling", "socketio", "websocket --path /ws"] {
        let server = LocalServer::start(&["--workers=2"]).await;
        let flags = format!("--protocol {protocol} {THREE_SECONDS} --refresh on-refusal");
        let result = minting(&server, &flags).await;
        let result = result.counts(&[(Outcome::Established, 60)], protocol);
        let tokens = result.tokens;
        assert!(tokens.refused_first > 0, "{protocol}: {tokens:?}");
        assert_eq!(tokens.let_in_on_retry, tokens.refused_first, "{protocol}");
        let refreshed = 1..=tokens.refused_first;
        assert!(refreshed.contains(&tokens.refreshed_on_refusal), "{protocol}: {tokens:?}");
        let told: u64 = result.refusals.iter().map(|refusal| refusal.count).sum();
        assert_eq!(told, tokens.refused_first, "{protocol}: kept apart, by reason");
        let expired = r#"gatekeeper_handshakes_total{outcome="refused",reason="expired"}"#;
        assert_eq!(server.metric(expired).await, tokens.refused_first, "{protocol}: the gate's count");
    }
}

#[tokio::test]
async fn second_refusal_is_final() {
    let server = LocalServer::start(&[]).await;
    for per in ["user", "connection"] {
        let gate = server.gate;
        let asked = format!("--target http://{gate} -c 20 --concurrency 5 --refresh on-refusal");
        let ended = run(&format!("{asked} --token-source mint --token-per {per}"))
            .flag("--secret", "another secret, as long as RFC 7518 asks")
            .end()
            .await;
        ended.exits_with(104, per);
        let result = ended.counts(&[(Outcome::FalseReject, 20)], per);
        let tokens = result.tokens;
        assert_eq!((tokens.refused_first, tokens.let_in_on_retry), (20, 0), "{per}");
        let told: u64 = result.refusals.iter().map(|refusal| refusal.count).sum();
        assert_eq!(told, 40, "{per}: both are told");
    }
}

#[tokio::test]
async fn sockets_must_be_closed_at_exp() {
    let closing = LocalServer::start(&["--on-expiry=close", "--workers=2"]).await;
    let keeping = LocalServer::start(&["--on-expiry=keep"]).await;
    let flags = |way, grace| format!("{way} -c 20 --concurrency 10 --hold 4s --expect-close-at-exp {grace}");
    let ways = ["", "--protocol websocket --path /ws", "--transport polling"];
    let [socketio, raw, polling] = ways.map(|way| flags(way, "2s"));
    let kept = flags("", "300ms");
    let (socketio, raw, polling, kept) = tokio::join!(
        minting(&closing, &socketio),
        minting(&closing, &raw),
        minting(&closing, &polling),
        minting(&keeping, &kept),
    );
    for (way, ended) in ways.into_iter().zip([socketio, raw, polling]) {
        ended.exits_with(0, way);
        let result = ended.counts(&[(Outcome::Established, 20)], way);
        let at_exp = result.tokens.at_exp.unwrap();
        assert_eq!((at_exp.closed, at_exp.open_after), (20, 0), "{way}");
        assert_eq!(at_exp.lateness.unwrap().count, 20, "{way}");
        assert_eq!(result.sockets.dropped, 0, "{way}: that was expected of them");
    }

    kept.exits_with(99, "the gate keeps them");
    let result = kept.counts(&[(Outcome::Established, 20)], "kept");
    let at_exp = result.tokens.at_exp.unwrap();
    assert_eq!((at_exp.closed, at_exp.open_after), (0, 20));
    let failures: Vec<_> =
        result.failures.iter().map(|failure| (failure.phase, failure.kind.as_str(), failure.count)).collect();
    assert_eq!(failures, [(Phase::Auth, "open-after-exp", 20)]);
    let check = result.thresholds.last().unwrap();
    assert_eq!((check.text.as_str(), check.pass), ("open 300ms after exp==0", false));
    assert!(kept.stdout.contains("open 300ms after exp==0"), "{}", kept.stdout);
}

#[tokio::test]
async fn expiry_check_without_expiring_tokens_fails() {
    let ended = run("-c 5 --concurrency 5 --expect-close-at-exp 1s").end().await;
    ended.exits_with(99, "tokens without an exp");
    let result = ended.result();
    assert_eq!(result.thresholds.last().unwrap().observed, None);

    for (flags, part) in [
        ("--refresh ahead:1s", "--token-per user"),
        ("--refresh on-refusal --token-source file:none", "cannot be made anew"),
        ("--refresh sometimes", "write never, on-refusal, or ahead:5s"),
    ] {
        let ended = run(flags).end().await;
        ended.exits_with(2, flags);
        assert!(ended.stderr.contains(part), "{flags}: {}", ended.stderr);
    }
}
