//! How arrivals come about, when they end, and what becomes of those that nobody answers.

use std::io::Read;
use std::time::Duration;

use gatecrash::ground::outcome::Outcome;
use reports::schema::PhaseName;

use super::program::run;
use super::services::LocalServer;
use crate::engine_servers::{Gauge, WebSocket, serve};

/// Flags for a target that takes any token.
const MINT: &str = "--token-source mint --secret any-secret-will-do";

#[tokio::test]
async fn closed_model_keeps_its_concurrency() {
    const PLACES: u64 = 7;
    let gauge = Gauge::default();
    let under_way = gauge.clone();
    let addr = serve(move |stream| {
        // The run looks first whether somebody is there, and says nothing.
        if !matches!(stream.peek(&mut [0]), Ok(1)) {
            return;
        }
        under_way.up();
        under_way.wait_for(PLACES);
        // Before the answer: a place that is free for the client is free here.
        under_way.down();
        if let Some(mut socket) = WebSocket::accept(stream) {
            socket.receive_all();
        }
    });
    let flags = format!("--target ws://{addr} -c 105 --concurrency {PLACES} --hold 0s {MINT}");
    let ended = run(&flags).end().await;
    ended.exits_with(0, "closed model");
    let result = ended.counts(&[(Outcome::Established, 105)], "closed model");
    assert_eq!(gauge.max(), PLACES);
    let handshake = &result.phases[&PhaseName::Handshake].established;
    assert!(handshake.response.is_none(), "without a plan there is no response");
    assert!(handshake.service.is_some());
}

#[tokio::test]
async fn arrivals_end_by_number_or_by_time_whichever_comes_first() {
    let server = LocalServer::start(&[]).await;
    for (flags, planned, why) in [
        ("-r 200 --duration 500ms", 100, "all that are due in time"),
        ("-r 200 --duration 500ms -c 30", 30, "the number comes first"),
        ("-r 200 --duration 200ms -c 5000", 40, "the time comes first"),
    ] {
        let target = format!("--target ws://{}/ws {MINT} {flags}", server.gate);
        let result = run(&target).end().await.result();
        assert_eq!(result.totals.planned, planned, "{why}");
    }
}

#[tokio::test]
async fn arrivals_are_even_or_random_by_seed() {
    for flags in ["--arrivals uniform", "--arrivals poisson", "--arrivals poisson --seed 7"] {
        let ended = run(&format!("-c 100 -r 400 {flags}")).end().await;
        ended.passes_or_was_late(flags);
        let result = ended.counts(&[(Outcome::Established, 100)], flags);
        let words: Vec<&str> = flags.split(' ').collect();
        assert_eq!(result.scenario.arrivals.as_deref(), Some(words[1]));
        assert_eq!(result.scenario.seed, Some(if words.len() > 2 { 7 } else { 1 }));
    }
}

#[tokio::test]
async fn the_closed_model_ends_by_time_as_well() {
    let flags = "--concurrency 4 --duration 400ms --hold 0s --user ann:one --token-source mint";
    let ended = run(flags).end().await;
    ended.exits_with(0, flags);
    let result = ended.result();
    let totals = &result.totals;
    assert!(totals.established > 4, "{totals:?}");
    assert_eq!(totals.established, totals.planned, "{totals:?} {:?}", result.failures);
    assert!(result.duration_s >= 0.4, "{}", result.duration_s);
}

#[tokio::test]
async fn unanswered_handshakes_time_out() {
    let silent = serve(|mut stream| {
        let _ = std::io::copy(&mut stream.by_ref(), &mut std::io::sink());
    });
    const TIMEOUT: Duration = Duration::from_millis(300);
    for (target, why) in [("ws", "raw WebSocket"), ("http", "Socket.IO")] {
        let flags = format!("--target {target}://{silent} -c 20 --concurrency 20 -t 300ms {MINT}");
        let ended = run(&flags).end().await;
        ended.exits_with(99, why);
        let result = ended.counts(&[(Outcome::Timeout, 20)], why);
        let service = &result.phases[&PhaseName::Handshake].by_outcome[&Outcome::Timeout].service;
        let min_us = service.as_ref().unwrap().min_us;
        assert!(min_us >= TIMEOUT.as_micros() as f64 * 0.999, "{why}: {min_us}");
        assert_eq!(result.phases[&PhaseName::Handshake].established.count, 0, "{why}");
    }
}
