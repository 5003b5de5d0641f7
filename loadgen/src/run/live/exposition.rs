//! A run as Prometheus reads it: the text exposition format, version 0.0.4.

use std::fmt::Display;

use wire::prometheus::{Kind, Page};

use crate::ground::outcome::Outcome;
use crate::ground::recorder::Counters;
use crate::run::live::{Buckets, GeneratorNow, Now};

/// As the `Content-Type` names the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page of a run at the end of one of its seconds. Counters are of the measured load, or of its warm-up as long as
/// that lasts: they begin again at T0.
pub fn page(now: &Now) -> String {
    let mut page = Page::default();
    page.family("gatecrash_build_info", "The program, by its version.", Kind::Gauge)
        .sample(&[("version", &env!("CARGO_PKG_VERSION"))], 1);
    run(&mut page, now);
    arrivals(&mut page, now);
    latencies(&mut page, now);
    counters(&mut page, &now.counters);
    generator(&mut page, &now.generator);
    page.into_text()
}

fn run(page: &mut Page, now: &Now) {
    page.gauge(
        "gatecrash_run_seconds",
        "Seconds since T0, the instant from which arrivals are planned.",
        now.elapsed_s,
    );
    page.gauge("gatecrash_warming_up", "1 while the load is thrown away.", u8::from(now.warming_up));
    if let Some(left) = now.left {
        page.gauge(
            "gatecrash_left_seconds",
            "How long the run still takes, as far as that can be told.",
            left.duration().as_secs(),
        );
    }
    if let Some(planned) = now.planned {
        page.gauge("gatecrash_arrivals_planned", "Arrivals of the whole run.", planned);
    }
    page.gauge("gatecrash_handshakes_in_flight", "Handshakes under way.", now.in_flight);
    page.gauge("gatecrash_sockets_held", "The most sockets held at once in the last second.", now.held);
}

fn arrivals(page: &mut Page, now: &Now) {
    page.counter(
        "gatecrash_arrivals_due_total",
        "Arrivals whose planned instant has come; in the closed model, that were begun.",
        now.counters.planned,
    );
    page.counter("gatecrash_arrivals_started_total", "Arrivals that were begun.", now.counters.started);
    let mut family = page.family("gatecrash_arrivals_total", "Arrivals by what became of them.", Kind::Counter);
    for outcome in Outcome::ALL {
        family.sample(&[("outcome", &outcome.as_str())], now.count(outcome));
    }
    let mut family = page.family("gatecrash_failures_total", "What broke, by phase and kind.", Kind::Counter);
    for (failure, count) in &now.failures {
        let labels: [(&str, &dyn Display); 2] = [("phase", &failure.phase.as_str()), ("kind", &failure.kind)];
        family.sample(&labels, count);
    }
    let help = "What the target refused, by kind of token and the reason that it gave.";
    let mut family = page.family("gatecrash_refusals_total", help, Kind::Counter);
    for (kind, reason, count) in &now.refusals {
        let labels: [(&str, &dyn Display); 2] = [("token_kind", &kind.as_str()), ("reason", reason)];
        family.sample(&labels, count);
    }
    let help = "Established sockets that the target ended before their time, by how.";
    let mut family = page.family("gatecrash_sockets_dropped_total", help, Kind::Counter);
    for (kind, count) in &now.drops {
        family.sample(&[("kind", kind)], count);
    }
}

fn latencies(page: &mut Page, now: &Now) {
    let help = "Latencies of established arrivals, by phase as run.hlog names it.";
    let mut family = page.family("gatecrash_phase_seconds", help, Kind::Histogram);
    for phase in &now.phases {
        let ends = Buckets::BOUNDS_NS.iter().map(|&bound_ns| bound_ns as f64 / 1e9);
        family.histogram(&[("phase", &phase.metric.tag())], ends.zip(phase.buckets.0), phase.count, phase.sum_s);
    }
}

fn counters(page: &mut Page, counters: &Counters) {
    for (name, help, count) in [
        ("gatecrash_messages_sent_total", "Messages sent over established sockets.", counters.messages_sent),
        ("gatecrash_messages_answered_total", "Messages that were answered.", counters.echoes_answered),
        (
            "gatecrash_messages_unanswered_total",
            "Messages that an answer was waited for in vain.",
            counters.echoes_unanswered,
        ),
        (
            "gatecrash_token_requests_total",
            "HTTP requests for a token that were answered, or that failed.",
            counters.token_requests,
        ),
        ("gatecrash_token_request_failures_total", "Those of them that brought none.", counters.token_failures),
        ("gatecrash_tls_handshakes_total", "TLS handshakes that were completed.", counters.tls_handshakes),
        ("gatecrash_sent_bytes_total", "Bytes written to the target's sockets.", counters.sent_bytes),
        ("gatecrash_received_bytes_total", "Bytes read from the target's sockets.", counters.received_bytes),
    ] {
        page.counter(name, help, count);
    }
}

fn generator(page: &mut Page, generator: &GeneratorNow) {
    page.counter(
        "gatecrash_generator_cpu_seconds_total",
        "Processor time of the load itself since T0.",
        generator.cpu_s,
    );
    for (name, help, value) in [
        (
            "gatecrash_generator_cpu_ratio",
            "Part of the generator's processors that it used since T0, 0 to 1.",
            generator.cpu_share,
        ),
        (
            "gatecrash_generator_lag_p99_seconds",
            "99 % of the starts of the last second were at most this late.",
            generator.lag_p99_last_us.map(|us| us / 1e6),
        ),
        (
            "gatecrash_generator_resident_memory_bytes",
            "Resident memory of the load.",
            generator.rss_bytes.map(|bytes| bytes as f64),
        ),
    ] {
        if let Some(value) = value {
            page.gauge(name, help, value);
        }
    }
    page.gauge(
        "gatecrash_run_valid",
        "0: the run would be invalid if it ended now, and no figure may be trusted.",
        u8::from(generator.doubts.is_empty()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::outcome::TokenKind;
    use crate::ground::recorder::Recorder;

    #[test]
    fn every_sample_belongs_to_the_head_above_it() {
        let mut recorder = Recorder::new();
        recorder.outcome(Outcome::Established);
        recorder.handshake(Outcome::Established, TokenKind::Valid, 300_000, Some(1_000));
        recorder.refusal(TokenKind::Forged, "a \"word\"\\\nand more");
        let page = page(&Now::of(&recorder, &[], true));
        let mut name = "";
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                name = rest.split(' ').next().unwrap();
                assert!(name.starts_with("gatecrash_"), "{line}");
            } else if !line.starts_with("# HELP ") {
                assert!(line.starts_with(name), "{name}: {line}");
            }
        }
        for line in [
            r#"gatecrash_refusals_total{token_kind="forged",reason="a \"word\"\\\nand more"} 1"#,
            r#"gatecrash_phase_seconds_bucket{phase="handshake.service",le="0.0002"} 0"#,
            r#"gatecrash_phase_seconds_bucket{phase="handshake.service",le="0.0005"} 1"#,
            r#"gatecrash_phase_seconds_bucket{phase="handshake.response",le="+Inf"} 1"#,
            r#"gatecrash_arrivals_total{outcome="established"} 1"#,
            "gatecrash_run_valid 1",
        ] {
            assert!(page.lines().any(|other| other == line), "{line}\n{page}");
        }
    }
}
