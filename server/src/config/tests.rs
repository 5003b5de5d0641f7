//! The rules between flags.

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
        (Err(error), fault) => assert!(fault.is_some_and(|fault| error.contains(fault)), "{why}: {error}"),
        (Ok(_), fault) => assert_eq!(fault, None, "{why}: `{flags}` was accepted"),
    }
}

const LONG: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn weak_secrets_are_accepted_on_loopback_only() {
    let long = format!("--secret {LONG}");
    let public = format!("{long} --listen 0.0.0.0:0");
    let users = tempfile::NamedTempFile::new().unwrap();
    let hash = crate::frontend::users::hash("pw", crate::frontend::users::Cost::Embedded);
    fs::write(&users, format!("ann,{hash}\n")).unwrap();
    let users = format!("--users {}", users.path().display());
    for (flags, fault, why) in [
        (String::new(), None, "the demo on loopback"),
        ("--listen [::1]:0".into(), None, "the demo on IPv6 loopback"),
        ("--listen 0.0.0.0:0".into(), Some("has 19 bytes"), "the demo's secret, a public gate"),
        ("--frontend-listen 0.0.0.0:0".into(), Some("0.0.0.0:0 is not"), "the demo's secret, a public frontend"),
        ("--role gate --frontend-listen 0.0.0.0:0".into(), None, "a public frontend that the role leaves out"),
        ("--listen 0.0.0.0:0 --secret short".into(), Some("has 5 bytes"), "a short secret, a public gate"),
        (public.clone(), Some("demo user"), "the demo user, a public gate"),
        (format!("{public} --role gate"), None, "a gate without a frontend has no users"),
        (format!("{public} {users}"), None, "a long secret and a file of users"),
        ("--secret short".into(), None, "a short secret on loopback"),
    ] {
        check(&flags, fault, why);
    }
}

#[test]
fn flags_are_checked_for_faults_and_conflicts() {
    let key = tempfile::NamedTempFile::new().unwrap();
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    fs::write(&key, jwk).unwrap();
    let keys = format!("--keys {}", key.path().display());
    let lookup = "--auth session --session-url";
    let (no_key, not_https) = (Some("signs tokens with --secret"), Some("must begin with https://"));
    let open_gate = format!("--auth none --secret {LONG} --role gate --listen 0.0.0.0:0");
    for (flags, fault, why) in [
        (keys.clone(), no_key, "a public key cannot sign"),
        (format!("{keys} --role gate"), None, "a public key can verify"),
        (format!("{keys} --role gate --auth session"), Some("needs --secret"), "a public key authorizes no lookup"),
        (format!("{lookup} https://a.example/who"), None, "lookups at another frontend"),
        ("--session-url https://a.example/who".into(), Some("add --auth session"), "lookups are off"),
        (format!("{lookup} http://a.example/who"), not_https, "the network could read sessions and the key"),
        (format!("{keys} --secret {LONG}"), None, "a public key and a secret"),
        ("--keys /nonexistent".into(), Some("--keys: /nonexistent"), "no such file of keys"),
        ("--role gate --jwks https://issuer.example/keys".into(), None, "a published key set can verify"),
        ("--jwks https://issuer.example/keys".into(), no_key, "a published key set cannot sign"),
        ("--role gate --jwks http://issuer.example/keys".into(), not_https, "the network could change the keys"),
        ("--users /nonexistent".into(), Some("--users"), "no such file of users"),
        ("--socketio-client /nonexistent".into(), Some("--socketio-client /nonexistent"), "no such client"),
        ("--max-connections 4000000000".into(), Some("descriptors"), "more than the system allows"),
        (open_gate, Some("--auth none"), "every client, from any machine"),
        ("--auth none".into(), None, "every client, from this machine"),
        ("--ping-interval 0".into(), Some("ping-interval"), "no time between pings"),
        ("--workers 0".into(), Some("workers"), "no worker"),
        ("--processes 0".into(), Some("processes"), "no process"),
        ("--processes 64 --workers 1024".into(), Some("more than 65,535"), "shards are numbered by a u16"),
        ("--handshake-timeout 10x".into(), Some("no unit of time"), "an unknown unit"),
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
    let deadlines_s = |head, upgrade, connect| {
        let [head, upgrade, connect] = [head, upgrade, connect].map(Duration::from_secs);
        Deadlines { head, upgrade, connect }
    };
    assert_eq!(gate.config.deadlines, deadlines_s(10, 10, 10));
    let own = read("--handshake-timeout 5s --connect-timeout 45s").unwrap();
    assert_eq!(own.gate.unwrap().config.deadlines, deadlines_s(5, 5, 45), "a step may have its own");
    assert_eq!(gate.config.session.ping_interval, Duration::from_secs(25));
    assert_eq!(gate.config.session.ping_timeout, Duration::from_secs(20));
    assert_eq!(gate.config.session.app, App::Echo);
    assert_eq!(gate.config.session.auth, Auth::Token);
    assert_eq!(gate.config.policy, Policy::default());
    let frontend = config.frontend.unwrap();
    assert_eq!(frontend.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(frontend.token_ttl, None);
    assert_eq!(frontend.gate_url, None, "the gate of this process");
}

#[test]
fn frontend_without_a_gate_has_the_url_of_another() {
    for (flags, url) in
        [("--role frontend", "http://127.0.0.1:8080"), ("--role frontend --gate-url http://gate:1", "http://gate:1")]
    {
        let config = read(flags).unwrap();
        assert!(config.gate.is_none());
        assert_eq!(config.frontend.unwrap().gate_url.as_deref(), Some(url));
    }
}
