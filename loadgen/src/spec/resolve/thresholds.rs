//! Thresholds on what a run cannot measure are refused before it.

use crate::ground::expression::{Counted, Expression, Quantity};
use crate::ground::outcome::Phase;
use crate::ground::recorder::{Metric, Part};
use crate::spec::error::{SpecError, out_of_range};
use crate::spec::load::LoadSpec;
use crate::spec::protocol::{Protocol, Transport};
use crate::spec::run::ServerSpec;
use crate::spec::tokens::{TokenPlan, TokenSource};

/// Refuses a threshold on a figure that the run cannot have, because nothing in it would be measured.
pub(super) fn check(thresholds: &[Expression], load: &LoadSpec, server: &ServerSpec) -> Result<(), SpecError> {
    for condition in thresholds.iter().flat_map(Expression::conditions) {
        let why = match condition.quantity {
            Quantity::Latency { metric, named, .. } => latency_missing(metric, named, load, server),
            Quantity::Count(Counted::Unanswered) | Quantity::Share(Counted::Unanswered) => no_answers(load),
            _ => None,
        };
        if let Some(why) = why {
            return Err(out_of_range("--threshold", &condition.text, why));
        }
    }
    Ok(())
}

/// Why a latency has no samples in this run.
fn latency_missing(metric: Metric, is_named: bool, load: &LoadSpec, server: &ServerSpec) -> Option<&'static str> {
    let is_socketio = load.protocol != Protocol::WebSocket;
    let unplanned = "arrivals of the closed model have no planned instant, so there is no response and no lag; ask for \
                     the service, or use --rate";
    match metric {
        Metric::Echo(_) if no_answers(load).is_some() => no_answers(load),
        Metric::Echo(Part::Response | Part::Lag) if is_named => (!load.model.is_planned()
            && load.echo.rate_per_s.is_none())
        .then_some("messages without a plan have no response and no lag; ask for the service, or use --message-rate"),
        Metric::Handshake(Part::Response | Part::Lag) if is_named => (!load.model.is_planned()).then_some(unplanned),
        Metric::Phase(Phase::Tls) => (!server.is_tls()).then_some("no target is https or wss"),
        Metric::Phase(Phase::Upgrade) if load.transport == Transport::Polling => Some("polling never upgrades"),
        Metric::Phase(Phase::Poll) if !load.transport.polls() => {
            Some("only --transport polling and --transport upgrade poll")
        }
        Metric::Phase(Phase::Open | Phase::Auth) if !is_socketio => Some(
            "a raw WebSocket has neither an open packet nor a connect packet; ask for the upgrade or the handshake",
        ),
        Metric::Phase(Phase::Login) => (!server.logs_in()).then_some("no user logs in during this run"),
        Metric::Phase(Phase::Token) => {
            (!server.fetches_tokens()).then_some("no token is asked for over HTTP during this run")
        }
        _ => None,
    }
}

/// Why no answers are waited for, where none are.
fn no_answers(load: &LoadSpec) -> Option<&'static str> {
    (!load.echo.awaits_answers()).then_some("no message with an answer is sent; use --echo N")
}

impl ServerSpec {
    fn is_tls(&self) -> bool {
        match self {
            Self::Embedded { .. } => false,
            Self::Named { urls, .. } => urls.iter().any(|url| matches!(url.scheme(), "https" | "wss")),
        }
    }

    fn logs_in(&self) -> bool {
        match self.source() {
            Some(TokenSource::Login(plan)) => plan.login_url.is_some(),
            Some(TokenSource::Steps(_)) | None => true,
            Some(_) => false,
        }
    }

    fn fetches_tokens(&self) -> bool {
        matches!(self.source(), Some(TokenSource::Login(_) | TokenSource::Steps(_)) | None)
    }

    /// `None`: the embedded server's own frontend.
    fn source(&self) -> Option<&TokenSource> {
        match self {
            Self::Embedded { tokens, .. } => tokens.source.as_ref(),
            Self::Named { tokens: TokenPlan { source, .. }, .. } => Some(source),
        }
    }
}
