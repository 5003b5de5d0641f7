//! The rows that every renderer shows: chosen, ordered and formatted once.

mod kinds;

use std::collections::BTreeMap;

use crate::schema::{Distribution, PHASES, Phase, RunResult, Scenario, Target, Threshold, Unit};
use crate::units;

pub use kinds::kind_rows;

/// A figure with its name, and what it is to be read against.
pub struct Fact {
    /// What it is.
    pub label: &'static str,
    /// How much it is.
    pub value: String,
    /// What to read it against; may be empty.
    pub note: String,
}

/// One distribution of the table of phases.
pub struct LatencyRow<'a> {
    /// One of [`PHASES`].
    pub phase: &'static str,
    /// `response`, `service` or `lag`.
    pub view: &'static str,
    /// Its figures.
    pub distribution: &'a Distribution,
}

impl LatencyRow<'_> {
    /// Whether it is of a handshake or an echo as a whole, which have more than one view.
    pub fn composite(&self) -> bool {
        matches!(self.phase, "handshake" | "echo")
    }

    /// `handshake response`, but `connect` alone: a part has one view.
    pub fn name(&self) -> String {
        if self.composite() { format!("{} {}", self.phase, self.view) } else { self.phase.to_owned() }
    }
}

/// The verdict in a word or two: `Pass`, `Threshold missed`.
pub fn verdict_title(result: &RunResult) -> String {
    match result.verdict.name.as_str() {
        "pass" => "Pass".to_owned(),
        "threshold" => "Threshold missed".to_owned(),
        "invalid" => "Invalid run".to_owned(),
        "interrupted" => "Stopped early".to_owned(),
        "false_accept" => "False accept".to_owned(),
        "configuration" => "No such server".to_owned(),
        other => {
            let words = other.replace('_', " ");
            let mut letters = words.chars();
            let first = letters.next().map(|first| first.to_uppercase().to_string());
            first.unwrap_or_default() + letters.as_str()
        }
    }
}

/// The handful of figures that a reader looks for first.
pub fn headline(result: &RunResult) -> Vec<Fact> {
    let mut facts = vec![
        Fact {
            label: "Established",
            value: units::count(result.totals.established),
            note: format!("of {} planned", units::count(result.totals.planned)),
        },
        Fact {
            label: "Rate",
            value: units::rate(result.rates.established_per_s),
            note: format!("{} planned", units::rate(result.rates.planned_per_s)),
        },
    ];
    if let Some(handshake) = main_row(result, "handshake") {
        let note = format!("{} time of a handshake", handshake.view);
        facts.push(Fact {
            label: "Median",
            value: units::duration_us(handshake.distribution.p50_us),
            note: note.clone(),
        });
        facts.push(Fact { label: "99th percentile", value: units::duration_us(handshake.distribution.p99_us), note });
    }
    if let Some(cpu_us) = result.server.as_ref().and_then(|server| server.cpu_us_per_handshake) {
        facts.push(Fact { label: "Server CPU", value: units::duration_us(cpu_us), note: "per handshake".to_owned() });
    }
    facts
}

/// The row of a composite by which it is judged: its response, or in the closed model its service.
pub fn main_row<'a>(result: &'a RunResult, phase: &str) -> Option<LatencyRow<'a>> {
    latency_rows(result).into_iter().find(|row| row.phase == phase)
}

/// The latencies of established arrivals, a row for each phase and point of view, in the order of an arrival.
pub fn latency_rows(result: &RunResult) -> Vec<LatencyRow<'_>> {
    rows_of(&result.phases)
}

fn rows_of(phases: &BTreeMap<String, Phase>) -> Vec<LatencyRow<'_>> {
    let mut rows = Vec::new();
    for phase in PHASES {
        let Some(found) = phases.get(phase) else {
            continue;
        };
        let views = [
            ("response", &found.established.response),
            ("service", &found.established.service),
            ("lag", &found.established.lag),
        ];
        for (view, distribution) in views {
            if let Some(distribution) = distribution.as_ref().filter(|figures| figures.count > 0) {
                rows.push(LatencyRow { phase, view, distribution });
            }
        }
    }
    rows
}

/// The heads of the columns of [`target_row`].
pub const TARGET_HEADS: [&str; 7] = ["Target", "Planned", "Established", "Timed out", "Failed", "p50", "p99"];

/// One of several targets: its name, how its arrivals ended, and its handshake as the run's is judged.
pub fn target_row(target: &Target) -> [String; 7] {
    let handshake = rows_of(&target.phases);
    let handshake = handshake.iter().find(|row| row.phase == "handshake");
    let figure =
        |of: fn(&Distribution) -> f64| handshake.map_or(String::new(), |row| units::duration_us(of(row.distribution)));
    [
        target.name.clone(),
        units::count(target.totals.planned),
        units::count(target.totals.established),
        units::count(target.totals.timeout),
        units::count(target.totals.failed),
        figure(|handshake| handshake.p50_us),
        figure(|handshake| handshake.p99_us),
    ]
}

/// What was said; empty where every message was answered, and the phase `echo` says all.
pub fn message_facts(result: &RunResult) -> Vec<Fact> {
    let mut facts = Facts::default();
    if let Some(messages) = result.messages.filter(|all| all.answered != all.sent) {
        facts.add("Sent", Some(units::count(messages.sent)));
        facts.add("Answered", Some(units::count(messages.answered)));
        facts.add("Without an answer", Some(units::count(messages.unanswered)));
    }
    facts.0
}

/// When the run began, to the second: `2026-05-04 10:00:00 UTC`.
pub fn started(result: &RunResult) -> String {
    let whole_seconds = result.started_at.split(['.', 'Z']).next().unwrap_or_default();
    match whole_seconds.split_once('T') {
        Some((date, time)) => format!("{date} {time} UTC"),
        None => result.started_at.clone(),
    }
}

/// An outcome's name in words.
pub fn outcome_label(outcome: &str) -> &'static str {
    match outcome {
        "established" => "established",
        "refused_expected" => "refused as expected",
        "false_accept" => "accepted by mistake",
        "false_reject" => "refused by mistake",
        "timeout" => "timed out",
        "failed" => "failed",
        "interrupted" => "interrupted",
        _ => "not sent",
    }
}

/// What a threshold saw, in its unit.
pub fn observed(threshold: &Threshold) -> String {
    match (threshold.observed, threshold.unit) {
        (None, Unit::Us) => "infinitely slow".to_owned(),
        (None, _) => "not measured".to_owned(),
        (Some(value), Unit::Us) => units::duration_us(value),
        (Some(value), Unit::Share) => units::share(value),
        (Some(value), Unit::PerS) => units::rate(value),
        (Some(value), Unit::Count) => units::number(value),
    }
}

/// What the server spent; empty where it could not be seen.
pub fn server_facts(result: &RunResult) -> Vec<Fact> {
    let Some(server) = &result.server else {
        return Vec::new();
    };
    let mut facts = Facts::default();
    facts.add("CPU per handshake", server.cpu_us_per_handshake.map(units::duration_us));
    facts.add("CPU in all", server.cpu_us.map(units::duration_us));
    facts.add("Share of its processors", server.cpu_share.map(units::share));
    let memory = |value: f64| units::bytes(value);
    facts.add("Memory per socket", server.rss_bytes_per_connection.map(memory));
    facts.add("Kernel memory per socket", server.kernel_bytes_per_connection.map(memory));
    let whole = |value: u64| units::bytes(value as f64);
    facts.add("Memory when idle", server.rss_bytes_idle.map(whole));
    facts.add("Memory at its peak", server.rss_bytes_peak.map(whole));
    facts.add("Open when idle", server.open_sockets_idle.map(units::count));
    facts.add("Open at its peak", server.open_sockets_peak.map(units::count));
    for sentence in &server.missing {
        facts.add("Missing", Some(sentence.clone()));
    }
    if let Some(frontend) = &server.frontend {
        facts.add("Frontend CPU", Some(units::duration_us(frontend.cpu_us)));
        facts.add("Frontend memory", frontend.rss_bytes_peak.map(whole));
    }
    facts.0
}

/// What became of the sockets, where there is anything to tell.
pub fn socket_facts(result: &RunResult) -> Vec<Fact> {
    let sockets = &result.sockets;
    let mut facts = Facts::default();
    let dropped = Some(sockets.dropped).filter(|dropped| *dropped > 0);
    facts.add("Dropped by the target", dropped.map(units::count));
    facts.add("TLS handshakes", sockets.tls_handshakes.map(units::count));
    facts.add("TLS sessions resumed", sockets.tls_resumed.map(units::count));
    facts.0
}

/// The life of the tokens, where there is anything to tell.
pub fn token_facts(result: &RunResult) -> Vec<Fact> {
    let tokens = &result.tokens;
    let told = |count: u64| Some(count).filter(|count| *count > 0).map(units::count);
    let mut facts = Facts::default();
    facts.add("Requests", told(tokens.requests));
    facts.add("Requests that failed", told(tokens.failures));
    facts.add("Refreshed ahead of exp", told(tokens.refreshed_ahead));
    facts.add("Refreshed on refusal", told(tokens.refreshed_on_refusal));
    facts.add("Refused at first", told(tokens.refused_first));
    facts.add("Let in on retry", told(tokens.let_in_on_retry));
    if let Some(at_exp) = &tokens.at_exp {
        facts.add("Closed at exp", Some(units::count(at_exp.closed)));
        facts.add("Open after exp", Some(units::count(at_exp.open_after)));
        let lateness = at_exp.lateness.as_ref();
        facts.add("Close after exp, median", lateness.map(|lateness| units::duration_us(lateness.p50_us)));
        facts.add("Close after exp, latest", lateness.map(|lateness| units::duration_us(lateness.max_us)));
    }
    facts.0
}

/// What the generator spent, and the machine as a whole.
pub fn generator_facts(result: &RunResult) -> Vec<Fact> {
    let generator = &result.generator;
    let mut facts = Facts::default();
    facts.add("CPU per handshake", generator.cpu_us_per_handshake.map(units::duration_us));
    facts.add("Share of its processors", generator.cpu_share.map(units::share));
    facts.add("Of it spent waiting", generator.spin_share.map(units::share));
    facts.add("Late at the 99th percentile", generator.lag_p99_us.map(units::duration_us));
    let whole = |value: u64| units::bytes(value as f64);
    facts.add("Memory at its peak", generator.rss_bytes_peak.map(whole));
    let machine = result.machine.as_ref();
    facts.add("Whole machine busy", machine.map(|machine| units::share(machine.cpu_share)));
    facts.0
}

/// What was asked, most telling first.
pub fn scenario_facts(scenario: &Scenario) -> Vec<Fact> {
    let text = |value: &Option<String>| value.clone();
    let seconds = |value: Option<f64>| value.map(|seconds| units::tick_us(seconds * 1e6));
    let mut facts = Facts::default();
    facts.add("Target", target(scenario));
    facts.add("Protocol", protocol(scenario));
    facts.add("Namespace", text(&scenario.namespace));
    facts.add("Path", text(&scenario.path));
    facts.add("Connections", scenario.connections.map(units::count));
    facts.add("Arrivals", arrivals(scenario));
    facts.add("Duration", seconds(scenario.duration_s));
    facts.add("Warm-up", seconds(scenario.warmup_s));
    facts.add("Hold", text(&scenario.hold));
    facts.add("Left by", text(&scenario.close));
    facts.add("Messages", messages(scenario));
    facts.add("Event", text(&scenario.message_event));
    facts.add("Handshake timeout", seconds(scenario.timeout_s));
    facts.add("Connect timeout", seconds(scenario.connect_timeout_s));
    facts.add("Grace after the upgrade", seconds(scenario.auth_grace_s));
    facts.add("Users", scenario.users.map(units::count));
    facts.add("Login", login(scenario));
    facts.add("Token", token(scenario));
    facts.add("Token endpoint", text(&scenario.token_url));
    facts.add("Token lifetime", seconds(scenario.token_ttl_s));
    facts.add("Token refresh", text(&scenario.refresh));
    facts.add("Close at exp within", seconds(scenario.close_at_exp_s));
    facts.add("Token kinds", mix(scenario));
    facts.add("Source addresses", text(&scenario.source_ip));
    facts.add("Processes", scenario.processes.map(|many| units::count(many.into())));
    facts.add("Shards", scenario.workers.map(|many| units::count(many.into())));
    facts.add("Pinning", text(&scenario.pin));
    facts.add("Seed", scenario.seed.map(|seed| seed.to_string()));
    facts.add("Authorities", text(&scenario.cacert));
    facts.add("TLS resumption", text(&scenario.tls_resumption));
    facts.add("Certificate", scenario.insecure.then(|| "not checked".to_owned()));
    facts.0
}

/// Where and with what it was measured.
pub fn environment_facts(result: &RunResult) -> Vec<Fact> {
    let environment = &result.environment;
    let mut facts = Facts::default();
    facts.add("Processor", Some(environment.cpu_model.clone()));
    facts.add("Cores", Some(environment.cores.to_string()));
    facts.add("Memory", Some(units::bytes(environment.memory_bytes as f64)));
    facts.add("Kernel", Some(environment.kernel.clone()));
    facts.add("Descriptors", Some(units::count(environment.fd_limit)));
    facts.add("Gatecrash", Some(result.tool.version.clone()));
    facts.add("Started", Some(started(result)));
    facts.add("Took", Some(units::duration_s(result.duration_s)));
    facts.0
}

/// Facts in the making: what is absent or empty is left out.
#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, label: &'static str, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let note = String::new();
            self.0.push(Fact { label, value, note });
        }
    }
}

fn target(scenario: &Scenario) -> Option<String> {
    let target = scenario.target.clone()?;
    Some(if scenario.embedded { format!("{target} (embedded)") } else { target })
}

fn protocol(scenario: &Scenario) -> Option<String> {
    let protocol = scenario.protocol.as_deref()?;
    Some(match (protocol, scenario.eio, &scenario.transport) {
        ("socketio", Some(eio), Some(transport)) => {
            format!("Socket.IO over Engine.IO {eio}, {transport} transport")
        }
        ("socketio", _, _) => "Socket.IO".to_owned(),
        ("websocket", _, _) => "WebSocket".to_owned(),
        (other, _, _) => other.to_owned(),
    })
}

fn arrivals(scenario: &Scenario) -> Option<String> {
    if let Some(concurrency) = scenario.concurrency {
        return Some(format!("closed model, {} in flight", units::count(concurrency)));
    }
    let rate = units::rate(scenario.rate_per_s?);
    let shape = scenario.arrivals.as_deref().unwrap_or("uniform");
    Some(format!("open model, {rate}, {shape}"))
}

fn messages(scenario: &Scenario) -> Option<String> {
    let echoes = scenario.echo?;
    let answered = match scenario.answered_by.as_deref() {
        Some("ack") => "acknowledged",
        Some("none") => "one way",
        _ => "echoed",
    };
    let mut text = format!("{} per socket, {answered}", units::count(echoes));
    if let Some(rate_per_s) = scenario.message_rate_per_s {
        text += &format!(", {}", units::rate(rate_per_s));
    }
    if let Some(bytes) = scenario.message_bytes {
        text += &format!(", {} each", units::bytes(bytes as f64));
    }
    Some(text)
}

fn login(scenario: &Scenario) -> Option<String> {
    let url = scenario.login_url.as_deref()?;
    let method = scenario.login_method.as_deref().unwrap_or("basic");
    Some(format!("{method}, {url}"))
}

fn token(scenario: &Scenario) -> Option<String> {
    let source = scenario.token_source.as_deref()?;
    let mut text = match source {
        "login" => "fetched after login".to_owned(),
        "mint" => "minted here".to_owned(),
        other => other.to_owned(),
    };
    if let Some(algorithm) = &scenario.token_alg {
        text += &format!(" ({algorithm})");
    }
    if let Some(per) = &scenario.token_per {
        text += &format!(", one per {per}");
    }
    if let Some(carrier) = &scenario.token_in {
        text += &format!(", carried in {carrier}");
    }
    Some(text)
}

fn mix(scenario: &Scenario) -> Option<String> {
    let kinds = scenario.mix.iter();
    let shown: Vec<String> = kinds
        .map(|(kind, weight)| match scenario.expect.get(kind) {
            Some(expected) => format!("{kind} {} ({expected})", units::number(*weight)),
            None => format!("{kind} {}", units::number(*weight)),
        })
        .collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}
