//! Runs over several processes: the same arrivals, counted once, and no process left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use gatecrash::ground::outcome::Outcome;
use gatecrash::judge::verdict::{CONFIGURATION, INVALID, STOPPED};
use reports::schema::Phase;
use rustix::process::Signal;

use testkit::until;

use super::process::{Process, children_of};
use super::program::{Running, run};
use super::services::{LocalServer, SECRET};
use crate::engine_servers::{WebSocket, read_head, serve};

/// The processes of a running load, once all are there.
async fn members(running: &Running, count: usize) -> Vec<Process> {
    until("the load's processes to start", || {
        let children = children_of(running.pid());
        let members: Vec<_> = children.into_iter().filter(|child| child.has_argument("member")).collect();
        (members.len() == count).then_some(members)
    })
    .await
}

/// A long run over two processes, each with sockets open.
async fn in_mid_run() -> (Running, Vec<Process>) {
    let running = run("-c 5000 -r 100/s --processes 2").start();
    let members = members(&running, 2).await;
    let held = || (members.iter().all(|member| member.descriptors() > 40)).then_some(());
    until("sockets to be held", held).await;
    (running, members)
}

#[tokio::test]
async fn every_transport_and_model_counts_as_one_process_does() {
    let server = LocalServer::start(&["--workers=2"]).await;
    let mint = format!("--target http://{} --token-source mint", server.gate);
    for (flags, why) in [
        ("--protocol websocket --path /ws --rate 200/s -c 150 --echo 2", "raw, open model"),
        ("--rate 200/s -c 150 --echo 1 --workers 2", "Socket.IO, two workers each"),
        ("--concurrency 5 -c 150 --transport polling", "polling, closed model"),
        ("--concurrency 7 -c 150 --transport upgrade --hold 0s", "upgraded"),
        ("--stage 1s:0..300/s --arrivals poisson -c 150 --token-per user", "stages, ready tokens"),
    ] {
        let ended = run(&format!("-q {mint} {flags} --processes 3"))
            .env("SECRET", SECRET)
            .flag("--secret", "env:SECRET")
            .end()
            .await;
        ended.passes_or_was_late(why);
        let result = ended.result();
        let planned = result.totals.planned;
        assert_eq!(result.totals.established, planned, "{why}: {:?}", result.failures);
        assert!(planned == 150 || flags.contains("stage") && planned > 100, "{why}: {planned}");
        let processes: BTreeSet<_> = result.shards.iter().map(|shard| shard.process).collect();
        assert_eq!(processes, [0, 1, 2].map(Some).into(), "{why}");
        let of_shards: u64 = result.shards.iter().map(|shard| shard.established).sum();
        assert_eq!(of_shards, planned, "{why}");
        let of_rows: u64 = result.intervals.iter().map(|row| row.established).sum();
        assert_eq!(of_rows, planned, "{why}");
        assert_eq!(result.scenario.processes, Some(3), "{why}");
        assert!(result.generator.rss_bytes_peak > Some(3_000_000), "{why}");
        if let Some(messages) = result.messages {
            assert_eq!(messages.answered, messages.sent, "{why}");
        }
    }
}

#[tokio::test]
async fn users_log_in_once_and_every_arrival_has_its_users_token() {
    let ended = run("-q -c 60 --concurrency 6 --processes 3 --echo 1").end().await;
    ended.exits_with(0, "the embedded server");
    let result = ended.counts(&[(Outcome::Established, 60)], "embedded");
    assert_eq!(result.phases[&Phase::Login.into()].established.count, 100, "once for each user");
    assert_eq!(result.phases[&Phase::Token.into()].established.count, 60);
    assert_eq!(result.tokens.requests, 60);

    let seen: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
    let counted = seen.clone();
    let addr = serve(move |mut stream| {
        let head = read_head(&mut stream);
        let line = String::from_utf8_lossy(&head);
        // A probe before the run asks for nothing.
        let Some((_, token)) = line.split_once("?token=") else {
            return;
        };
        let token = token.split(' ').next().unwrap_or_default().to_owned();
        if let Some(mut socket) = WebSocket::upgrade(stream, &head) {
            *counted.lock().unwrap().entry(token).or_default() += 1;
            socket.receive_all();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, "t0\nt1\nt2\nt3\n").unwrap();
    let flags = format!("-q --target ws://{addr} --concurrency 4 -c 40 --processes 4");
    let source = format!("file:{}", path.display());
    let ended = run(&flags).flag("--token-source", source).end().await;
    ended.exits_with(0, "tokens of a file");
    let tokens: Vec<_> = seen.lock().unwrap().clone().into_iter().collect();
    let each = |token: &str| (token.to_owned(), 10);
    assert_eq!(tokens, ["t0", "t1", "t2", "t3"].map(each), "arrival j, token j mod 4");
}

#[tokio::test]
async fn too_few_descriptors_suggest_more_processes() {
    let few = "ulimit -n 512";
    let ended = run("-q -c 300 --rate 300/s").after(few).end().await;
    ended.exits_with(CONFIGURATION, "one process");
    assert!(ended.stderr.contains("use --processes 3, "), "{}", ended.stderr);
    let ended = run("-q -c 300 --rate 300/s --processes 3").after(few).end().await;
    ended.passes_or_was_late("as was said");
    // The gate has the same limit, and as many processes as it needs.
    ended.counts(&[(Outcome::Established, 300)], "three processes");
}

#[tokio::test]
async fn a_signal_ends_all_processes_with_what_was_measured() {
    let (running, members) = in_mid_run().await;
    running.signal(Signal::INT);
    let ended = running.end().await;
    ended.exits_with(STOPPED, "Ctrl-C");
    let totals = ended.result().totals;
    assert!(totals.established > 40 && totals.planned < 5000, "{totals:?}");
    assert!(members.iter().all(|member| !member.is_there()));
}

#[tokio::test]
async fn processes_end_with_a_run_that_is_killed() {
    let (running, members) = in_mid_run().await;
    running.signal(Signal::KILL);
    until("the load's processes to end", || (members.iter().all(|member| !member.is_there())).then_some(())).await;
}

#[tokio::test]
async fn a_process_that_dies_or_stalls_makes_the_run_invalid() {
    for (signal, how) in
        [(Signal::KILL, "it ended (signal: 9 (SIGKILL))"), (Signal::STOP, "it sent nothing for 8s and was killed")]
    {
        let (running, members) = in_mid_run().await;
        members[0].signal(signal);
        let ended = running.end().await;
        ended.exits_with(INVALID, how);
        let result = ended.result();
        let reason = &result.validity.reasons[0];
        assert!(reason.contains(" of 2 (pid ") && reason.contains("which had 50.0 % of the load"), "{reason}");
        assert!(reason.contains(how), "{reason}");
        assert!(result.totals.established > 0, "{:?}", result.totals);
        assert!(members.iter().all(|member| !member.is_there()), "{how}");
    }
}
