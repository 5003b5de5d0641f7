//! What lies between snapshots: processor time and memory for each handshake and each socket.

use reports::schema;

use crate::run::observe::proc::{MachineSample, ProcessSample};
use crate::run::observe::snapshot::Snapshot;

/// What the server spent from `start` (T0) to `end` (the last handshake's), and what it held at `peak`. `cpus` is how
/// many processors it may use; `source` is the schema's word for where the figures come from.
pub fn server_cost(
    source: &str,
    [start, peak, end]: [&Snapshot; 3],
    handshakes: u64,
    held_at_peak: u64,
    cpus: usize,
) -> Option<schema::Server> {
    let (before, most, after) = (start.server.as_ref()?, peak.server.as_ref()?, end.server.as_ref()?);
    let cpu_us = cpu_us_between(before, after);
    let seconds = end.at.saturating_duration_since(start.at).as_secs_f64();
    let share = cpu_us / 1e6 / (seconds * cpus as f64);
    Some(schema::Server {
        source: source.to_owned(),
        cpu_us: Some(cpu_us),
        cpu_us_per_handshake: (handshakes > 0).then(|| cpu_us / handshakes as f64),
        cpu_share: share.is_finite().then_some(share),
        rss_bytes_idle: Some(before.rss_bytes),
        rss_bytes_peak: Some(most.rss_bytes),
        rss_bytes_per_connection: per_socket(before.rss_bytes, most.rss_bytes, held_at_peak),
        kernel_bytes_per_connection: kernel_bytes_per_connection(start, peak, held_at_peak),
        threads: threads_between(before, after),
        ..schema::Server::default()
    })
}

/// What the frontend spent from `start`, before the first login, to `end`.
pub fn frontend_cost(start: &Snapshot, end: &Snapshot) -> Option<schema::Frontend> {
    let (before, after) = (start.frontend.as_ref()?, end.frontend.as_ref()?);
    Some(schema::Frontend {
        cpu_us: cpu_us_between(before, after),
        rss_bytes_peak: Some(before.rss_bytes.max(after.rss_bytes)),
    })
}

/// How busy all processors were between two snapshots: the most that ticks, control groups, or the processes of the run
/// show. Each overlooks something; none counts what was not spent. `None` where nothing is known.
pub fn machine_cost(start: &Snapshot, end: &Snapshot) -> Option<schema::Machine> {
    let (before, after) = (start.machine.as_ref()?, end.machine.as_ref()?);
    let seconds = end.at.saturating_duration_since(start.at).as_secs_f64();
    let of_capacity = |ns: u64| ns as f64 / 1e9 / (seconds * after.cpus as f64);
    let groups = before.charged_ns.iter().zip(after.charged_ns);
    let groups = groups.filter_map(|(before, after)| after?.checked_sub((*before)?));
    let cpu_share = groups
        .chain(own_ns(start, end))
        .map(of_capacity)
        .chain(by_ticks(before, after))
        .filter(|share| share.is_finite())
        .max_by(f64::total_cmp)?;
    Some(schema::Machine {
        // The files are not read at one instant.
        cpu_share: cpu_share.min(1.0),
    })
}

/// The kernel's own reckoning; `None` where not one tick passed.
fn by_ticks(before: &MachineSample, after: &MachineSample) -> Option<f64> {
    let busy = after.busy_ticks.saturating_sub(before.busy_ticks);
    let total = after.total_ticks.saturating_sub(before.total_ticks);
    (total > 0).then(|| busy as f64 / total as f64)
}

/// What generator, server and frontend used; `None` where none of them could be read.
fn own_ns(start: &Snapshot, end: &Snapshot) -> Option<u64> {
    let processes =
        [(&start.generator, &end.generator), (&start.server, &end.server), (&start.frontend, &end.frontend)];
    let spent = processes.into_iter().filter_map(|(before, after)| {
        let (before, after) = (before.as_ref()?, after.as_ref()?);
        Some(after.cpu_ns().saturating_sub(before.cpu_ns()))
    });
    spent.reduce(|sum, ns| sum + ns)
}

/// What each held socket added to the kernel's memory, both ends together where both are on this machine.
fn kernel_bytes_per_connection(start: &Snapshot, peak: &Snapshot, held: u64) -> Option<f64> {
    per_socket(start.machine.as_ref()?.kernel_bytes, peak.machine.as_ref()?.kernel_bytes, held)
}

/// Fewer sockets than this add less memory than an idle machine moves by itself.
const SOCKETS_MEASURABLE: u64 = 100;

/// What each socket added; `None` where memory shrank meanwhile or too few were held to be sure.
pub(in crate::run) fn per_socket(before_bytes: u64, after_bytes: u64, sockets: u64) -> Option<f64> {
    let added = after_bytes.checked_sub(before_bytes)?;
    (sockets >= SOCKETS_MEASURABLE).then(|| added as f64 / sockets as f64)
}

fn cpu_us_between(before: &ProcessSample, after: &ProcessSample) -> f64 {
    after.cpu_ns().saturating_sub(before.cpu_ns()) as f64 / 1e3
}

/// By thread, busiest first; those that did nothing are left out.
fn threads_between(before: &ProcessSample, after: &ProcessSample) -> Vec<schema::Thread> {
    let spent = |id: u32| {
        let thread = before.threads.iter().find(|thread| thread.id == id);
        thread.map_or(0, |thread| thread.cpu_ns)
    };
    let mut threads: Vec<schema::Thread> = after
        .threads
        .iter()
        .map(|thread| schema::Thread {
            name: thread.name.clone(),
            cpu_us: thread.cpu_ns.saturating_sub(spent(thread.id)) as f64 / 1e3,
        })
        .filter(|thread| thread.cpu_us > 0.0)
        .collect();
    threads.sort_by(|a, b| b.cpu_us.total_cmp(&a.cpu_us));
    threads
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::run::observe::ThreadSample;

    fn snapshot(at: Instant, cpu_ns: [u64; 2], rss_bytes: u64, ticks: (u64, u64)) -> Snapshot {
        let thread = |id: u32, cpu_ns| ThreadSample { id, name: format!("shard-{id}"), cpu_ns };
        let process = ProcessSample { threads: vec![thread(1, cpu_ns[0]), thread(2, cpu_ns[1])], rss_bytes };
        Snapshot {
            at,
            server: Some(process.clone()),
            frontend: Some(process),
            generator: None,
            machine: Some(MachineSample {
                cpus: 2,
                charged_ns: [None; 3],
                busy_ticks: ticks.0,
                total_ticks: ticks.1,
                kernel_bytes: rss_bytes * 2,
            }),
        }
    }

    #[test]
    fn costs_lie_between_snapshots() {
        let at = Instant::now();
        let start = snapshot(at, [1_000_000, 0], 1_000_000, (10, 100));
        let end = snapshot(at + Duration::from_secs(1), [2_000_000, 99_000_000], 6_000_000, (60, 200));
        let server = server_cost("embedded", [&start, &end, &end], 1000, 1000, 2).unwrap();
        assert_eq!(server.cpu_us, Some(100_000.0));
        assert_eq!(server.cpu_us_per_handshake, Some(100.0));
        assert_eq!(server.cpu_share, Some(0.05));
        assert_eq!(server.rss_bytes_per_connection, Some(5000.0));
        assert_eq!(server.kernel_bytes_per_connection, Some(10_000.0));
        let threads: Vec<_> = server.threads.iter().map(|t| (t.name.as_str(), t.cpu_us)).collect();
        assert_eq!(threads, [("shard-2", 99_000.0), ("shard-1", 1000.0)]);
        assert_eq!(machine_cost(&start, &end).unwrap().cpu_share, 0.5);
        assert_eq!(frontend_cost(&start, &end).unwrap().cpu_us, 100_000.0);
    }

    #[test]
    fn the_machine_was_at_least_as_busy_as_whatever_can_be_seen() {
        let at = Instant::now();
        let second = at + Duration::from_secs(1);
        // Server and frontend of the fixture use `each_ms`, of the 2,000 ms that two processors have.
        for (ticks, charged_ms, each_ms, share, why) in [
            (10, [None; 3], 0, 0.1, "ticks alone"),
            (1, [None; 3], 200, 0.2, "ticks overlook the run's own"),
            (1, [Some(600), None, None], 200, 0.3, "a group saw others"),
            (1, [None, Some(20), Some(800)], 200, 0.4, "the most of them"),
            (90, [Some(600), None, None], 200, 0.9, "ticks saw more"),
            (1, [Some(9000), None, None], 0, 1.0, "never more than all"),
        ] {
            let charged = |at, cpu_ms: u64, ticks, ms: [Option<u64>; 3]| {
                let mut snapshot = snapshot(at, [cpu_ms * 1_000_000, 0], 0, ticks);
                let machine = snapshot.machine.as_mut().unwrap();
                machine.charged_ns = ms.map(|ms| ms.map(|ms| ms * 1_000_000));
                snapshot
            };
            let start = charged(at, 0, (0, 0), charged_ms.map(|ms| ms.map(|_| 0)));
            let end = charged(second, each_ms, (ticks, 100), charged_ms);
            let seen = machine_cost(&start, &end).unwrap().cpu_share;
            assert!((seen - share).abs() < 1e-9, "{why}: {seen}");
        }
    }

    #[test]
    fn what_was_not_measured_is_absent() {
        let at = Instant::now();
        let start = snapshot(at, [0, 0], 6_000_000, (10, 100));
        let end = snapshot(at, [0, 0], 1_000_000, (10, 100));
        let server = server_cost("pid", [&start, &end, &end], 0, 1000, 2).unwrap();
        assert_eq!(server.cpu_us_per_handshake, None, "no handshake");
        assert_eq!(server.cpu_share, None, "no time passed");
        assert_eq!(server.rss_bytes_per_connection, None, "memory shrank");
        assert_eq!(machine_cost(&start, &end), None, "neither a tick nor time passed");
        let gone = Snapshot { server: None, ..end };
        assert!(server_cost("pid", [&start, &gone, &gone], 5, 5, 2).is_none(), "it is gone");
        assert_eq!(per_socket(0, 1_000_000, 10), None, "too few to be sure");
    }
}
