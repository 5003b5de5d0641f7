//! `scripts/bench verify`: times all candidates in one process, interleaved, by the minimum of short slices.
//!
//! On a shared machine only ratios are meaningful, so that the table shows them beside the times.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use benches::candidates::{ALGORITHMS, all};
use benches::measure::{Cost, interleaved};
use serde_json::json;

/// Slices of each candidate.
const ROUNDS: u32 = 150;

/// Short enough to run undisturbed by other processes, long enough for the clock's resolution.
const SLICE: Duration = Duration::from_micros(400);

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let names = ALGORITHMS.map(|(_, name)| name);
    let usage = format!("usage: scripts/bench verify [--json] [{}]...", names.join(" | "));
    if arguments.iter().any(|asked| asked == "-h" || asked == "--help") {
        println!("{usage}");
        return ExitCode::SUCCESS;
    }
    let json = arguments.iter().any(|argument| argument == "--json");
    arguments.retain(|argument| argument != "--json");
    if let Some(unknown) = arguments.iter().find(|asked| !names.contains(&asked.as_str())) {
        eprintln!("{unknown:?} is neither an option nor an algorithm\n{usage}");
        return ExitCode::from(2);
    }
    let mut candidates = Vec::new();
    for (algorithm, name) in ALGORITHMS {
        if arguments.is_empty() || arguments.iter().any(|asked| asked == name) {
            eprintln!("{algorithm}: signing");
            candidates.extend(all(algorithm, name));
        }
    }
    eprintln!("{} candidates, {ROUNDS} slices of each", candidates.len());
    let costs = interleaved(&mut candidates, ROUNDS, SLICE);
    if json {
        println!("{}", as_json(&costs));
    } else {
        print!("{}", as_table(&costs));
    }
    ExitCode::SUCCESS
}

fn as_json(costs: &[Cost]) -> serde_json::Value {
    let rows =
        costs.iter().map(|cost| json!({"name": cost.name, "value": (cost.ns * 10.0).round() / 10.0, "unit": "ns"}));
    json!({"rows": rows.collect::<Vec<_>>()})
}

/// A line per candidate: its time, and its ratio to the bare primitive, to jsonwebtoken, and to an accepted token.
fn as_table(costs: &[Cost]) -> String {
    let by_name: BTreeMap<&str, f64> = costs.iter().map(|it| (it.name.as_str(), it.ns)).collect();
    let mut table =
        format!("{:<40} {:>12} {:>12} {:>14} {:>11}\n", "", "ns", "/ primitive", "/ jsonwebtoken", "/ accepted");
    for cost in costs {
        let (group, what) = cost.name.rsplit_once('/').unwrap_or_default();
        let ratio = |to: &str| match by_name.get(format!("{group}/{to}").as_str()) {
            Some(other_ns) => format!("{:.3}", cost.ns / other_ns),
            None => "-".to_owned(),
        };
        table += &format!(
            "{:<40} {:>12.1} {:>12} {:>14} {:>11}\n",
            cost.name,
            cost.ns,
            ratio("primitive"),
            ratio("jsonwebtoken"),
            ratio(&format!("{what}-accepted")),
        );
    }
    table
}
