//! What a server cost by its own word: what lies between readings of its page.

use std::time::Instant;

use reports::schema;

use crate::run::observe::cost::per_socket;
use crate::run::observe::metrics::{Reading, Readings, absent};

/// What the server spent for so many `handshakes`, and what it held when the most sockets were, `held` of them at `peak`.
pub fn metrics_cost(readings: &Readings, peak: Instant, held: u64, handshakes: u64) -> schema::Server {
    let (start, end) = (&readings.start, readings.end.as_ref().ok());
    let most = nearest(&readings.all, peak);
    let cpu_us = end.and_then(|end| spent_us(start, end));
    let bytes = |value: Option<f64>| value.map(|bytes| bytes as u64);
    let (idle, full) = (bytes(start.rss_bytes), bytes(most.rss_bytes));
    schema::Server {
        source: "metrics".to_owned(),
        cpu_us,
        cpu_us_per_handshake: cpu_us.filter(|_| handshakes > 0).map(|us| us / handshakes as f64),
        rss_bytes_idle: idle,
        rss_bytes_peak: full,
        rss_bytes_per_connection: idle.zip(full).and_then(|(idle, full)| per_socket(idle, full, held)),
        open_sockets_idle: bytes(start.open_sockets),
        open_sockets_peak: bytes(most.open_sockets),
        samples: readings.all.iter().map(|one| sample(start, one)).collect(),
        missing: missing(readings),
        ..schema::Server::default()
    }
}

/// Processor time between two readings; a counter that went back belongs to another process.
fn spent_us(before: &Reading, after: &Reading) -> Option<f64> {
    let spent_s = after.cpu_s? - before.cpu_s?;
    (spent_s >= 0.0).then_some(spent_s * 1e6)
}

fn sample(start: &Reading, reading: &Reading) -> schema::ServerSample {
    schema::ServerSample {
        at_s: reading.at.saturating_duration_since(start.at).as_secs_f64(),
        cpu_us: spent_us(start, reading),
        rss_bytes: reading.rss_bytes.map(|bytes| bytes as u64),
        open_sockets: reading.open_sockets.map(|sockets| sockets as u64),
    }
}

/// The reading that was made nearest to an instant.
fn nearest(readings: &[Reading], at: Instant) -> &Reading {
    let distance = |reading: &&Reading| {
        let (one, other) = (reading.at, at);
        one.max(other) - one.min(other)
    };
    readings.iter().min_by_key(distance).expect("the first reading is always there")
}

/// What there is not, a sentence each.
fn missing(readings: &Readings) -> Vec<String> {
    let mut sentences: Vec<String> = absent(&readings.start, &readings.names)
        .into_iter()
        .map(|name| format!("the page has no {name}; --server-metrics-names sets what is read"))
        .collect();
    match &readings.end {
        Err(problem) => sentences.push(format!("the reading at the end failed, and with it processor time: {problem}")),
        Ok(end) => {
            if let (Some(before), Some(after)) = (readings.start.cpu_s, end.cpu_s)
                && after < before
            {
                let name = &readings.names.cpu;
                sentences.push(format!(
                    "{name} went back from {before} to {after}: the server was restarted, or several answer in turn"
                ));
            }
        }
    }
    let (failed, problem) = &readings.failed;
    if *failed > 0 {
        let of = failed + readings.all.len();
        sentences.push(format!("{failed} of {of} readings failed, the last: {problem}"));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::spec::MetricNames;

    /// Readings a second apart, the last of them at the end: `(cpu_s, rss_bytes, open_sockets)`.
    fn readings(start: Instant, values: &[(f64, f64, f64)]) -> Readings {
        let all: Vec<Reading> = values
            .iter()
            .enumerate()
            .map(|(second, (cpu_s, rss_bytes, open_sockets))| Reading {
                at: start + Duration::from_secs(second as u64),
                cpu_s: Some(*cpu_s),
                rss_bytes: Some(*rss_bytes),
                open_sockets: Some(*open_sockets),
            })
            .collect();
        Readings {
            start: all[0],
            end: Ok(all[all.len() - 1]),
            all,
            failed: (0, String::new()),
            names: MetricNames::default(),
        }
    }

    #[test]
    fn costs_lie_between_the_first_and_the_last_and_memory_at_the_peak() {
        let start = Instant::now();
        let seen = [(10.0, 1e6, 10.0), (10.5, 3e6, 1010.0), (11.0, 2e6, 20.0)];
        let peak = start + Duration::from_millis(1200);
        let server = metrics_cost(&readings(start, &seen), peak, 1000, 2000);
        assert_eq!(server.source, "metrics");
        assert_eq!(server.cpu_us, Some(1e6));
        assert_eq!(server.cpu_us_per_handshake, Some(500.0));
        assert_eq!(server.rss_bytes_per_connection, Some(2000.0));
        assert_eq!((server.open_sockets_idle, server.open_sockets_peak), (Some(10), Some(1010)));
        let samples: Vec<_> = server.samples.iter().map(|one| (one.at_s, one.cpu_us)).collect();
        assert_eq!(samples, [(0.0, Some(0.0)), (1.0, Some(5e5)), (2.0, Some(1e6))]);
        assert_eq!(server.missing, [""; 0]);
    }

    #[test]
    fn missing_metrics_are_named_and_left_out() {
        type Change = fn(&mut Readings);
        let rows: [(Change, bool, &str); 4] = [
            (|seen| seen.start.open_sockets = None, true, "the page has no process_open_fds"),
            (
                |seen| seen.end = Err("no answer in time".to_owned()),
                false,
                "the reading at the end failed, and with it processor time: no answer in time",
            ),
            (
                |seen| {
                    if let Ok(end) = &mut seen.end {
                        end.cpu_s = Some(0.5);
                    }
                },
                false,
                "went back from 1 to 0.5: the server was restarted",
            ),
            (|seen| seen.failed = (2, "HTTP 503".to_owned()), true, "2 of 4 readings failed, the last: HTTP 503"),
        ];
        let start = Instant::now();
        for (change, has_cpu, sentence) in rows {
            let mut seen = readings(start, &[(1.0, 1e6, 1.0), (2.0, 1e6, 1.0)]);
            change(&mut seen);
            let server = metrics_cost(&seen, start, 0, 1);
            assert_eq!(server.cpu_us.is_some(), has_cpu, "{sentence}");
            assert_eq!(server.missing.len(), 1, "{:?}", server.missing);
            assert!(server.missing[0].contains(sentence), "{:?}", server.missing);
        }
    }
}
