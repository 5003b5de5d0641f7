//! A gate's counters as a page of Prometheus' text exposition format.

use std::sync::Arc;

use wire::prometheus::{Family, Kind, Page};

use crate::keys::KeyCounts;
use crate::metrics::histogram::BOUNDS_NS;
use crate::metrics::process::Process;
use crate::metrics::{Counter, End, Histogram, Outcome, ShardMetrics, TIMED_EVERY};
use crate::verify::Refusal;

/// A family of one sample: its kind, name, help, and its value over all shards.
type Row = (Kind, &'static str, &'static str, fn(&Shards<'_>) -> u64);

macro_rules! rows {
    ($($kind:ident $name:literal $help:literal = $value:expr;)+) => { &[$((Kind::$kind, $name, $help, $value)),+] };
}

/// The sum of a counter over all shards.
macro_rules! sum {
    ($counter:ident) => {
        |shards| shards.sum(|shard| &shard.$counter)
    };
}

const CONNECTIONS: &[Row] = rows! {
    Counter "gatekeeper_connections_accepted_total" "Connections accepted." = |shards| shards.accepted();
    Gauge "gatekeeper_connections_open" "Connections open now, authenticated or not."
        = |shards| shards.arrived().saturating_sub(shards.gone());
    Counter "gatekeeper_connections_taken_in_total"
        "Connections that another process accepted, for sessions that poll here." = sum!(connections_taken_in);
    Gauge "gatekeeper_connections_parked" "Open connections that hold no buffer."
        = |shards| shards.arrived().saturating_sub(shards.gone() + shards.sum(|shard| &shard.connections_buffered));
    Gauge "gatekeeper_connections_half_open" "Open connections whose first request is not complete."
        = sum!(connections_half_open);
    Gauge "gatekeeper_connections_unconnected"
        "Open WebSockets whose session is not connected yet, or has not moved there yet." = sum!(connections_unconnected);
    Gauge "gatekeeper_buffered_bytes" "Memory for incomplete requests and messages, and for bytes that peers do not read."
        = sum!(buffered_bytes);
    Gauge "gatekeeper_unpolled_bytes" "Bytes that wait for clients to poll." = sum!(unpolled_bytes);
};

const ACCEPTING_AND_POLLING: &[Row] = rows! {
    Counter "gatekeeper_accept_failures_total" "Connections not accepted for want of descriptors or memory."
        = sum!(accept_failures);
    Counter "gatekeeper_polling_sessions_total" "Sessions that began by long-polling." = sum!(polling_sessions);
    Gauge "gatekeeper_sessions_polling" "Sessions that poll now, authenticated or not." = sum!(sessions_polling);
};

const TRAFFIC: &[Row] = rows! {
    Counter "gatekeeper_messages_received_total" "Messages and events that peers sent." = sum!(messages_received);
    Counter "gatekeeper_messages_sent_total" "Messages, events and acknowledgements sent by the application."
        = sum!(messages_sent);
    Counter "gatekeeper_received_bytes_total" "Bytes that peers sent." = sum!(bytes_received);
    Counter "gatekeeper_sent_bytes_total" "Bytes written to peers." = sum!(bytes_sent);
};

const TOKEN_CACHE: &[Row] = rows! {
    Counter "gatekeeper_token_cache_hits_total" "Tokens that were found in the cache." = sum!(token_cache_hits);
    Counter "gatekeeper_token_cache_misses_total" "Tokens by public keys that were not found in the cache."
        = sum!(token_cache_misses);
    Gauge "gatekeeper_token_cache_bytes" "Bytes of the token cache in use." = sum!(token_cache_bytes);
};

/// The page of a gate: sums over all `shards`, then the keys and the process.
pub fn text(shards: &[Arc<ShardMetrics>], keys: KeyCounts, process: Process) -> String {
    let shards = Shards(shards);
    let mut page = Page::default();
    add_rows(&mut page, CONNECTIONS, &shards);
    tls_handshakes(&mut page, &shards);
    add_rows(&mut page, ACCEPTING_AND_POLLING, &shards);
    handshakes(&mut page, &shards);
    durations(&mut page, &shards);
    sessions(&mut page, &shards);
    add_rows(&mut page, TRAFFIC, &shards);
    key_changes(&mut page, keys);
    add_rows(&mut page, TOKEN_CACHE, &shards);
    process_cost(&mut page, process);
    page.into_text()
}

/// The page of a parent process, whose children have the shards.
pub fn parent(restarts: u64, process: Process) -> String {
    let mut page = Page::default();
    let help = "Processes of the gate that ended unexpectedly and were restarted.";
    page.counter("gatekeeper_process_restarts_total", help, restarts);
    process_cost(&mut page, process);
    page.into_text()
}

/// The counters of all shards.
struct Shards<'s>(&'s [Arc<ShardMetrics>]);

impl Shards<'_> {
    fn sum(&self, of: impl Fn(&ShardMetrics) -> &Counter) -> u64 {
        self.0.iter().map(|shard| of(shard).get()).sum()
    }

    fn accepted(&self) -> u64 {
        self.sum(|shard| &shard.connections_accepted)
    }

    /// Connections that this process accepted or received from another.
    fn arrived(&self) -> u64 {
        self.accepted() + self.sum(|shard| &shard.connections_taken_in)
    }

    /// Connections that were closed or sent to another process.
    fn gone(&self) -> u64 {
        self.sum(|shard| &shard.connections_closed) + self.sum(|shard| &shard.connections_sent_on)
    }
}

fn add_rows(page: &mut Page, rows: &[Row], shards: &Shards<'_>) {
    for (kind, name, help, value) in rows {
        page.family(name, help, *kind).sample(&[], value(shards));
    }
}

fn tls_handshakes(page: &mut Page, shards: &Shards<'_>) {
    let help = "Complete TLS handshakes, by whether they resumed a session.";
    let mut family = page.family("gatekeeper_tls_handshakes_total", help, Kind::Counter);
    family.sample(&[("resumed", &false)], shards.sum(|shard| &shard.tls_full));
    family.sample(&[("resumed", &true)], shards.sum(|shard| &shard.tls_resumed));
}

fn handshakes(page: &mut Page, shards: &Shards<'_>) {
    let help = "Accepted connections and polling sessions, by outcome and reason.";
    let mut family = page.family("gatekeeper_handshakes_total", help, Kind::Counter);
    for (i, outcome) in Outcome::UNREFUSED.into_iter().enumerate() {
        handshakes_of(&mut family, outcome, shards.sum(|shard| &shard.handshakes[i]));
    }
    for refusal in Refusal::ALL {
        handshakes_of(&mut family, Outcome::Refused(refusal), shards.sum(|shard| &shard.refusals[refusal as usize]));
    }
}

fn handshakes_of(family: &mut Family<'_>, outcome: Outcome, count: u64) {
    match outcome.reason() {
        Some(reason) => family.sample(&[("outcome", &outcome.as_str()), ("reason", &reason)], count),
        None => family.sample(&[("outcome", &outcome.as_str())], count),
    }
}

fn durations(page: &mut Page, shards: &Shards<'_>) {
    let verify_time: fn(&ShardMetrics) -> &Histogram = |shard| &shard.verify_time;
    for (name, what, of) in [
        ("gatekeeper_verify_seconds", "Verification of a token", verify_time),
        ("gatekeeper_gate_seconds", "A handshake from its complete head to its written answer", |shard| {
            &shard.gate_time
        }),
    ] {
        let help = format!("{what}; one in {TIMED_EVERY} is timed.");
        histogram(page.family(name, &help, Kind::Histogram), shards, of);
    }
    let help = "Session lookup at the frontend, with --auth session.";
    let family = page.family("gatekeeper_session_lookup_seconds", help, Kind::Histogram);
    histogram(family, shards, |shard| &shard.session_lookup_time);
}

fn histogram(mut family: Family<'_>, shards: &Shards<'_>, of: fn(&ShardMetrics) -> &Histogram) {
    let (mut counts, mut sum_ns) = ([0; BOUNDS_NS.len() + 1], 0);
    for shard in shards.0 {
        of(shard).add_to(&mut counts, &mut sum_ns);
    }
    let cumulative = counts.iter().scan(0, |below, count| {
        *below += count;
        Some(*below)
    });
    let bounds = BOUNDS_NS.iter().map(|&bound_ns| seconds(bound_ns));
    family.histogram(&[], bounds.zip(cumulative), counts.iter().sum(), seconds(sum_ns));
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn sessions(page: &mut Page, shards: &Shards<'_>) {
    let established = shards.sum(|shard| &shard.handshakes[0]);
    let ended: u64 = End::ALL.into_iter().map(|end| shards.sum(|shard| &shard.sessions_ended[end as usize])).sum();
    page.gauge("gatekeeper_sessions_open", "Authenticated sessions now.", established.saturating_sub(ended));
    let help = "Authenticated sessions that ended, by reason.";
    let mut family = page.family("gatekeeper_sessions_ended_total", help, Kind::Counter);
    for end in End::ALL {
        family.sample(&[("reason", &end.as_str())], shards.sum(|shard| &shard.sessions_ended[end as usize]));
    }
}

fn key_changes(page: &mut Page, keys: KeyCounts) {
    page.gauge("gatekeeper_keys", "Keys in use.", keys.keys);
    page.counter("gatekeeper_key_ring_swaps_total", "Changes of the keys in use.", keys.swaps);
    for (name, events, ok, failed) in [
        ("gatekeeper_key_file_changes_total", "Changes of key files", keys.files_read, keys.files_failed),
        ("gatekeeper_jwks_fetches_total", "Fetches of published key sets", keys.fetches, keys.fetches_failed),
    ] {
        let help = format!("{events}; after a failure the old keys stay.");
        let mut family = page.family(name, &help, Kind::Counter);
        family.sample(&[("result", &"ok")], ok);
        family.sample(&[("result", &"failed")], failed);
    }
}

fn process_cost(page: &mut Page, process: Process) {
    page.counter("process_cpu_seconds_total", "Processor time, user and system.", process.cpu_s);
    if let Some(bytes) = process.resident_bytes {
        page.gauge("process_resident_memory_bytes", "Resident memory.", bytes);
    }
    if let Some(fds) = process.open_fds {
        page.gauge("process_open_fds", "Open descriptors.", fds);
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
