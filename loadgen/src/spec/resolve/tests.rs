//! What flags come to mean, and what they may not.

use std::time::Duration;

use clap::Parser;

use wire::engineio::Version;

use super::*;
use crate::cli::{Cli, Command};
use crate::spec::login::LoginMethod;
use crate::spec::protocol::TokenIn;
use crate::spec::tokens::TokenSource;
use crate::spec::values::TokenPer;

const MINT: &str = "--token-source mint --secret s";
const LOGIN: &str = "--token-url http://f/token --user a:b";

fn machine() -> Machine {
    Machine { cpus: vec![0, 1, 2, 3], now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) }
}

fn resolve(flags: &str) -> Result<Scenario, SpecError> {
    let words = ["gatecrash", "run"].into_iter().chain(flags.split_whitespace());
    match Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{flags}: {error}")).command {
        Command::Run(args) => Scenario::resolve(*args, &machine()),
        Command::Serve(_) | Command::Member => panic!("{flags} is a run"),
    }
}

#[test]
fn without_a_word_the_embedded_server_is_loaded() {
    let scenario = resolve("").unwrap();
    let TargetChoice::Embedded(plan) = &scenario.target else {
        panic!("no target was named");
    };
    assert_eq!(plan.secret.expose().len(), 64, "32 random bytes in hexadecimal");
    assert_eq!(plan.token_ttl, None);
    assert_eq!(scenario.protocol, Protocol::SocketIo(Version::V4));
    assert_eq!(scenario.path, "/socket.io/");
    let load = Model::Open { rate_per_s: 500.0, arrivals: Arrivals::Uniform };
    assert_eq!((scenario.load, scenario.connections, scenario.duration), (load, Some(5000), None));
    assert_eq!((scenario.hold, scenario.echo.count), (Hold::UntilEnd, 1));
    assert_eq!(scenario.timeout, Duration::from_secs(10));
    assert_eq!(scenario.connect_timeout, Duration::from_secs(5));
    assert_eq!(scenario.auth_grace, Duration::from_millis(500));
    assert!(scenario.users.is_empty(), "it makes its own");
    assert!(matches!(scenario.tokens.source, TokenSource::EmbeddedLogin));
    assert_eq!(scenario.tokens.per, TokenPer::Connection);
    assert_eq!(scenario.token_in, TokenIn::Query("token".to_owned()));
    assert_eq!((scenario.workers, scenario.pin), (2, Pin::Auto), "half of four processors");
    assert_eq!(scenario.out, PathBuf::from("gatecrash-out/20270115T080000Z"));
    assert!(scenario.tui && !scenario.quiet && !scenario.tls.insecure);
}

#[test]
fn defaults_follow_the_target() {
    for (flags, protocol, path, echo, why) in [
        (
            "--target http://h:1",
            Protocol::SocketIo(Version::V4),
            "/socket.io/",
            0,
            "Socket.IO over http; a stranger's server echoes nothing",
        ),
        ("--target ws://h/chat?room=1", Protocol::WebSocket, "/chat?room=1", 0, "its own path"),
        ("--target wss://h", Protocol::WebSocket, "/ws", 0, "the usual path"),
        ("--target wss://h --path /x --echo 3", Protocol::WebSocket, "/x", 3, "as was said"),
        (
            "--target ws://h --protocol socketio --eio 3",
            Protocol::SocketIo(Version::V3),
            "/socket.io/",
            0,
            "as was said",
        ),
        ("--target http://h --protocol websocket", Protocol::WebSocket, "/ws", 0, "as was said"),
    ] {
        let scenario = resolve(&format!("{flags} {MINT}")).unwrap();
        assert_eq!(scenario.protocol, protocol, "{flags}: {why}");
        assert_eq!(scenario.path, path, "{flags}: {why}");
        assert_eq!(scenario.echo.count, echo, "{flags}: {why}");
        assert_eq!(scenario.workers, 4, "{flags}: all processors are its own");
    }
}

#[test]
fn loads_end_by_count_or_time() {
    let closed = Model::Closed { concurrency: 8 };
    for (flags, load, connections, duration_s, why) in [
        ("-r 100 -c 7", None, Some(7), None, "by count"),
        ("--duration 10s", None, None, Some(10), "by time alone"),
        ("--duration 10s -c 7", None, Some(7), Some(10), "by both"),
        ("--concurrency 8", Some(closed), Some(5000), None, "the closed model"),
    ] {
        let scenario = resolve(flags).unwrap();
        assert_eq!(scenario.connections, connections, "{why}");
        assert_eq!(scenario.duration.map(|time| time.as_secs()), duration_s, "{why}");
        assert!(load.is_none_or(|load| load == scenario.load), "{why}");
    }
}

#[test]
fn logins_are_planned() {
    let flags = "--target http://h --user ann:one --user bob:two --login-url http://f/in \
                 --login-method json --token-url https://f/t --token-json-pointer /a/b --token-per user";
    let scenario = resolve(flags).unwrap();
    let names: Vec<&str> = scenario.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["ann", "bob"]);
    let TokenSource::Login(plan) = &scenario.tokens.source else {
        panic!("{:?}", scenario.tokens);
    };
    assert_eq!(plan.login_url.as_ref().map(Url::as_str), Some("http://f/in"));
    assert_eq!(plan.token_url.as_str(), "https://f/t");
    assert_eq!((plan.method, plan.token_json_pointer.as_str()), (LoginMethod::Json, "/a/b"));
    assert_eq!(scenario.tokens.per, TokenPer::User);
}

#[test]
fn the_embedded_server_knows_the_secret_of_minted_tokens() {
    let scenario = resolve("--token-source mint --secret abc --token-ttl 10s").unwrap();
    let TargetChoice::Embedded(plan) = &scenario.target else {
        panic!("no target was named");
    };
    assert_eq!(plan.secret.expose(), b"abc");
    assert_eq!(plan.token_ttl, Some(Duration::from_secs(10)));
    assert!(matches!(scenario.tokens.source, TokenSource::Mint(_)));
}

#[test]
fn what_cannot_be_is_explained() {
    for (flags, code, part) in [
        ("--target http://h", 104, "--token-source mint --secret env:NAME"),
        ("--target http://h --token-url http://f/t", 104, "--users FILE.csv"),
        ("--target http://h --token-source mint", 104, "give --secret env:NAME, or --key"),
        ("--target http://h --token-source mint --secret env:GATECRASH_NOT_SET", 104, "is not set"),
        ("--target http://h --token-source mint --key no-such.pem", 104, "no-such.pem"),
        ("--target http://h --token-source mint --secret s --alg RS256", 104, "--key FILE"),
        ("--target http://h --users no-such.csv --token-url http://f/t", 104, "no-such.csv"),
        ("no-such.toml", 104, "no-such.toml"),
        ("--login-url http://f/in", 104, "--token-url"),
        ("--target ftp://h --token-source mint --secret s", 2, "http://, https://"),
        ("--target http://u:p@h --token-source mint --secret s", 2, "may not hold credentials"),
        ("--target http://h/x --token-source mint --secret s", 2, "--path"),
        ("--target ws://h --eio 3 --token-source mint --secret s", 2, "no Engine.IO"),
        ("--target ws://h --message-event x --token-source mint --secret s", 2, "no events"),
        ("--protocol websocket --token-in auth:token", 2, "no connect packet"),
        ("--eio 3 --token-in auth:token", 2, "--eio 4"),
        ("--arrivals poisson --concurrency 5", 2, "no schedule"),
        ("--connections 0", 2, "1 to"),
        ("--workers 0", 2, "1 to"),
        ("--concurrency 0", 2, "1 to"),
        ("--message-bytes 3", 2, "16 to"),
        ("--message-event disconnect", 2, "connect_error"),
        ("--timeout 0s", 2, "above 0s"),
        ("--connect-timeout 2h", 2, "at most 1h"),
        ("--path ws", 2, "begins with /"),
        ("--claims {}", 2, "only --token-source mint"),
        ("--token-source mint --claims {\"tid\":\"{{tenant}}\"}", 2, "of each user is known: username"),
        ("--token-source file:t --token-per user", 2, "taken in turn"),
        ("--token-source mint --token-url http://f/t", 2, "only --token-source login"),
        ("--server-pid 1", 2, "observed as it is"),
        ("--token-source mint --alg ES256", 2, "name your own with --target"),
        ("--target http://h --token-ttl 5s --token-url http://f/t --user a:b", 2, "--token-ttl"),
        ("--target http://h --secret s --token-url http://f/t --user a:b", 2, "--secret"),
    ] {
        let error = resolve(flags).expect_err(flags);
        assert_eq!(error.exit_code(), code, "{flags}: {error}");
        assert!(error.to_string().contains(part), "{flags}: {error}");
    }
}

#[test]
fn a_result_shows_what_was_asked_and_no_secret() {
    for flags in [
        format!("--target wss://h/ws?key=hunter2 {MINT}unter2 --token-ttl 5s"),
        format!("--target http://h {LOGIN} --login-url http://u:hunter2@f/in?key=hunter2"),
        "--secret hunter2 --concurrency 5 --hold 30s".to_owned(),
    ] {
        let scenario = resolve(&flags).unwrap();
        let asked = scenario.asked();
        let shown = format!("{asked:?} {scenario:?}");
        let debug_of_urls = shown.matches("hunter2").count();
        assert!(!format!("{asked:?}").contains("hunter2"), "{flags}: {asked:?}");
        assert!(debug_of_urls == 0 || flags.contains('?'), "{flags}: secrets have no Debug");
    }
    let asked = resolve(&format!("--target wss://h/ws?key=x {MINT} --token-ttl 5s")).unwrap().asked();
    assert_eq!(asked.target.as_deref(), Some("wss://h/ws"));
    assert_eq!(asked.protocol.as_deref(), Some("websocket"));
    assert_eq!((asked.token_source.as_deref(), asked.token_ttl_s), (Some("mint"), Some(5.0)));
    assert_eq!(asked.token_alg.as_deref(), Some("HS256"));
    assert_eq!((asked.eio, asked.transport, asked.embedded), (None, None, false));
}
