//! The process: its ready line, its signals, its exit codes.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::net::UnixListener,
    process::{Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    clients::{Client, get},
    servers::{TestProcess, TestServer, addr, gatekeeper, soon},
    tokens::{SECRET, valid_token},
};

#[tokio::test]
async fn a_signal_drains_the_server() {
    for signal in [Signal::TERM, Signal::INT] {
        let flags = ["--listen=127.0.0.1:0", "--frontend-listen=127.0.0.1:0", "--secret", SECRET];
        let process = TestProcess::start(&flags);
        let gate = addr(&process.ready["gate"]);
        assert!(process.ready["pid"].as_u64().unwrap() > 1);
        assert!(get(addr(&process.ready["frontend"]), "/healthz").await.contains("200 OK"));
        let mut raw = Client::raw(gate, &valid_token("ann")).await;
        let mut socketio = Client::socketio(gate, &valid_token("ann")).await;

        process.signal(signal);
        assert_eq!(raw.close_code().await, 1001, "{signal:?}: going away");
        assert_eq!(socketio.close_code().await, 1001, "{signal:?}: going away");
        let (status, out, log) = process.wait();
        assert_eq!(status.code(), Some(0), "{signal:?}: {log}");
        assert_eq!(out, "", "the ready line is all there is on standard output");
        assert!(log.contains("draining"), "{log}");
        assert!(!log.contains(&valid_token("ann")[..20]), "a token in the log: {log}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_does_not_end_the_server() {
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = gatekeeper();
    let flags = ["--listen=127.0.0.1:0", "--frontend-listen=127.0.0.1:0", "--secret", SECRET];
    command.args(flags).stderr(full());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let mut raw = Client::raw(addr(&ready["gate"]), &valid_token("ann")).await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(raw.close_code().await, 1001, "going away");
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let mut wrong = gatekeeper();
    let wrong = wrong.args(["--secret", "env:NOPE"]).stderr(full()).status();
    assert_eq!(wrong.unwrap().code(), Some(104), "the exit code reports the error");
}

#[tokio::test]
async fn each_role_runs_only_its_part() {
    for (flag, url, absent) in [("gate", "gate", "frontend"), ("frontend", "frontend", "gate")] {
        let process = TestProcess::start(&["--role", flag, "--listen=127.0.0.1:0", "--frontend-listen=127.0.0.1:0"]);
        assert!(process.ready[absent].is_null(), "{}", process.ready);
        let answer = get(addr(&process.ready[url]), "/healthz").await;
        assert!(answer.contains("200 OK"), "{answer}");
        // SIGHUP is accepted with and without keys to reload.
        process.signal(Signal::HUP);
        process.signal(Signal::TERM);
        assert_eq!(process.wait().0.code(), Some(0));
    }
}

#[tokio::test]
async fn a_drain_has_a_time_limit() {
    let server = TestServer::start(&["--drain=100ms"]).await;
    // The client never reads, so it never answers the close frame.
    let _silent = Client::raw(server.gate, &valid_token("ann")).await;
    let end = soon("the drain", server.stop()).await;
    end.unwrap().unwrap();
}

#[test]
fn sighup_does_not_end_a_process_that_waits_for_listeners() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    let predecessor = UnixListener::bind(&path).unwrap();
    let mut command = gatekeeper();
    command.args(["--role=gate", "--listen=127.0.0.1:0", "--takeover"]).arg(&path);
    let waiting = command.spawn().unwrap();
    let (asked, _) = predecessor.accept().unwrap();
    kill_process(Pid::from_child(&waiting), Signal::HUP).unwrap();
    drop(asked);
    let output = waiting.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(104), "{log}");
    assert!(log.contains("hands no listeners over"), "{log}");
}

fn run(flags: &[&str]) -> Output {
    gatekeeper().args(flags).output().unwrap()
}

#[test]
fn a_port_in_use_is_reported() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let used = held.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    for (gate, frontend, flag) in [(&*used, free, "--listen"), (free, &*used, "--frontend-listen")] {
        let output = run(&["--listen", gate, "--frontend-listen", frontend]);
        let log = String::from_utf8(output.stderr).unwrap();
        let log_part = format!("gatekeeper: listen on {used}: address already in use; choose another with {flag}");
        assert!(log.lines().any(|line| line == log_part), "no `{log_part}` in {log}");
        assert_eq!(output.status.code(), Some(104), "{log}");
        assert!(output.stdout.is_empty(), "no ready line");
    }
}

#[tokio::test]
async fn another_gate_on_the_port_is_detected() {
    let server = TestServer::start(&[]).await;
    let listen = server.gate.to_string();
    let output = tokio::task::spawn_blocking(move || run(&["--role=gate", "--listen", &listen]));
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(104), "SO_REUSEPORT would have shared it");
}

#[test]
fn wrong_flags_are_reported() {
    for (flags, code, log_part, why) in [
        (&["--listen=0.0.0.0:0"][..], 104, "has 19 bytes", "the demo's secret, reachable"),
        (&["--listen=0.0.0.0:0", "--secret", SECRET], 104, "demo user", "the demo user, reachable"),
        (&["--keys=/nonexistent"], 104, "/nonexistent", "no such file"),
        (&["--pin=1023", "--listen=127.0.0.1:0"], 104, "--pin", "no such cpu"),
        (&["--token-cache=9000000000000000000"], 104, "--token-cache", "no machine has so much"),
        (&["--no-such-flag"], 2, "--no-such-flag", "usage"),
        (&["--app=nonesuch"], 2, "nonesuch", "usage"),
    ] {
        let output = run(flags);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains(log_part), "{why}: {log}");
        assert_eq!(output.status.code(), Some(code), "{why}: {log}");
    }
}

#[test]
fn die_with_parent_ends_the_server_with_its_parent() {
    // A shell starts it and lives until its own standard input ends.
    let mut shell = std::process::Command::new("sh")
        .args(["-c", r#""$0" "$@" & read _"#, env!("CARGO_BIN_EXE_gatekeeper")])
        .args(["--role=gate", "--listen=127.0.0.1:0", "--die-with-parent"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(shell.stdout.take().unwrap());
    let mut ready = String::new();
    stdout.read_line(&mut ready).unwrap();
    assert!(ready.starts_with("{\"gate\":"), "{ready}");
    drop(shell.stdin.take());
    shell.wait().unwrap();
    // Only the server holds the other end of the pipe now, so the pipe ends with the server.
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}
