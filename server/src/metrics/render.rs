//! Prometheus' text exposition format, version 0.0.4.

use std::{fmt::Write, sync::Arc};

use crate::metrics::{Counter, Histogram, Outcome, ShardMetrics, TIMED_EVERY, histogram::BOUNDS_NS, process::Process};
use crate::{keys::KeyCounts, metrics::End, verify::Refusal};

/// The sums over all `shards`, then the keys and the process.
pub fn text(shards: &[Arc<ShardMetrics>], keys: KeyCounts, process: Process) -> String {
    let mut page = Page::default();
    let sum = |of: &dyn Fn(&ShardMetrics) -> &Counter| -> u64 { shards.iter().map(|shard| of(shard).get()).sum() };

    let accepted = sum(&|shard| &shard.connections_accepted);
    let taken_in = sum(&|shard| &shard.connections_taken_in);
    let gone = sum(&|shard| &shard.connections_closed) + sum(&|shard| &shard.connections_sent_on);
    page.counter("gatekeeper_connections_accepted_total", "Connections accepted.", accepted);
    page.gauge(
        "gatekeeper_connections_open",
        "Connections open now, authenticated or not.",
        (accepted + taken_in).saturating_sub(gone) as f64,
    );
    page.counter(
        "gatekeeper_connections_taken_in_total",
        "Connections that another process accepted, for sessions that poll here.",
        taken_in,
    );
    let buffered = sum(&|shard| &shard.connections_buffered);
    for (name, help, value) in [
        (
            "gatekeeper_connections_parked",
            "Open connections that hold no buffer.",
            (accepted + taken_in).saturating_sub(gone + buffered),
        ),
        (
            "gatekeeper_connections_half_open",
            "Open connections whose first request is still coming.",
            sum(&|shard| &shard.connections_half_open),
        ),
        (
            "gatekeeper_connections_unconnected",
            "Open WebSockets whose session is not connected yet, or has still to move there.",
            sum(&|shard| &shard.connections_unconnected),
        ),
        (
            "gatekeeper_buffered_bytes",
            "Memory for requests and messages that are not whole, and for what peers do not read.",
            sum(&|shard| &shard.buffered_bytes),
        ),
        ("gatekeeper_unpolled_bytes", "Bytes that wait for clients to poll.", sum(&|shard| &shard.unpolled_bytes)),
    ] {
        page.gauge(name, help, value as f64);
    }
    page.head(
        "gatekeeper_tls_handshakes_total",
        "TLS handshakes that were complete, by whether they took up an earlier session.",
        "counter",
    );
    for (resumed, value) in [("false", sum(&|shard| &shard.tls_full)), ("true", sum(&|shard| &shard.tls_resumed))] {
        page.sample("gatekeeper_tls_handshakes_total", &[("resumed", resumed)], value);
    }
    page.counter(
        "gatekeeper_accept_failures_total",
        "Connections not accepted for want of descriptors or memory.",
        sum(&|shard| &shard.accept_failures),
    );

    page.counter(
        "gatekeeper_polling_sessions_total",
        "Sessions that began by long-polling.",
        sum(&|shard| &shard.polling_sessions),
    );
    page.gauge(
        "gatekeeper_sessions_polling",
        "Sessions that poll now, authenticated or not.",
        sum(&|shard| &shard.sessions_polling) as f64,
    );

    page.head(
        "gatekeeper_handshakes_total",
        "Accepted connections and polling sessions by what became of them, and why.",
        "counter",
    );
    for (i, outcome) in Outcome::UNREFUSED.into_iter().enumerate() {
        page.handshakes(outcome, sum(&|s| &s.handshakes[i]));
    }
    for (i, &refusal) in Refusal::ALL.iter().enumerate() {
        page.handshakes(Outcome::Refused(refusal), sum(&|s| &s.refusals[i]));
    }

    for (name, what, of) in [
        (
            "gatekeeper_verify_seconds",
            "What the verification of a token takes",
            (|shard| &shard.verify_time) as fn(&ShardMetrics) -> &Histogram,
        ),
        ("gatekeeper_gate_seconds", "What a handshake takes from its whole head to its written answer", |shard| {
            &shard.gate_time
        }),
    ] {
        let help = format!("{what}; one in {TIMED_EVERY} is timed.");
        page.histogram(name, &help, shards.iter().map(|shard| of(shard)));
    }

    page.histogram(
        "gatekeeper_session_lookup_seconds",
        "What the frontend takes to say whose a session is, or not to say it; with --auth session.",
        shards.iter().map(|shard| &shard.session_lookup_time),
    );

    let established = sum(&|shard| &shard.handshakes[0]);
    let ended: u64 = (0..End::ALL.len()).map(|i| sum(&|shard| &shard.sessions_ended[i])).sum();
    page.gauge("gatekeeper_sessions_open", "Authenticated sessions now.", established.saturating_sub(ended) as f64);
    page.head("gatekeeper_sessions_ended_total", "Authenticated sessions by why they ended.", "counter");
    for (i, end) in End::ALL.into_iter().enumerate() {
        let labels = [("reason", end.as_str())];
        page.sample("gatekeeper_sessions_ended_total", &labels, sum(&|s| &s.sessions_ended[i]));
    }

    for (name, help, value) in [
        (
            "gatekeeper_messages_received_total",
            "Messages and events that peers sent.",
            sum(&|shard| &shard.messages_received),
        ),
        (
            "gatekeeper_messages_sent_total",
            "Messages, events and acknowledgements sent by the application.",
            sum(&|shard| &shard.messages_sent),
        ),
        ("gatekeeper_received_bytes_total", "Bytes that peers sent.", sum(&|shard| &shard.bytes_received)),
        ("gatekeeper_sent_bytes_total", "Bytes written to peers.", sum(&|shard| &shard.bytes_sent)),
    ] {
        page.counter(name, help, value);
    }

    page.keys(keys);
    for (name, help, value) in [
        (
            "gatekeeper_token_cache_hits_total",
            "Tokens that had been verified before.",
            sum(&|shard| &shard.token_cache_hits),
        ),
        (
            "gatekeeper_token_cache_misses_total",
            "Tokens by public keys that had not, or no longer.",
            sum(&|shard| &shard.token_cache_misses),
        ),
    ] {
        page.counter(name, help, value);
    }
    page.gauge(
        "gatekeeper_token_cache_bytes",
        "Memory in use for tokens that were verified.",
        sum(&|shard| &shard.token_cache_bytes) as f64,
    );

    page.process(process);
    page.0
}

/// The page of a process whose children have the shards.
pub fn parent(restarts: u64, process: Process) -> String {
    let mut page = Page::default();
    page.counter(
        "gatekeeper_process_restarts_total",
        "Processes of the gate that ended by themselves and were started anew.",
        restarts,
    );
    page.process(process);
    page.0
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// The page so far. Names, helps and labels are our own constants, so nothing needs escaping.
#[derive(Default)]
struct Page(String);

impl Page {
    fn process(&mut self, process: Process) {
        self.head("process_cpu_seconds_total", "Processor time, user and system.", "counter");
        self.sample("process_cpu_seconds_total", &[], process.cpu_s);
        if let Some(bytes) = process.resident_bytes {
            self.gauge("process_resident_memory_bytes", "Resident memory.", bytes as f64);
        }
        if let Some(fds) = process.open_fds {
            self.gauge("process_open_fds", "Open descriptors.", fds as f64);
        }
    }

    fn handshakes(&mut self, outcome: Outcome, count: u64) {
        let outcome_label = ("outcome", outcome.as_str());
        let labels = [Some(outcome_label), outcome.reason().map(|it| ("reason", it))];
        let labels: Vec<_> = labels.into_iter().flatten().collect();
        self.sample("gatekeeper_handshakes_total", &labels, count);
    }

    fn keys(&mut self, keys: KeyCounts) {
        self.gauge("gatekeeper_keys", "Keys in use.", keys.keys as f64);
        self.counter("gatekeeper_key_ring_swaps_total", "Changes of the keys in use.", keys.swaps);
        for (name, help, good, failed) in [
            (
                "gatekeeper_key_file_changes_total",
                "Changes of key files; after a failure the old keys stay.",
                keys.files_read,
                keys.files_failed,
            ),
            (
                "gatekeeper_jwks_fetches_total",
                "Fetches of published key sets; after a failure the old keys stay.",
                keys.fetches,
                keys.fetches_failed,
            ),
        ] {
            self.head(name, help, "counter");
            self.sample(name, &[("result", "ok")], good);
            self.sample(name, &[("result", "failed")], failed);
        }
    }

    /// The buckets of Prometheus' histograms include those below them.
    fn histogram<'h>(&mut self, name: &str, help: &str, shards: impl Iterator<Item = &'h Histogram>) {
        let (mut counts, mut sum_ns) = ([0; BOUNDS_NS.len() + 1], 0);
        for shard in shards {
            shard.add_to(&mut counts, &mut sum_ns);
        }
        self.head(name, help, "histogram");
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        let ends = BOUNDS_NS.map(|end_ns| seconds(end_ns).to_string());
        for (count, end) in counts.iter().zip(ends.iter().map(String::as_str).chain(["+Inf"])) {
            below += count;
            self.sample(&bucket, &[("le", end)], below);
        }
        self.sample(&format!("{name}_sum"), &[], seconds(sum_ns));
        self.sample(&format!("{name}_count"), &[], below);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, help, "gauge");
        self.sample(name, &[], value);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let before = if i == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn shards_are_summed() {
        let metrics = Metrics::new(2);
        for shard in metrics.shards() {
            shard.connections_accepted.add(3);
            shard.connections_closed.add(1);
            shard.handshake(Outcome::Established);
            shard.handshake(Outcome::Established);
            shard.handshake(Outcome::Refused(Refusal::Expired));
            shard.session_ended(End::Client);
        }
        let page = metrics.render();
        for (line, why) in [
            ("gatekeeper_connections_accepted_total 6", "the sum of both"),
            ("gatekeeper_connections_open 4", "accepted less closed"),
            (r#"gatekeeper_handshakes_total{outcome="established"} 4"#, "by outcome"),
            (r#"gatekeeper_handshakes_total{outcome="refused",reason="expired"} 2"#, "a refusal by its reason"),
            ("gatekeeper_sessions_open 2", "established less ended"),
            (r#"gatekeeper_sessions_ended_total{reason="client"} 2"#, "by reason"),
            ("# TYPE process_cpu_seconds_total counter", "every family has its type"),
        ] {
            assert!(page.lines().any(|l| l == line), "{why}: {line}\nin\n{page}");
        }
    }
}
