//! The rules between flags, as a table.

use clap::Parser;

use super::*;
use crate::{gate::Deadlines, verify::Policy};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    serve: ServeArgs,
}

fn read(flags: &str) -> Result<Config, String> {
    let flags = ["gatekeeper"].into_iter().chain(flags.split_whitespace());
    let cli = Cli::try_parse_from(flags).map_err(|error| error.to_string())?;
    cli.serve.read().map_err(|error| error.to_string())
}

/// `fault` is a part of the error's text; `None`: the flags are valid.
fn check(flags: &str, fault: Option<&str>, why: &str) {
    match (read(flags), fault) {
        (Ok(_), None) => {}
        (Err(error), Some(fault)) => assert!(error.contains(fault), "{why}: {error}"),
        (Ok(_), Some(_)) => panic!("{why}: `{flags}` was accepted"),
        (Err(error), None) => panic!("{why}: {error}"),
    }
}

const LONG: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn weak_secrets_stay_on_loopback() {
    let long = format!("--secret {LONG}");
    let public = format!("{long} --listen 0.0.0.0:0");
    let users = tempfile::NamedTempFile::new().unwrap();
    let hash = crate::frontend::users::hash("pw", crate::frontend::users::Cost::Embedded);
    fs::write(&users, format!("ann,{hash}\n")).unwrap();
    let users = format!("--users {}", users.path().display());
    for (flags, fault, why) in [
        (String::new(), None, "the demo, on loopback"),
        ("--listen [::1]:0".into(), None, "loopback has two families"),
        ("--listen 0.0.0.0:0".into(), Some("has 19 bytes"), "the demo's secret, reachable"),
        ("--frontend-listen 0.0.0.0:0".into(), Some("0.0.0.0:0 is not"), "any listener counts"),
        ("--role gate --frontend-listen 0.0.0.0:0".into(), None, "but for one that is not opened"),
        ("--listen 0.0.0.0:0 --secret short".into(), Some("has 5 bytes"), "a short secret"),
        (public.clone(), Some("demo user"), "the demo user, reachable"),
        (format!("{public} --role gate"), None, "a gate has no users"),
        (format!("{public} {users}"), None, "nothing is weak"),
        ("--secret short".into(), None, "short on loopback"),
    ] {
        check(&flags, fault, why);
    }
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let key = tempfile::NamedTempFile::new().unwrap();
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    fs::write(&key, jwk).unwrap();
    let keys = format!("--keys {}", key.path().display());
    for (flags, fault, why) in [
        (keys.clone(), Some("signs tokens with --secret"), "a public key signs nothing"),
        (format!("{keys} --role gate"), None, "but it verifies"),
        (
            format!("{keys} --role gate --auth session"),
            Some("needs --secret, and there is none"),
            "and it looks no session up",
        ),
        ("--auth session --session-url https://a.example/who".into(), None, "another frontend is asked"),
        ("--session-url https://a.example/who".into(), Some("add --auth session"), "lookups are off"),
        (
            "--auth session --session-url http://a.example/who".into(),
            Some("must begin with https://"),
            "sessions and the key would be read on the way",
        ),
        (format!("{keys} --secret {LONG}"), None, "beside a secret"),
        ("--keys /nonexistent".into(), Some("--keys: /nonexistent"), "the flag and the file are named"),
        ("--role gate --jwks https://issuer.example/keys".into(), None, "keys from elsewhere are keys"),
        ("--jwks https://issuer.example/keys".into(), Some("signs tokens with --secret"), "which sign nothing"),
        (
            "--role gate --jwks http://issuer.example/keys".into(),
            Some("must begin with https://"),
            "keys that an attacker on the network could change",
        ),
        ("--users /nonexistent".into(), Some("--users"), "likewise"),
        ("--socketio-client /nonexistent".into(), Some("--socketio-client /nonexistent"), "likewise"),
        ("--max-connections 4000000000".into(), Some("descriptors"), "more than the system allows"),
        (
            format!("--auth none --secret {LONG} --role gate --listen 0.0.0.0:0"),
            Some("--auth none"),
            "everybody, from everywhere",
        ),
        ("--auth none".into(), None, "everybody on this machine"),
        ("--ping-interval 0".into(), Some("ping-interval"), "a ping each instant"),
        ("--workers 0".into(), Some("workers"), "no worker"),
        ("--processes 0".into(), Some("processes"), "likewise"),
        ("--processes 64 --workers 1024".into(), Some("more than 65,535"), "shards are numbered by a u16"),
        ("--handshake-timeout 10x".into(), Some("no unit of time"), "a unit that is none"),
        ("--role gate --frontend-listen nowhere".into(), Some("nowhere"), "no address"),
    ] {
        check(&flags, fault, why);
    }
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = read("").unwrap();
    let gate = config.gate.unwrap();
    let Listen::At(listen) = gate.listen else { panic!("{:?}", gate.listen) };
    assert_eq!(listen.to_string(), "127.0.0.1:8080");
    assert_eq!(gate.processes, 1);
    let step = Duration::from_secs(10);
    let deadlines = |head, upgrade, connect| Deadlines { head, upgrade, connect };
    assert_eq!(gate.config.deadlines, deadlines(step, step, step));
    let own = read("--handshake-timeout 5s --connect-timeout 45s").unwrap();
    let common = Duration::from_secs(5);
    assert_eq!(
        own.gate.unwrap().config.deadlines,
        deadlines(common, common, Duration::from_secs(45)),
        "a step may have its own"
    );
    assert_eq!(gate.config.session.ping_interval, Duration::from_secs(25));
    assert_eq!(gate.config.session.ping_timeout, Duration::from_secs(20));
    assert_eq!(gate.config.session.app, App::Echo);
    assert_eq!(gate.config.session.auth, Auth::Token);
    assert_eq!(gate.config.policy, Policy::default());
    let frontend = config.frontend.unwrap();
    assert_eq!(frontend.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(frontend.token_ttl, None);
    assert_eq!(frontend.gate_url, None, "where the gate of this process listens");
}

#[test]
fn a_lone_frontend_is_told_where_the_gate_is() {
    for (flags, url) in
        [("--role frontend", "http://127.0.0.1:8080"), ("--role frontend --gate-url http://gate:1", "http://gate:1")]
    {
        let config = read(flags).unwrap();
        assert!(config.gate.is_none());
        assert_eq!(config.frontend.unwrap().gate_url.as_deref(), Some(url));
    }
}
