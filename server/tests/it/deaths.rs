//! Processes of a gate that die: each is restarted, and the others go on.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, kill_process, pidfd_open, prlimit},
};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    clients::{Client, get},
    processes::{FLAGS, metric, metric_becomes},
    servers::{TestProcess, addr, gatekeeper, soon},
    tokens::valid_token,
};

const KEY: &str = include_str!("../keys/p256.public.pem");

/// Kills one of the gate's processes.
fn kill(process: &TestProcess, number: usize) {
    let pid = pid(&process.ready["gate_pids"][number]);
    kill_process(pid, Signal::KILL).unwrap();
}

fn pid(number: &serde_json::Value) -> Pid {
    let pid = i32::try_from(number.as_i64().unwrap()).unwrap();
    Pid::from_raw(pid).unwrap()
}

#[tokio::test]
async fn a_killed_process_is_restarted_and_no_connection_is_refused() {
    let process = TestProcess::start(&FLAGS);
    let gate = addr(&process.ready["gate"]);
    kill(&process, 1);
    // Connections that the kernel assigns to the dead process wait for its successor.
    for _ in 0..40 {
        Client::raw(gate, &valid_token("ann")).await;
    }
    metric_becomes(gate, "gatekeeper_process_restarts_total", 1.0).await;
    let open = r#"gatekeeper_process_sessions_open{process="1"}"#;
    soon("a page of the new one", async { while testkit::metric(&get(gate, "/metrics").await, open).is_none() {} })
        .await;
    process.signal(Signal::TERM);
    let (status, _, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("will be restarted"), "{log}");
}

#[tokio::test]
async fn a_process_that_cannot_start_is_retried_while_others_serve() {
    type Act = fn(&TestProcess, &NamedTempFile);
    let write = |file: &NamedTempFile, text: &str| fs::write(file.path(), text).unwrap();
    let break_keys: Act = |_, file| fs::write(file.path(), "no key").unwrap();
    let repair_keys: Act = |_, file| fs::write(file.path(), KEY).unwrap();
    let take_descriptors: Act = |process, _| limit_descriptors(process, Some(3));
    let return_descriptors: Act = |process, _| limit_descriptors(process, getrlimit(Resource::Nofile).current);
    for (cause, cure, why) in [
        (break_keys, repair_keys, "a file that it reads"),
        (take_descriptors, return_descriptors, "descriptors of its parent"),
    ] {
        let keys = NamedTempFile::new().unwrap();
        write(&keys, KEY);
        let flag = format!("--keys={}", keys.path().display());
        let mut process = TestProcess::start(&[&FLAGS[..], &[&flag]].concat());
        let gate = addr(&process.ready["gate"]);
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(Client::raw(gate, &valid_token("ann")).await);
        }
        metric_becomes(gate, "gatekeeper_sessions_open", 20.0).await;
        let of_first = r#"gatekeeper_process_sessions_open{process="0"}"#;
        let left = 20.0 - metric(gate, of_first).await;

        cause(&process, &keys);
        kill(&process, 0);
        for wait in ["0ns", "100ms", "200ms", "400ms", "800ms", "1.6s"] {
            let line = process.logs("will be restarted");
            assert!(line.contains(&format!("again_in={wait}")), "{why}: {line}");
        }
        cure(&process, &keys);
        soon("a page of the new one", async {
            while testkit::metric(&get(gate, "/metrics").await, of_first).is_none() {}
        })
        .await;
        let open = metric(gate, "gatekeeper_sessions_open").await;
        assert_eq!(open, left, "{why}: the other processes keep their sessions");
        process.signal(Signal::TERM);
        let (status, _, log) = process.wait();
        assert_eq!(status.code(), Some(0), "{why}: {log}");
    }
}

fn limit_descriptors(process: &TestProcess, most: Option<u64>) {
    let limit = Rlimit { current: most, maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(Some(pid(&process.ready["pid"])), Resource::Nofile, limit).unwrap();
}

#[tokio::test]
async fn a_gate_ends_when_no_process_is_left_and_none_can_start() {
    let keys = NamedTempFile::new().unwrap();
    fs::write(keys.path(), KEY).unwrap();
    let flag = format!("--keys={}", keys.path().display());
    let process = TestProcess::start(&[&FLAGS[..], &[&flag]].concat());
    let gate = addr(&process.ready["gate"]);
    fs::write(keys.path(), "no key").unwrap();
    (0..3).for_each(|number| kill(&process, number));
    let (status, _, log) = process.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    let log_part = "no process of the gate is left, and 5 attempts at each have failed";
    assert_eq!(log.matches(log_part).count(), 1, "{log}");
    assert!(TcpStream::connect(gate).is_err());
}

#[tokio::test]
async fn a_process_that_dies_during_a_drain_does_not_end_others() {
    let mut process = TestProcess::start(&FLAGS);
    let gate = addr(&process.ready["gate"]);
    let mut half_open = Vec::new();
    for _ in 0..12 {
        let mut stream = tokio::net::TcpStream::connect(gate).await.unwrap();
        let half = format!("GET /ws?token={} HTTP/1.1\r\nHost: gate\r\n", valid_token("ann"));
        stream.write_all(half.as_bytes()).await.unwrap();
        half_open.push(stream);
    }
    metric_becomes(gate, "gatekeeper_connections_open", 12.0).await;
    let of_first = r#"gatekeeper_process_connections_open{process="0"}"#;
    let left = 12.0 - metric(gate, of_first).await;

    process.signal(Signal::TERM);
    // The parent, and each of the three.
    (0..4).for_each(|_| drop(process.logs("draining")));
    kill(&process, 0);
    process.logs("the others go on");
    let mut accepted = 0.0;
    for mut stream in half_open {
        let rest = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let mut answer = [0; 12];
        // Connections of the dead process are reset.
        let _ = stream.write_all(rest.as_bytes()).await;
        let _ = soon("an answer", stream.read_exact(&mut answer)).await;
        accepted += f64::from(u8::from(&answer == b"HTTP/1.1 101"));
    }
    assert_eq!(accepted, left);
    let (status, _, log) = process.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("process 0 of the gate ended with"), "{log}");
}

#[tokio::test]
async fn a_drain_waits_for_a_process_that_is_restarting() {
    let mut process = TestProcess::start(&FLAGS);
    kill(&process, 0);
    process.logs("will be restarted");
    process.signal(Signal::TERM);
    let (status, _, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_process_that_died_before_the_drain_does_not_fail_it() {
    let process = TestProcess::start(&FLAGS);
    let pidfd = pidfd_open(pid(&process.ready["gate_pids"][0]), PidfdFlags::empty()).unwrap();
    process.signal(Signal::STOP);
    kill(&process, 0);
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
    process.signal(Signal::TERM);
    process.signal(Signal::CONT);
    let (status, _, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

/// The log line of a child that has received a SIGHUP.
const SIGHUP_LOGGED: &str = "SIGHUP: reading the keys again";

/// Starts a gate whose processes wait for the answer of the key source `set`; `act` runs before the answers.
fn start_with_key_source(set: &TcpListener, act: impl FnOnce(Pid)) -> TestProcess {
    let mut command = gatekeeper();
    let jwks = format!("--jwks=http://{}/", set.local_addr().unwrap());
    command.args(FLAGS).arg(jwks);
    TestProcess::spawn_while(command, |pid| {
        let mut asked: Vec<_> = (0..3).map(|_| set.accept().unwrap().0).collect();
        act(pid);
        asked.iter_mut().for_each(answer_with_no_keys);
    })
}

fn answer_with_no_keys(asked: &mut TcpStream) {
    // Closing with unread bytes would reset the connection.
    assert!(asked.read(&mut [0; 1024]).unwrap() > 0);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\n";
    let answer = format!("{head}{{\"keys\":[]}}");
    asked.write_all(answer.as_bytes()).unwrap();
}

#[test]
fn sighup_reaches_processes_that_are_starting() {
    let set = TcpListener::bind("127.0.0.1:0").unwrap();
    let hangup = |pid| kill_process(pid, Signal::HUP).unwrap();
    let mut process = start_with_key_source(&set, hangup);
    (0..3).for_each(|_| drop(process.logs(SIGHUP_LOGGED)));
}

#[test]
fn sighup_reaches_a_process_that_is_restarting() {
    let set = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut process = start_with_key_source(&set, |_| {});
    kill(&process, 0);
    let mut asked = set.accept().unwrap().0;
    process.signal(Signal::HUP);
    (0..2).for_each(|_| drop(process.logs(SIGHUP_LOGGED)));
    answer_with_no_keys(&mut asked);
    process.logs(SIGHUP_LOGGED);
}
