//! Token mixes: what is let in, what is turned away, and what of it should not have been.

use std::collections::BTreeMap;

use gatecrash::ground::outcome::Outcome;
use reports::schema::{PhaseName, RunResult, TokenKind, Totals};

use super::program::{Ended, Program, run};
use super::services::{LocalServer, LoginService, SECRET};

/// Every kind that a shared secret makes, with weights of a hundred arrivals.
const ALL: &str = "valid=44,replayed=6,expired=5,not-yet-valid=5,forged=5,wrong-key=5,alg-none=5,unknown-kid=5,\
                   garbage=10,oversized=5,missing=5";

fn load(target: &str, flags: &str) -> Program {
    run(&format!("--target {target} -c 400 --concurrency 8 --hold 0s --auth-grace 1ms {flags}"))
}

/// Handshakes by token kind.
fn kinds(result: &RunResult) -> BTreeMap<&str, u64> {
    let by_kind = &result.phases[&PhaseName::Handshake].by_token_kind;
    by_kind.iter().map(|(kind, seen)| (kind.as_str(), seen.count)).collect()
}

fn all_are_decided_rightly(ended: &Ended, why: &str) {
    ended.exits_with(0, why);
    let result = ended.result();
    let totals = &result.totals;
    assert_eq!(totals.established + totals.refused_expected, 400, "{why}: {:?}", result.failures);
    assert!(totals.refused_expected.abs_diff(200) <= 12, "{why}: {totals:?}");
    let kinds = kinds(&result);
    assert_eq!(kinds.len(), 11, "{why}: {kinds:?}");
    assert!(kinds["replayed"] >= 12 && kinds["garbage"] >= 36, "{why}: {kinds:?}");
    assert_eq!(result.scenario.mix[&TokenKind::Garbage], 10.0, "{why}");
    let refused: u64 = result.refusals.iter().map(|refusal| refusal.count).sum();
    assert_eq!(refused, totals.refused_expected, "{why}: {:?}", result.refusals);
}

#[tokio::test]
async fn gate_refuses_every_invalid_token_kind_in_every_place() {
    let server = LocalServer::start(&[]).await;
    for (scheme, token_in) in [
        ("http", "query:token"),
        ("http", "auth:token"),
        ("ws", "header"),
        ("ws", "subprotocol"),
        ("ws", "query:token"),
    ] {
        let flags = format!("--token-source mint --secret env:SECRET --token-in {token_in} --mix {ALL}");
        let path = if scheme == "ws" { "/ws" } else { "" };
        let target = format!("{scheme}://{}{path}", server.gate);
        let ended = load(&target, &flags).env("SECRET", SECRET).end().await;
        all_are_decided_rightly(&ended, token_in);
    }
}

#[tokio::test]
async fn invalid_tokens_are_made_from_login_tokens() {
    let server = LocalServer::start(&[]).await;
    let service = LoginService::start().await;
    let login = format!("{} --user ann:ann-password --user bob:bob-password", service.flags());
    let target = format!("ws://{}/ws", server.gate);
    for per in ["connection", "user"] {
        let flags = format!("{login} --token-per {per} --secret env:SECRET --mix {ALL}");
        let ended = load(&target, &flags).env("SECRET", SECRET).end().await;
        all_are_decided_rightly(&ended, per);
    }
    // Attackers ask nobody for tokens: only those that are shown as valid were given out, and those that were spoilt.
    let flags = format!("{login} --mix valid=1,forged=3,missing=4");
    let before: u64 = service.sessions().iter().map(|(_, given)| given).sum();
    load(&target, &flags).end().await.exits_with(0, "no key is needed");
    let after: u64 = service.sessions().iter().map(|(_, given)| given).sum();
    assert!((after - before).abs_diff(52) <= 4, "{}", after - before);
}

#[tokio::test]
async fn embedded_server_refuses_invalid_tokens() {
    let mix = "valid=90,expired=5,forged=5";
    for flags in ["", "--token-source mint --token-ttl 60s"] {
        let ended = run(&format!("-c 200 --concurrency 8 --mix {mix} {flags}")).end().await;
        ended.exits_with(0, flags);
        let result = ended.result();
        let Totals { established, refused_expected, .. } = result.totals;
        assert_eq!(established + refused_expected, 200, "{flags}");
        assert!(refused_expected.abs_diff(20) <= 2, "{flags}: {refused_expected}");
        let counts = format!("{established} established, {refused_expected} refused");
        assert!(result.verdict.sentence.contains(&counts), "{}", result.verdict.sentence);
    }
}

#[tokio::test]
async fn expect_flag_sets_the_policy_of_the_target() {
    let server = LocalServer::start(&[]).await;
    let target = format!("http://{}", server.gate);
    let mint = "--token-source mint --secret env:SECRET";
    for (flags, code, outcome, why) in [
        ("--mix expired=1", 0, Outcome::RefusedExpected, "nothing should be established"),
        ("--mix expired=1 --expect expired=accept", 104, Outcome::FalseReject, "they were to be let in"),
        ("--expect valid=refuse", 96, Outcome::FalseAccept, "nobody was to be let in"),
        ("--mix valid=1 --expect replayed=refuse,forged=accept", 0, Outcome::Established, "not shown"),
    ] {
        let ended = load(&target, &format!("{mint} {flags}")).env("SECRET", SECRET).end().await;
        ended.exits_with(code, why);
        let result = ended.counts(&[(outcome, 400)], why);
        let asked = result.thresholds.iter().any(|one| one.text == "established>0");
        let lets_in = outcome != Outcome::RefusedExpected && outcome != Outcome::FalseAccept;
        assert_eq!(asked, lets_in, "{why}");
    }
}

#[tokio::test]
async fn invalid_tokens_without_a_key_are_errors_before_the_run() {
    let server = LocalServer::start(&[]).await;
    let service = LoginService::start().await;
    let target = format!("ws://{}/ws", server.gate);
    let login = format!("{} --user ann:ann-password", service.flags());
    let mint = "--token-source mint --secret env:SECRET";
    for (flags, code, part, why) in [
        (format!("{login} --mix expired=1"), 104, "expired: its signature must be", "no key"),
        (format!("{login} --mix not-yet-valid=1"), 104, "not-yet-valid: its", "no key"),
        (
            format!("{login} --mix expired=1 --secret another-secret-than-the-targets"),
            104,
            "is not what the target's HS256 tokens are signed with",
            "another key",
        ),
        (format!("{mint} --mix alg-confused=1"), 104, "has none to confuse", "a shared secret"),
        (format!("{login} --secret x"), 2, "tokens of a --mix", "nothing to sign"),
        (format!("{mint} --mix valid=1,valid=2"), 2, "one weight", "twice"),
        (format!("{mint} --expect valid=maybe"), 2, "KIND=accept", "no such expectation"),
    ] {
        let ended = load(&target, &flags).env("SECRET", SECRET).end().await;
        ended.exits_with(code, why);
        assert!(ended.stderr.contains(part), "{why}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_mix_may_stand_in_a_file() {
    let server = LocalServer::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mixed.toml");
    let text = format!(
        "target = \"ws://{}/ws\"\ntoken-source = \"mint\"\nsecret = \"env:SECRET\"\nconcurrency = 4\n\
         connections = 100\nhold = \"0s\"\nmix = \"valid=3,missing=1\"\nexpect = [\"missing=refuse\"]\n",
        server.gate
    );
    std::fs::write(&file, text).unwrap();
    let ended = run(file.to_str().unwrap()).env("SECRET", SECRET).end().await;
    ended.exits_with(0, "the file's mix");
    let totals = ended.result().totals;
    assert_eq!(totals.established + totals.refused_expected, 100);
    assert!(totals.refused_expected.abs_diff(25) <= 2, "a quarter: {totals:?}");
}

#[tokio::test]
async fn the_example_of_attackers_runs() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/attackers.toml");
    let ended = run(&format!("{example} -c 400 --threshold errors==0%")).end().await;
    ended.passes_or_was_late("attackers.toml");
    let totals = ended.result().totals;
    assert_eq!(totals.established + totals.refused_expected, 400, "{totals:?}");
    assert!(totals.refused_expected.abs_diff(40) <= 4, "{totals:?}");
}
