//! Figures with their names: the headline, messages, costs, tokens, sockets and the machine.

use crate::render::tables::{handshake_row, started};
use crate::schema::RunResult;
use crate::units;

/// A figure with its name, and what it is to be read against.
pub struct Fact {
    /// What it is.
    pub label: &'static str,
    /// How much it is.
    pub value: String,
    /// What to read it against; may be empty.
    pub note: String,
}

/// A list of facts; what is absent or empty is left out.
#[derive(Default)]
pub(super) struct Facts(pub(super) Vec<Fact>);

impl Facts {
    pub(super) fn add(&mut self, label: &'static str, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let note = String::new();
            self.0.push(Fact { label, value, note });
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
    if let Some(handshake) = handshake_row(result) {
        let note = format!("{} time of a handshake", handshake.view.as_str());
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

/// Messages; empty where every message was answered, because the phase `echo` shows all then.
pub fn message_facts(result: &RunResult) -> Vec<Fact> {
    let mut facts = Facts::default();
    if let Some(messages) = result.messages.filter(|all| all.answered != all.sent) {
        facts.add("Sent", Some(units::count(messages.sent)));
        facts.add("Answered", Some(units::count(messages.answered)));
        facts.add("Without an answer", Some(units::count(messages.unanswered)));
    }
    facts.0
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

/// What became of the sockets, where there is any.
pub fn socket_facts(result: &RunResult) -> Vec<Fact> {
    let sockets = &result.sockets;
    let mut facts = Facts::default();
    let dropped = Some(sockets.dropped).filter(|dropped| *dropped > 0);
    facts.add("Dropped by the target", dropped.map(units::count));
    facts.add("TLS handshakes", sockets.tls_handshakes.map(units::count));
    facts.add("TLS sessions resumed", sockets.tls_resumed.map(units::count));
    facts.0
}

/// The life of the tokens, where there is any.
pub fn token_facts(result: &RunResult) -> Vec<Fact> {
    let tokens = &result.tokens;
    let above_zero = |count: u64| Some(count).filter(|count| *count > 0).map(units::count);
    let mut facts = Facts::default();
    facts.add("Requests", above_zero(tokens.requests));
    facts.add("Requests that failed", above_zero(tokens.failures));
    facts.add("Refreshed ahead of exp", above_zero(tokens.refreshed_ahead));
    facts.add("Refreshed on refusal", above_zero(tokens.refreshed_on_refusal));
    facts.add("Refused at first", above_zero(tokens.refused_first));
    facts.add("Let in on retry", above_zero(tokens.let_in_on_retry));
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
