//! What cannot be run: each says whose fault it is and what to do, and leaves with its own exit code.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use crate::engine_servers::{answering, unused_addr};
use crate::run::program::{Program, run};
use crate::run::services::LocalServer;

const MINT: &str = "--token-source mint --secret any-secret-will-do";

/// What a run that does not begin says, with addresses and paths by name; nothing is written and nothing summed up.
async fn refusal(program: Program, code: u8, names: &[(&str, &str)]) -> String {
    let ended = program.end().await;
    ended.exits_with(code, "refused");
    assert_eq!(ended.files(), [""; 0]);
    assert_eq!(ended.stdout, "");
    let named = |text: String, (what, name): &(&str, &str)| text.replace(what, name);
    names.iter().fold(ended.stderr, named)
}

#[tokio::test]
async fn unreachable_targets_are_configuration_errors() {
    let nobody = unused_addr().to_string();
    let program = run(&format!("-q --target http://{nobody} {MINT}"));
    assert_snapshot!(refusal(program, 104, &[(&nobody, "ADDR")]).await, @"gatecrash: nothing listens on ADDR: connection refused; start the server or check --target");

    let program = run(&format!("-q --target ws://no-such-host.invalid/ws {MINT}"));
    let said = refusal(program, 104, &[]).await;
    let (beginning, end) = ("gatecrash: cannot resolve host no-such-host.invalid: ", "; check --target\n");
    assert!(said.starts_with(beginning) && said.ends_with(end), "{said}");
}

#[tokio::test]
async fn failed_logins_name_the_user_and_url() {
    let server = LocalServer::start(&[]).await;
    let (gate, frontend) = (server.gate.to_string(), server.frontend.to_string());
    let nobody = unused_addr().to_string();
    let names = [(gate.as_str(), "GATE"), (&frontend, "SITE"), (&nobody, "NOWHERE")];
    let said = async |login: &str, user: &str, token: &str| {
        let asked = format!("-q --target http://{gate} --user {user}");
        let program = run(&format!("{asked} --login-url http://{login} --token-url http://{token}"));
        refusal(program, 104, &names).await
    };
    let (login, token) = (format!("{frontend}/login"), format!("{frontend}/getIoConnectionToken"));
    assert_snapshot!(said(&login, "gonzalo:wrong", &token).await, @r#"gatecrash: login of user gonzalo at http://SITE/login: answered 401 Unauthorized (text/plain: "Please sign in."); check the user's name and password, --login-url and --login-method"#);
    assert_snapshot!(said(&login, "nobody:password", &token).await, @r#"gatecrash: login of user nobody at http://SITE/login: answered 401 Unauthorized (text/plain: "Please sign in."); check the user's name and password, --login-url and --login-method"#);
    assert_snapshot!(said(&login, "gonzalo:password", &frontend).await, @r#"gatecrash: token of user gonzalo at http://SITE/: answered (text/html: "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\""), which is no JSON with a token; check --token-url, and that the login gives a session for it"#);
    assert_snapshot!(said(&login, "gonzalo:password", &format!("{frontend}/no/such/page")).await, @r#"gatecrash: token of user gonzalo at http://SITE/no/such/page: answered 404 Not Found (no type: ""); check --token-url, and that the login gives a session for it"#);
    assert_snapshot!(said(&frontend, "gonzalo:password", &token).await, @r#"gatecrash: login of user gonzalo at http://SITE/: answered 200 OK (text/html: "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\""); it set no cookie, so there is no session to ask for a token with: check the user's name and password, --login-url and --login-method"#);
    assert_snapshot!(said(&nobody, "gonzalo:password", &token).await, @"gatecrash: login of user gonzalo at http://NOWHERE/: connection refused; is the service running?");
}

#[tokio::test]
async fn targets_without_a_socket_server_are_named() {
    let server = LocalServer::start(&[]).await;
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/html\r\n\r\nhello";
    let moved = "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n";
    for (addr, sentence, why) in [
        (answering(page), "it answers the handshake with HTTP 200 OK, the body begins: hello", "a page"),
        (answering(moved), "it answers the handshake with HTTP 302 Found, Location: /login", "a login"),
        (
            answering("220 mail.example ESMTP\r\n"),
            "what it answers breaks the protocol: the peer sent a malformed HTTP head: the version; it begins: 220 mail.example ESMTP",
            "mail",
        ),
        (server.frontend, "it answers the handshake with HTTP 404 Not Found", "our own frontend"),
    ] {
        let ended = run(&format!("--target http://{addr} -c 10 --concurrency 5 {MINT}")).end().await;
        ended.exits_with(104, why);
        let verdict = ended.result().verdict;
        assert_eq!(
            verdict.sentence,
            format!(
                "http://{addr}/ is no Socket.IO server: {sentence}; \
                 check --target, --path, --protocol and --eio."
            ),
            "{why}"
        );
        assert!(ended.stdout.contains(&verdict.sentence[..40]), "{why}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn scenario_errors_show_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    let named = path.to_str().unwrap().to_owned();
    let said = async |text: &str| {
        fs::write(&path, text).unwrap();
        refusal(run(&format!("-q {named}")), 104, &[(&named, "s.toml")]).await
    };
    assert_snapshot!(said("rate = \"5/s\"\nconections = 100\n").await, @r"
    gatecrash: s.toml:2:1: unknown key `conections`; did you mean `connections`?
      |
    2 | conections = 100
      | ^^^^^^^^^^
    ");
    assert_snapshot!(said("[load]\nrate = 5\n").await, @r"
    gatecrash: s.toml:1:2: unknown key `load`; did you mean `hold`?
      |
    1 | [load]
      |  ^^^^
    ");
    assert_snapshot!(said("hold = \"for ever\"\n").await, @r#"
    gatecrash: s.toml:1:8: "for ever" is no time to hold: write a duration such as 0s or 30s, `end`, or a distribution: uniform:MIN..MAX, exponential:MEAN or log-normal:MEDIAN,SIGMA, as in log-normal:30s,1.2
      |
    1 | hold = "for ever"
      |        ^^^^^^^^^^
    "#);
    assert_snapshot!(said("threshold = [\"handshake.p98<50ms\"]\n").await, @r#"
    gatecrash: s.toml:1:25: expected response, service, lag or a stat: p99.9, p99, p95, p90, p50, max, mean
      |
    1 | threshold = ["handshake.p98<50ms"]
      |                         ^
    "#);
    assert_snapshot!(refusal(run("-q no/such/file.toml"), 104, &[]).await, @"gatecrash: cannot read the scenario no/such/file.toml: No such file or directory (os error 2)");
}

#[tokio::test]
async fn contradicting_flags_are_usage_errors() {
    for (flags, part, why) in [
        ("-r 500 --concurrency 5", "'--rate <R/s>' cannot be used with '--concurrency <K>'", "two models"),
        ("--conections 5", "a similar argument exists: '--connections'", "a typo"),
        ("--token-in body", "write query:NAME, header, subprotocol", "no such place"),
        ("--protocol websocket --token-in auth:token", "a raw WebSocket has no connect packet", "no packet"),
        ("--eio 3 --token-in auth:token", "the connect packet has a payload from Socket.IO 3 on", "too old"),
        ("--target ftp://127.0.0.1", "must begin with http://, https://, ws:// or wss://", "no sockets there"),
        ("-c 0", "--connections 0 is not allowed", "nothing to do"),
        ("--threshold handshake.p99=50ms", "handshake.p99=50ms", "no comparison"),
    ] {
        let said = refusal(run(flags), 2, &[]).await;
        assert!(said.contains(part), "{why}: {said}");
    }
}

#[tokio::test]
async fn missing_tokens_are_configuration_errors() {
    let server = LocalServer::start(&[]).await;
    let target = format!("-q --target http://{}", server.gate);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let source = format!("file:{}", path.display());
    let names = [(path.to_str().unwrap(), "FILE")];
    let of_file = async |content: Option<&[u8]>| {
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let program = run(&target).flag("--token-source", &source);
        refusal(program, 104, &names).await
    };
    assert_snapshot!(of_file(Some(b"a token with spaces\n")).await, @"gatecrash: tokens from FILE: line 1 is no token: write one a line, without spaces");
    assert_snapshot!(of_file(Some(b"\n\n")).await, @"gatecrash: tokens from FILE: it holds none");
    assert_snapshot!(of_file(Some(b"\xff\xfe\x00")).await, @"gatecrash: tokens from FILE: stream did not contain valid UTF-8");
    assert_snapshot!(of_file(None).await, @"gatecrash: tokens from FILE: No such file or directory (os error 2)");
    let mint = |flags: &str| run(&format!("{target} --token-source mint {flags}"));
    assert_snapshot!(refusal(mint(""), 104, &[]).await, @"gatecrash: --token-source mint signs with the target's key: give --secret env:NAME, or --key FILE.pem");
    assert_snapshot!(refusal(mint("--secret env:GATECRASH_NOT_SET"), 104, &[]).await, @"gatecrash: the environment variable GATECRASH_NOT_SET, which should hold the --secret, is not set");
    assert_snapshot!(refusal(run(&target), 104, &[]).await, @"gatecrash: a target's tokens must come from somewhere: name its service with --login-url, --token-url and --user, make them here with --token-source mint --secret env:NAME, or bring them with --token-source file:PATH");
}

#[tokio::test]
async fn unwritable_output_folders_are_configuration_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let said = async |out: &Path| {
        let names = [(out.to_str().unwrap(), "OUT")];
        refusal(run("-q").flag("--out", out), 104, &names).await
    };
    assert_snapshot!(said(&file).await, @"gatecrash: cannot create the output folder OUT: File exists (os error 17); choose another folder with --out");
    assert_snapshot!(said(&file.join("below")).await, @"gatecrash: cannot create the output folder OUT: Not a directory (os error 20); choose another folder with --out");
    // Not even root may.
    assert_snapshot!(said(Path::new("/proc/self")).await, @"gatecrash: cannot write to the output folder OUT: No such file or directory (os error 2); choose another folder with --out");
}

#[tokio::test]
async fn too_low_descriptor_limits_are_configuration_errors() {
    let few = "ulimit -n 256";
    assert_snapshot!(refusal(run("-c 5000").after(few), 104, &[]).await, @"gatecrash: 5400 file descriptors are needed, 5000 of them for sockets that are open at once, but this process may open 256; raise the hard limit (ulimit -Hn 5400), ask for fewer --connections, or --hold them shorter");
    let target = format!("--target http://{} -c 200 {MINT}", unused_addr());
    assert_snapshot!(refusal(run(&target).after(few), 104, &[]).await, @"gatecrash: 600 file descriptors are needed, 200 of them for sockets that are open at once, but this process may open 256; raise the hard limit (ulimit -Hn 600), ask for fewer --connections, or --hold them shorter");
    assert_snapshot!(refusal(run("--server-pid 1 -c 5"), 2, &[]).await, @"gatecrash: --server-pid: the embedded server is observed as it is");
}
