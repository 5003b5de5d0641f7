//! Runs that do not end as planned: signals, a server that dies, a disk that is full.

use std::io::Read;

use gatecrash::judge::verdict::{CONFIGURATION, INVALID, STOPPED};
use rustix::process::Signal;

use super::program::{Ended, Running, Servers, run};
use super::services::LocalServer;
use crate::engine_servers::{Gauge, serve};
use testkit::until;

/// Fifty seconds of load, which no test waits for.
const LONG: &str = "-c 5000 -r 100/s";
/// Descriptors that the gate has open when sockets are held, and not before.
const DESCRIPTORS_IN_MID_RUN: usize = 60;
const FILES: usize = 6;

/// A long run against the embedded server, with sockets open.
async fn in_mid_run() -> (Running, Servers) {
    let running = run(LONG).start();
    let servers = running.servers().await;
    let held = || (servers.gate.descriptors() > DESCRIPTORS_IN_MID_RUN).then_some(());
    until("sockets to be held", held).await;
    (running, servers)
}

/// What was measured until then is there, whole.
fn is_a_partial_result(ended: &Ended, why: &str) {
    let totals = ended.result().totals;
    assert!(totals.established > 0 && totals.planned < 5000, "{why}: {totals:?}");
    assert_eq!(ended.files().len(), FILES, "{why}: {:?}", ended.files());
    assert!(ended.stdout.contains("Arrivals"), "{why}: {}", ended.stdout);
}

#[tokio::test]
async fn a_signal_ends_the_run_with_what_was_measured() {
    for (signal, why) in [(Signal::INT, "Ctrl-C"), (Signal::TERM, "a supervisor")] {
        let (running, servers) = in_mid_run().await;
        running.signal(signal);
        let ended = running.end().await;
        ended.exits_with(STOPPED, why);
        is_a_partial_result(&ended, why);
        assert!(servers.are_gone(), "{why}");
        let totals = ended.result().totals;
        assert_eq!(totals.failed + totals.timeout + totals.false_reject, 0, "{why}: {totals:?}");
    }
}

#[tokio::test]
async fn a_signal_before_the_first_arrival_leaves_nothing() {
    let asked = Gauge::default();
    let mute = asked.clone();
    let mute = serve(move |mut stream| {
        mute.up();
        let _ = std::io::copy(&mut stream.by_ref(), &mut std::io::sink());
    });
    let server = LocalServer::start(&[]).await;
    let login = format!("--login-url http://{mute}/ --token-url http://{mute}/ --user ann:one");
    let running = run(&format!("--target http://{} {login}", server.gate)).start();
    until("the login to be asked for", || (asked.max() > 0).then_some(())).await;
    running.signal(Signal::INT);
    let ended = running.end().await;
    ended.exits_with(STOPPED, "in the logins");
    assert_eq!(
        ended.stderr,
        "logging one user in\n\
         gatecrash: stopped by a signal before the first arrival: nothing was measured\n"
    );
    assert_eq!(ended.files(), [""; 0]);
}

#[tokio::test]
async fn signal_during_start_ends_the_servers() {
    let running = run(LONG).start();
    let servers = running.servers().await;
    running.signal(Signal::INT);
    let ended = running.end().await;
    // It may have come just as the load began.
    ended.exits_with(STOPPED, "early");
    until("the servers to be gone", || servers.are_gone().then_some(())).await;
}

#[tokio::test]
async fn second_signal_ends_the_run_at_once() {
    let (running, servers) = in_mid_run().await;
    // A gate that answers no close, and does not end when it is told to.
    servers.gate.signal(Signal::STOP);
    running.signal(Signal::INT);
    let frontend_ended = || (!servers.frontend.is_there()).then_some(());
    until("the servers to be told to end", frontend_ended).await;
    running.signal(Signal::INT);
    let ended = running.end().await;
    ended.exits_with(STOPPED, "impatience");
    let said = "gatecrash: stopped by a second signal: no result was written\n";
    assert!(ended.stderr.ends_with(said), "{}", ended.stderr);
    assert_eq!(ended.files(), [""; 0]);
    until("the gate to end", || servers.are_gone().then_some(())).await;
}

#[tokio::test]
async fn a_server_that_dies_makes_the_run_invalid() {
    for (role, why) in [("gate", "no sockets"), ("frontend", "no tokens")] {
        let (running, servers) = in_mid_run().await;
        let victim = if role == "gate" { &servers.gate } else { &servers.frontend };
        victim.signal(Signal::KILL);
        let ended = running.end().await;
        ended.exits_with(INVALID, why);
        is_a_partial_result(&ended, why);
        let reasons = ended.result().validity.reasons;
        let died = format!("the embedded server died during the run: the embedded {role} (process ");
        assert!(reasons[0].starts_with(&died), "{reasons:?}");
        assert!(reasons[0].contains("signal: 9 (SIGKILL)"), "{reasons:?}");
        assert!(servers.are_gone(), "{why}");
    }
}

#[tokio::test]
async fn full_disk_loses_the_files_but_not_the_summary() {
    let server = LocalServer::start(&[]).await;
    let flags = format!("-q --target http://{} -c 20 --concurrency 5", server.gate);
    // No file may grow beyond two kilobytes, which fails as a full disk does: in the middle of a write.
    let ended = run(&format!("{flags} --token-source mint --secret env:SECRET"))
        .env("SECRET", super::services::SECRET)
        .after("trap '' XFSZ; ulimit -f 4")
        .end()
        .await;
    ended.exits_with(CONFIGURATION, "full");
    let file = ended.out.join("result.json");
    let said = format!(
        "gatecrash: cannot write the result file {}: File too large (os error 27); choose another folder with --out\n",
        file.display()
    );
    assert_eq!(ended.stderr, said);
    assert!(ended.stdout.contains("established  20"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("report.html"), "it names no file that is not there");
    assert_eq!(ended.files(), [""; 0], "no half of a file stays");
}
