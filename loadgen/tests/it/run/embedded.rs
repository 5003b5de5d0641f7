//! The main job: no target named, so the program starts its own gate and frontend, logs users in, loads, reports.

use std::fs;

use gatecrash::ground::outcome::Outcome;
use reports::schema::{Phase, RunResult};

use super::program::run;
use testkit::Peers;
use testkit::until;

const PHASES: [&str; 8] = ["login", "token", "connect", "upgrade", "open", "auth", "handshake", "echo"];
const FILES: [&str; 6] = ["intervals.csv", "junit.xml", "report.html", "result.json", "run.hlog", "summary.md"];

#[tokio::test]
async fn embedded_run_writes_a_complete_report() {
    let running = run("-c 200 -r 400/s").start();
    let servers = running.servers().await;
    let ended = running.end().await;
    ended.passes_or_was_late("the main job");
    let result = ended.counts(&[(Outcome::Established, 200)], "the main job");
    assert_eq!(ended.files(), FILES);
    assert!(servers.are_gone(), "the children have ended before their parent");

    let phases: Vec<String> = result.phases.keys().map(ToString::to_string).collect();
    assert_eq!(phases, PHASES);
    for (phase, figures) in &result.phases {
        let count = if *phase == Phase::Login.into() { 100 } else { 200 };
        assert_eq!(figures.established.count, count, "{phase}");
    }
    rows_add_up(&result);
    costs_are_there(&result);
    for part in ["Arrivals", "handshake response", "Report", "result.json"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    // The open model's rate is the one that was asked for, give or take the last gap.
    let planned_per_s = result.rates.planned_per_s;
    assert!(planned_per_s <= 410.0, "{planned_per_s}");
}

#[tokio::test]
async fn the_result_keeps_its_schema() {
    let ended = run("-c 100 --concurrency 8").end().await;
    ended.exits_with(0, "the closed model has no schedule to be late for");
    let schema = include_str!("../../../../reports/schema/result-1.json");
    let schema = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let json = fs::read(ended.out.join("result.json")).unwrap();
    let json = serde_json::from_slice(&json).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
    assert_eq!(errors, [""; 0]);
}

#[tokio::test]
async fn independent_readers_agree_with_the_result() {
    let Some(peers) = Peers::find() else { return };
    for flags in ["-c 150 --concurrency 8", "-c 100 --concurrency 8 --protocol websocket"] {
        let ended = run(flags).end().await;
        let expected = ended.result().totals.planned.to_string();
        let words = [ended.out.to_str().unwrap(), "--established", &expected];
        let told = peers.output("../ci/check_result.py", &words, String::new()).await;
        assert!(told.contains("agree"), "{flags}: {told}");
    }
}

#[tokio::test]
async fn embedded_servers_end_when_the_run_is_killed() {
    let running = run("-c 1000 -r 100/s").start();
    let servers = running.servers().await;
    drop(running);
    until("the children to end", || servers.are_gone().then_some(())).await;
}

fn rows_add_up(result: &RunResult) {
    let sum = |of: fn(&reports::schema::Interval) -> u64| result.intervals.iter().map(of).sum::<u64>();
    assert_eq!(sum(|row| row.planned), 200);
    assert_eq!(sum(|row| row.established), 200);
    assert_eq!(sum(|row| row.echoes), 200);
    let shards: u64 = result.shards.iter().map(|shard| shard.established).sum();
    assert_eq!(shards, 200);
}

fn costs_are_there(result: &RunResult) {
    let server = result.server.as_ref().expect("the embedded server is observed");
    assert_eq!(server.source, "embedded");
    assert!(server.cpu_us_per_handshake.unwrap() > 0.0, "{server:?}");
    assert!(server.rss_bytes_peak.unwrap() > 0 && !server.threads.is_empty(), "{server:?}");
    let frontend = server.frontend.as_ref().expect("so is its frontend");
    assert!(frontend.cpu_us > 0.0 && frontend.rss_bytes_peak.unwrap() > 0, "{frontend:?}");
    let generator = &result.generator;
    assert!(generator.cpu_us_per_handshake.unwrap() > 0.0, "{generator:?}");
    assert!(generator.lag_p99_us.is_some(), "{generator:?}");
    assert!(result.machine.as_ref().unwrap().cpu_share > 0.0, "{:?}", result.machine);
}
