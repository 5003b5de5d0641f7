//! What was asked of a run, as names and values.

use crate::render::tables::facts::{Fact, Facts};
use crate::schema::Scenario;
use crate::units;

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
    facts.add("Close codes that refuse", scenario.refused_by.clone());
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
