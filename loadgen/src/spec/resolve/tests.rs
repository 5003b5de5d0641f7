//! The meaning of flags, and what is refused.

use std::time::Duration;

use url::Url;
use wire::engineio::Version;

use super::*;
use crate::spec::login::LoginMethod;
use crate::spec::run::{EMBEDDED_ORIGIN, EmbeddedPlan};
use crate::spec::tokens::{TokenPlan, TokenSource};
use crate::spec::values::TokenPer;

const MINT: &str = "--token-source mint --secret s";
const LOGIN: &str = "--token-url http://f/token --user a:b";

fn machine() -> Machine {
    Machine { cpus: vec![0, 1, 2, 3], now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) }
}

fn resolve(flags: &str) -> Result<RunSpec, SpecError> {
    RunSpec::resolve(RunArgs::parse_line(flags), &machine())
}

fn embedded(spec: &RunSpec) -> (&EmbeddedPlan, &TokenPlan<Option<TokenSource>>) {
    match &spec.server {
        ServerSpec::Embedded { plan, tokens } => (plan, tokens),
        ServerSpec::Named { urls, .. } => panic!("{urls:?} were named"),
    }
}

fn tokens(spec: &RunSpec) -> &TokenPlan {
    match &spec.server {
        ServerSpec::Named { tokens, .. } => tokens,
        ServerSpec::Embedded { .. } => panic!("no target was named"),
    }
}

#[test]
fn without_flags_the_embedded_server_is_loaded() {
    let spec = resolve("").unwrap();
    let (plan, tokens) = embedded(&spec);
    assert_eq!(plan.secret.expose().len(), 64, "32 random bytes in hexadecimal");
    assert_eq!(plan.token_ttl, None);
    assert!(tokens.users.is_empty(), "it makes its own");
    assert!(tokens.source.is_none(), "its own frontend");
    assert_eq!(tokens.per, TokenPer::Connection);
    let RunSpec { load, report, .. } = spec;
    assert_eq!(load.protocol, Protocol::SocketIo(Version::V4));
    assert_eq!(load.targets.request_to(0), ("/socket.io/", &[][..]));
    let model = Model::Open { rate_per_s: 500.0, arrivals: Arrivals::Uniform };
    assert_eq!((load.model, load.connections, load.duration), (model, Some(5000), None));
    assert_eq!((load.hold, load.echo.count), (Hold::UntilEnd, 1));
    assert_eq!(load.timeout, Duration::from_secs(10));
    assert_eq!(load.connect_timeout, Duration::from_secs(5));
    assert_eq!(load.auth_grace, Duration::from_millis(500));
    assert_eq!(load.token_in, TokenIn::Query("token".to_owned()));
    assert_eq!((load.workers, load.pin), (2, Pin::Auto), "half of four processors");
    assert_eq!(report.out, PathBuf::from("gatecrash-out/20270115T080000Z"));
    assert!(report.tui && !report.quiet && !load.tls.insecure);
}

#[test]
fn cookies_at_the_embedded_server_come_from_the_origin_that_it_allows() {
    let own = ("Origin".to_owned(), EMBEDDED_ORIGIN.to_owned());
    let given = ("origin".to_owned(), "http://x".to_owned());
    for (flags, headers, why) in [
        ("--token-in cookie:t", vec![own], "the one that it is started with"),
        ("--token-in cookie:t -H origin:http://x", vec![given], "the user's own is kept"),
        ("--token-in header", vec![], "no cookie, no origin"),
    ] {
        let load = resolve(flags).unwrap().load;
        assert_eq!(load.targets.request_to(0).1, headers, "{why}");
    }
}

#[test]
fn defaults_follow_the_target() {
    for (flags, protocol, path, echo, why) in [
        ("--target http://h:1", Protocol::SocketIo(Version::V4), "/socket.io/", 0, "Socket.IO over http, no messages"),
        ("--target ws://h/chat?room=1", Protocol::WebSocket, "/chat?room=1", 0, "its own path"),
        ("--target wss://h", Protocol::WebSocket, "/", 0, "the URL's path"),
        ("--target wss://h --path /x --echo 3", Protocol::WebSocket, "/x", 3, "as given"),
        ("--target ws://h --protocol socketio --eio 3", Protocol::SocketIo(Version::V3), "/socket.io/", 0, "as given"),
        ("--target http://h --protocol websocket", Protocol::WebSocket, "/", 0, "as given"),
    ] {
        let load = resolve(&format!("{flags} {MINT}")).unwrap().load;
        assert_eq!(load.protocol, protocol, "{flags}: {why}");
        assert_eq!(load.targets.request_to(0).0, path, "{flags}: {why}");
        assert_eq!(load.echo.count, echo, "{flags}: {why}");
        assert_eq!(load.workers, 4, "{flags}: all processors are its own");
    }
}

#[test]
fn loads_end_by_count_or_time() {
    let closed = Model::Closed { concurrency: 8 };
    for (flags, model, connections, duration_s, why) in [
        ("-r 100 -c 7", None, Some(7), None, "by count"),
        ("--duration 10s", None, None, Some(10), "by time alone"),
        ("--duration 10s -c 7", None, Some(7), Some(10), "by both"),
        ("--concurrency 8", Some(closed), Some(5000), None, "the closed model"),
    ] {
        let load = resolve(flags).unwrap().load;
        assert_eq!(load.connections, connections, "{why}");
        assert_eq!(load.duration.map(|time| time.as_secs()), duration_s, "{why}");
        assert!(model.is_none_or(|model| model == load.model), "{why}");
    }
}

#[test]
fn logins_are_planned() {
    let flags = "--target http://h --user ann:one --user bob:two --login-url http://f/in \
                 --login-method json --token-url https://f/t --token-json-pointer /a/b --token-per user";
    let spec = resolve(flags).unwrap();
    let tokens = tokens(&spec);
    let names: Vec<&str> = tokens.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["ann", "bob"]);
    let TokenSource::Login(plan) = &tokens.source else {
        panic!("{tokens:?}");
    };
    assert_eq!(plan.login_url.as_ref().map(Url::as_str), Some("http://f/in"));
    assert_eq!(plan.token_url.as_str(), "https://f/t");
    assert_eq!((plan.method, plan.token_json_pointer.as_str()), (LoginMethod::Json, "/a/b"));
    assert_eq!(tokens.per, TokenPer::User);
}

#[test]
fn the_embedded_server_knows_the_secret_of_minted_tokens() {
    let spec = resolve("--token-source mint --secret abc --token-ttl 10s").unwrap();
    let (plan, tokens) = embedded(&spec);
    assert_eq!(plan.secret.expose(), b"abc");
    assert_eq!(plan.token_ttl, Some(Duration::from_secs(10)));
    assert!(matches!(tokens.source, Some(TokenSource::Mint(_))));
}

#[test]
fn flags_that_contradict_or_lack_something_are_explained() {
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
        let spec = resolve(&flags).unwrap();
        let asked = spec.to_result(&started(&spec));
        let shown = format!("{asked:?} {spec:?}");
        let debug_of_urls = shown.matches("hunter2").count();
        assert!(!format!("{asked:?}").contains("hunter2"), "{flags}: {asked:?}");
        assert!(debug_of_urls == 0 || flags.contains('?'), "{flags}: secrets have no Debug");
        let sent = serde_json::to_string(&spec.load).unwrap();
        assert!(!sent.contains("unter2") || flags.contains("/ws?"), "{flags}: no secret goes to processes: {sent}");
    }
    let spec = resolve(&format!("--target wss://h/ws?key=x {MINT} --token-ttl 5s")).unwrap();
    let asked = spec.to_result(&started(&spec));
    assert_eq!(asked.target.as_deref(), Some("wss://h/ws"));
    assert_eq!((asked.path.as_deref(), asked.auth_grace_s), (Some("/ws"), Some(0.5)));
    assert_eq!(asked.protocol.as_deref(), Some("websocket"));
    assert_eq!((asked.token_source.as_deref(), asked.token_ttl_s), (Some("mint"), Some(5.0)));
    assert_eq!(asked.token_alg.as_deref(), Some("HS256"));
    assert_eq!((asked.eio, asked.transport, asked.embedded), (None, None, false));
}

/// The tokens once the server has started.
fn started(spec: &RunSpec) -> TokenPlan {
    match &spec.server {
        ServerSpec::Named { tokens, .. } => tokens.clone(),
        ServerSpec::Embedded { tokens, .. } => TokenPlan {
            users: tokens.users.clone(),
            source: tokens.source.clone().unwrap_or(TokenSource::File("its frontend's".into())),
            per: tokens.per,
            key: tokens.key.clone(),
        },
    }
}

#[test]
fn a_threshold_on_what_the_run_cannot_have_is_refused_before_it() {
    let raw = format!("--target ws://h/ws {MINT}");
    let socketio = format!("--target http://h {MINT}");
    for (flags, threshold, why) in [
        (raw.as_str(), "echo.p50<1s", Some("use --echo N")),
        (&raw, "unanswered==0", Some("use --echo N")),
        (&format!("{raw} --echo 1"), "echo.p50<1s", None),
        (&format!("{raw} --echo 1 --answered-by none --message-rate 1/s"), "echo.p50<1s", Some("use --echo N")),
        (&format!("{raw} --concurrency 4"), "handshake.response.p50<1s", Some("closed model")),
        (&format!("{raw} --concurrency 4"), "handshake.lag.p50<1s", Some("closed model")),
        (&format!("{raw} --concurrency 4"), "handshake.p50<1s", None),
        (&format!("{raw} --concurrency 4 --echo 1"), "echo.response.p50<1s", Some("--message-rate")),
        (&format!("{raw} --concurrency 4 --echo 1 --message-rate 5/s"), "echo.response.p50<1s", None),
        (&raw, "tls.p50<1s", Some("https or wss")),
        (&format!("--target wss://h/ws {MINT}"), "tls.p50<1s", None),
        (&raw, "open.p50<1s", Some("raw WebSocket")),
        (&raw, "auth.p50<1s", Some("raw WebSocket")),
        (&socketio, "auth.p50<1s", None),
        (&socketio, "poll.p50<1s", Some("--transport")),
        (&format!("{socketio} --transport polling"), "upgrade.p50<1s", Some("never upgrades")),
        (&socketio, "login.p50<1s", Some("no user logs in")),
        (&socketio, "token.p50<1s", Some("no token is asked for")),
        (&format!("--target http://h {LOGIN}"), "token.p50<1s", None),
        (&format!("--target http://h {LOGIN}"), "login.p50<1s", Some("no user logs in")),
        ("", "login.p50<1s,token.p50<1s,echo.p50<1s", None),
    ] {
        match (resolve(&format!("{flags} --threshold {threshold}")), why) {
            (Ok(_), None) => {}
            (Err(error), Some(why)) => {
                assert!(error.to_string().contains(why), "{flags} {threshold}: {error}");
                assert_eq!(error.exit_code(), 2, "{flags} {threshold}");
            }
            (seen, why) => panic!("{flags} {threshold}: {:?}, expected {why:?}", seen.err()),
        }
    }
}

#[test]
fn the_url_of_a_browsers_network_tab_names_the_flags() {
    for (url, flags) in [
        (
            "ws://h:3000/socket.io/?EIO=4&transport=websocket",
            "--target http://h:3000 --protocol socketio --eio 4 --path /socket.io/",
        ),
        ("wss://h/rt/?transport=websocket&EIO=3", "--target https://h --protocol socketio --eio 3 --path /rt/"),
    ] {
        let error = resolve(&format!("--target {url} {MINT}")).unwrap_err();
        assert!(error.to_string().contains(flags), "{url}: {error}");
        assert_eq!(error.exit_code(), 2, "{url}");
    }
    assert!(resolve(&format!("--target ws://h/?EIO=4 --protocol websocket {MINT}")).is_ok(), "as asked");
}
