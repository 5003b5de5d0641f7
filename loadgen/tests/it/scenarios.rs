//! The scenario files that come with the program, run as they stand but for their size.

use std::fs;

use gatecrash::ground::outcome::Outcome;
use reports::schema::{Phase, PhaseName};

use crate::run::program::{Program, run};
use crate::run::services::{LocalServer, SECRET};
use crate::run::steps::service;
use testkit::Peers;

/// A run of an example file, by its name, with flags over it.
fn example(name: &str, flags: &str) -> Program {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    run(&format!("{file}/{name}.toml {flags}"))
}

/// The same with addresses in place of those that the file names.
fn example_at(name: &str, addresses: &[(&str, &str)], flags: &str) -> Program {
    let file = format!("{}/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut text = fs::read_to_string(&file).unwrap();
    for (named, address) in addresses {
        assert!(text.contains(named), "{name}.toml names {named}");
        text = text.replace(named, address);
    }
    run(flags).scenario(&text)
}

#[tokio::test]
async fn the_embedded_example_runs() {
    // Its own threshold asks for a machine of its own.
    let ended = example("embedded", "-c 100").flag("--threshold", "errors==0%").end().await;
    ended.passes_or_was_late("embedded.toml");
    let result = ended.counts(&[(Outcome::Established, 100)], "embedded.toml");
    let asked = &result.scenario;
    assert_eq!((asked.connections, asked.rate_per_s), (Some(100), Some(500.0)));
    assert_eq!(asked.arrivals.as_deref(), Some("poisson"));
    let thresholds: Vec<&str> = result.thresholds.iter().map(|t| t.text.as_str()).collect();
    assert_eq!(
        thresholds,
        ["established>0", "dropped==0", "unanswered==0", "errors==0%"],
        "a flag displaces the whole list"
    );
}

#[tokio::test]
async fn a_flag_displaces_the_files_model() {
    let flags = "--concurrency 8 -c 60 --echo 0 --threshold errors<1%";
    let ended = example("embedded", flags).end().await;
    ended.exits_with(0, "the schedule of the file is gone, rate and gaps");
    let result = ended.counts(&[(Outcome::Established, 60)], "closed");
    let asked = &result.scenario;
    assert_eq!((asked.rate_per_s, asked.arrivals.as_ref()), (None, None));
    assert_eq!((asked.concurrency, asked.echo), (Some(8), Some(0)));
    assert!(!result.phases.contains_key(&PhaseName::Echo), "{:?}", result.phases.keys());
}

#[tokio::test]
async fn the_minting_example_runs_against_node() {
    let Some(peers) = Peers::find() else { return };
    let server = peers.serve("socketio-server.js", &["--version", "4"]).await;
    let flags = format!("--target http://{} --secret env:SECRET -c 300 --hold 0s --threshold errors<1%", server.addr);
    let ended = example("socketio-minted", &flags).env("SECRET", SECRET).end().await;
    ended.exits_with(0, "socketio-minted.toml");
    let result = ended.counts(&[(Outcome::Established, 300)], "socketio-minted.toml");
    assert_eq!(result.scenario.concurrency, Some(64));
    assert_eq!(result.scenario.token_ttl_s, Some(60.0));
    assert_eq!(server.stats().await["accepted"], 300);
}

#[tokio::test]
async fn the_login_example_runs_against_a_site() {
    let server = LocalServer::start(&[]).await;
    let (gate, frontend) = (server.gate, server.frontend);
    let flags = format!(
        "--target ws://{gate}/ws --login-url http://{frontend}/login \
         --token-url http://{frontend}/getIoConnectionToken \
         --concurrency 8 -c 50 --hold 300ms --message-rate 20/s --threshold errors<1%"
    );
    let ended = example("websocket-login", &flags).end().await;
    ended.exits_with(0, "websocket-login.toml");
    let result = ended.counts(&[(Outcome::Established, 50)], "websocket-login.toml");
    assert_eq!(result.phases[&PhaseName::Echo].established.count, 250);
    assert_eq!(result.scenario.token_in.as_deref(), Some("header"));
    assert_eq!(result.scenario.message_bytes, Some(128));
}

#[tokio::test]
async fn the_example_of_sessions_runs_against_a_site() {
    let server = LocalServer::start(&["--auth=session"]).await;
    let (gate, frontend) = (server.gate.to_string(), server.frontend.to_string());
    let at = [("127.0.0.1:8080", &*gate), ("127.0.0.1:8000", &frontend)];
    let origin = format!("Origin: http://{frontend}");
    for (flags, why) in [
        (&[][..], "in the query, as the file has it"),
        (&["--token-in", "cookie:gatekeeper_session", "-H", origin.as_str()], "in the cookie, as a browser has it"),
        (&["--transport", "polling"], "by polling"),
        (&["--eio", "3"], "the older protocol"),
    ] {
        let mut program = example_at("session", &at, "--concurrency 8 -c 50 --threshold errors<1%");
        for pair in flags.chunks(2) {
            program = program.flag(pair[0], pair[1]);
        }
        let ended = program.end().await;
        ended.exits_with(0, why);
        ended.counts(&[(Outcome::Established, 50)], why);
    }
    let lookups = server.metric("gatekeeper_session_lookup_seconds_count").await;
    assert_eq!(lookups, 200, "each connection was asked about, once");
    // A session that nobody has is no false reject where it is to be refused.
    let tokens = tempfile::NamedTempFile::new().unwrap();
    fs::write(&tokens, "never-was\n").unwrap();
    let flags = format!(
        "--target http://{gate} --token-in query:session --concurrency 4 -c 20 --hold 0s \
         --token-source file:{}",
        tokens.path().display()
    );
    let ended = run(&flags).end().await;
    let refused = ended.counts(&[(Outcome::FalseReject, 20)], "a session that never was");
    assert_eq!(refused.refusals[0].reason, "not valid token: unknown_session");
}

#[tokio::test]
async fn the_example_of_acknowledgements_runs_against_node() {
    let Some(peers) = Peers::find() else { return };
    let server = peers.serve("socketio-server.js", &["--version", "4"]).await;
    let flags = format!("--target http://{} --secret env:SECRET -c 32 --hold 300ms --message-rate 50/s", server.addr);
    let ended = example("acknowledged", &flags).env("SECRET", SECRET).end().await;
    ended.exits_with(0, "acknowledged.toml");
    let result = ended.counts(&[(Outcome::Established, 32)], "acknowledged.toml");
    let messages = result.messages.unwrap();
    assert_eq!((messages.sent, messages.answered), (320, 320), "each was acknowledged");
    assert_eq!(result.phases[&PhaseName::Echo].established.count, 320);
    assert_eq!(server.stats().await["echoed"], 320);
    assert_eq!(result.scenario.answered_by.as_deref(), Some("ack"));
}

#[tokio::test]
async fn the_example_of_lifetimes_runs() {
    let flags = "--duration 1s --hold log-normal:200ms,1.0 --threshold errors<1%";
    let ended = example("lifetimes", flags).end().await;
    ended.passes_or_was_late("lifetimes.toml");
    let result = ended.result();
    assert_eq!(result.totals.established, result.totals.planned);
    assert_eq!(result.scenario.hold.as_deref(), Some("log-normal:200ms,1"));
    assert_eq!(result.scenario.close.as_deref(), Some("reset"));
    assert!(result.messages.is_some());
}

#[tokio::test]
async fn the_example_of_several_targets_runs() {
    let (old, new) = (LocalServer::start(&[]).await, LocalServer::start(&[]).await);
    let (old, new) = (old.gate.to_string(), new.gate.to_string());
    let ended = example_at(
        "several-targets",
        &[("127.0.0.1:3000", &old), ("127.0.0.1:3001", &new)],
        "--secret env:SECRET --concurrency 8 -c 200 --hold uniform:0s..100ms --threshold errors<1%",
    )
    .env("SECRET", SECRET)
    .end()
    .await;
    ended.exits_with(0, "several-targets.toml");
    let result = ended.counts(&[(Outcome::Established, 200)], "several-targets.toml");
    let parts: Vec<(&str, u64)> =
        result.targets.iter().map(|target| (target.name.as_str(), target.totals.established)).collect();
    let [("old", old), ("new", new)] = parts[..] else {
        panic!("{parts:?}");
    };
    assert!(old.abs_diff(180) <= 3 && old + new == 200, "{parts:?}");
}

#[tokio::test]
async fn the_examples_of_logins_run_against_a_service() {
    let (gate, service) = (LocalServer::start(&[]).await, service().await);
    let (gate, service) = (gate.gate.to_string(), service.to_string());
    let at = [("127.0.0.1:3000", gate.as_str()), ("127.0.0.1:8000", &service)];
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.csv");
    let lines = "name,password,tenant\nann,ann-password,acme\nbob,bob-password,other\n";
    fs::write(&users, lines).unwrap();
    for (name, has_users, logins) in
        [("login-form", true, 2), ("login-json", true, 2), ("oauth-client-credentials", false, 0)]
    {
        let mut program = example_at(name, &at, "-c 20");
        if has_users {
            program = program.flag("--users", &users);
        }
        let program = program.env("CLIENT_SECRET", "hunter2-of-the-client");
        let ended = program.end().await;
        ended.exits_with(0, name);
        let result = ended.counts(&[(Outcome::Established, 20)], name);
        let logged_in = result.phases.get(&Phase::Login.into()).map_or(0, |phase| phase.established.count);
        assert_eq!(logged_in, logins, "{name}");
        assert!(result.steps.iter().all(|step| step.failures.is_empty()), "{name}");
    }
}
