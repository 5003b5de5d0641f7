//! When arrivals come: stages, files of instants, and what comes before the measured part.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gatecrash::ground::outcome::Outcome;
use reports::schema::{Phase, PhaseName};

use super::program::{Program, run};
use super::services::LocalServer;
use crate::engine_servers::serve_websocket;

/// Lets all in, and counts them.
fn counting() -> (SocketAddr, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let addr = serve_websocket(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (addr, count)
}

fn load(addr: SocketAddr, flags: &str) -> Program {
    let mint = "--token-source mint --secret any-secret-will-do --auth-grace 1ms --hold 0s";
    run(&format!("--target ws://{addr} {mint} {flags}"))
}

#[tokio::test]
async fn stages_change_the_rate() {
    let (addr, count) = counting();
    for (flags, planned, seconds, why) in [
        ("--stage 1s:20/s,1s:100/s", 120, [20, 100], "a step"),
        ("--stage 1s:0..100/s --stage 1s:100..0/s", 100, [50, 50], "a ramp, and back"),
        ("--stage 1s:10/s,100ms:600/s,900ms:10/s", 79, [10, 69], "a spike"),
    ] {
        let before = count.load(Ordering::Relaxed);
        let ended = load(addr, flags).end().await;
        ended.passes_or_was_late(why);
        let result = ended.counts(&[(Outcome::Established, planned)], why);
        assert_eq!(count.load(Ordering::Relaxed) - before, planned, "{why}");
        for (row, expected) in result.intervals.iter().zip(seconds) {
            // The machine may be late by some, never early.
            assert!(row.planned.abs_diff(expected) <= 12, "{why}: {row:?}");
        }
        let shape = result.scenario.arrivals.unwrap();
        assert!(shape.starts_with("uniform in stages 1s:"), "{shape}");
    }
}

#[tokio::test]
async fn a_file_lists_the_instants() {
    let (addr, _) = counting();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("instants");
    fs::write(&path, "# a log\n0\n0\n0.1\n1.25\n").unwrap();
    for (flags, planned, why) in [("", 4, "all of it"), ("-c 3", 3, "by count"), ("--duration 50ms", 2, "by time")] {
        let ended = load(addr, flags).flag("--arrivals", &path).end().await;
        ended.passes_or_was_late(why);
        let result = ended.counts(&[(Outcome::Established, planned)], why);
        if planned == 4 {
            let rows: Vec<u64> = result.intervals.iter().map(|row| row.planned).collect();
            assert_eq!(rows, [3, 1], "{why}");
        }
    }
    for (flags, content, code, part) in [
        ("", "1\n0\n", 104, "instants:2: 0 is earlier"),
        ("-r 5", "0\n", 2, "the file sets when"),
        ("--stage 1s:5", "0\n", 2, "the file sets when"),
        ("--warmup 1s", "0\n", 2, "no rate to warm up with"),
    ] {
        fs::write(&path, content).unwrap();
        let ended = load(addr, flags).flag("--arrivals", &path).end().await;
        ended.exits_with(code, part);
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    let ended = load(addr, "--arrivals possion").end().await;
    ended.exits_with(104, "a typo");
    assert!(ended.stderr.contains("uniform, poisson, or the name of a file"), "{}", ended.stderr);
}

#[tokio::test]
async fn warm_up_is_not_measured() {
    let (addr, count) = counting();
    for (flags, measured, warm, why) in [
        ("-r 100 -c 50 --warmup 500ms", 50, 50, "the open model"),
        ("--stage 500ms:40/s,500ms:100/s --warmup 500ms", 70, 20, "its first rate"),
    ] {
        let before = count.load(Ordering::Relaxed);
        let ended = load(addr, flags).end().await;
        ended.passes_or_was_late(why);
        let result = ended.counts(&[(Outcome::Established, measured)], why);
        assert_eq!(count.load(Ordering::Relaxed) - before, measured + warm, "{why}");
        assert_eq!(result.scenario.warmup_s, Some(0.5), "{why}");
        assert_eq!(result.phases[&PhaseName::Handshake].established.count, measured, "{why}");
        assert!(ended.stderr.contains("warming up"), "{why}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn warm_up_and_run_share_the_logins() {
    let server = LocalServer::start(&[]).await;
    let (gate, frontend) = (server.gate, server.frontend);
    let flags = format!(
        "--target ws://{gate}/ws --login-url http://{frontend}/login --user gonzalo:password \
         --token-url http://{frontend}/getIoConnectionToken --concurrency 4 -c 40 --warmup 200ms --hold 0s"
    );
    let ended = run(&flags).end().await;
    ended.exits_with(0, "the closed model");
    let result = ended.counts(&[(Outcome::Established, 40)], "measured");
    assert_eq!(result.phases[&Phase::Token.into()].established.count, 40);
    assert_eq!(result.phases[&Phase::Login.into()].established.count, 1, "one login serves both");
}

#[tokio::test]
async fn the_example_of_a_spike_runs() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/spike.toml");
    let flags = "--duration 1s --warmup 100ms --hold 0s --threshold errors==0%";
    let ended = run(&format!("{example} {flags}")).end().await;
    ended.passes_or_was_late("spike.toml");
    let totals = ended.result().totals;
    assert_eq!(totals.established, totals.planned);
    // Fifty are expected: five standard deviations of a Poisson count.
    assert!(totals.planned.abs_diff(50) <= 35, "{totals:?}");
}
