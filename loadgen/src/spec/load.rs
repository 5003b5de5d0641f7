//! The load: everything that an engine knows of a run, wherever it runs.

use std::time::Duration;

use reports::schema;
use serde::{Deserialize, Serialize};

use crate::plan::hold::Hold;
use crate::plan::mix::{Mix, Weights};
use crate::plan::model::Model;
use crate::spec::protocol::{Protocol, TokenIn, Transport};
use crate::spec::refused_by::RefusedBy;
use crate::spec::source_ips::SourceIps;
use crate::spec::targets::Targets;
use crate::spec::tls::TlsPlan;
use crate::spec::urls::without_query;
use crate::spec::values::{Close, Echo, Pin, Refresh, flag_name};

/// The load of a run, resolved: every field is valid.
///
/// It goes unchanged to every process of the generator. It holds no token, secret or key of Gatecrash's own; headers and
/// paths that a user gives may be confidential, so it is sent over pipes alone and never shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadSpec {
    /// What is spoken over sockets.
    pub protocol: Protocol,
    /// How Socket.IO's packets travel; a raw WebSocket for a raw WebSocket.
    pub transport: Transport,
    /// The namespace of Socket.IO that is joined, beginning with `/`.
    pub namespace: String,
    /// When arrivals are started.
    pub model: Model,
    /// Sockets to open in all, at least one; `None` only where a duration, stages or a list end the arrivals.
    pub connections: Option<u64>,
    /// Duration of the load before the measured one, whose figures are discarded; zero: none.
    pub warmup: Duration,
    /// Arrivals end then; with `connections`, whichever comes first.
    pub duration: Option<Duration>,
    /// How long an established socket stays.
    pub hold: Hold,
    /// How an established socket is closed.
    pub close: Close,
    /// Messages of an established socket.
    pub echo: Echo,
    /// Time limit of a whole handshake, above zero.
    pub timeout: Duration,
    /// Time limit of the TCP connection, above zero.
    pub connect_timeout: Duration,
    /// How long a raw WebSocket must stay open after its 101 to count as accepted.
    pub auth_grace: Duration,
    /// Close codes that refuse the token within that time.
    pub refused_by: RefusedBy,
    /// Which kinds of token are shown, and what the target should do with each.
    pub mix: Mix,
    /// Where a token travels in the handshake.
    pub token_in: TokenIn,
    /// When a token is renewed.
    pub refresh: Refresh,
    /// A socket is to be closed by the target within this of its token's `exp`; `None`: that is not checked.
    pub close_at_exp: Option<Duration>,
    /// What is requested of each target, and its part of the arrivals.
    pub targets: Targets,
    /// Where sockets come from; empty: the kernel chooses.
    pub source_ips: SourceIps,
    /// Trusted certificates, and whether TLS sessions are resumed.
    pub tls: TlsPlan,
    /// Processes of the generator, at least one; a single one is this process.
    pub processes: usize,
    /// Shards of each process, at least one.
    pub workers: usize,
    /// Whether generator and server keep to processors of their own.
    pub pin: Pin,
    /// Random seed of schedules and choices.
    pub seed: u64,
}

/// One handshake may meet a server in trouble, three that are let in show its rule.
const CONTROL_HANDSHAKES: u32 = 3;

impl LoadSpec {
    /// Shards of all processes together.
    pub fn shards(&self) -> usize {
        self.processes * self.workers
    }

    /// Sockets of this machine that are open at once.
    pub fn sockets_at_once(&self) -> u64 {
        let arrivals = self.model.sockets_at_once(self.connections, self.duration, self.hold);
        // A session that polls to its end has one for its GETs and one for its POSTs.
        arrivals.saturating_mul(if self.transport == Transport::Polling { 2 } else { 1 })
    }

    /// The load of the warm-up, if there is one: at the first rate of this load, with another seed, ended by time alone.
    pub fn of_warmup(&self) -> Option<Self> {
        if self.warmup.is_zero() {
            return None;
        }
        let model = match &self.model {
            Model::Staged { profile, arrivals } => {
                Model::Open { rate_per_s: profile.rate_per_s_first(), arrivals: *arrivals }
            }
            model => model.clone(),
        };
        Some(Self {
            model,
            duration: Some(self.warmup),
            connections: None,
            seed: self.seed.wrapping_add(1),
            warmup: Duration::ZERO,
            ..self.clone()
        })
    }

    /// The handshakes after a load in which tokens were accepted that should have been refused: without any token, so that
    /// they show whether the target checks tokens in the handshake at all.
    pub fn of_control(&self) -> Self {
        let handshakes = CONTROL_HANDSHAKES * self.targets.list().len() as u32;
        let missing: Weights = "missing=1".parse().expect("a mix of the grammar");
        Self {
            model: Model::Closed { concurrency: handshakes },
            connections: Some(u64::from(handshakes)),
            duration: None,
            warmup: Duration::ZERO,
            hold: Hold::For(Duration::ZERO),
            echo: Echo { count: 0, ..self.echo.clone() },
            mix: Mix::new(&missing, &[], self.seed),
            refresh: Refresh::Never,
            close_at_exp: None,
            processes: 1,
            workers: 1,
            ..self.clone()
        }
    }

    /// As the result shows it.
    pub(in crate::spec) fn to_result(&self) -> schema::Scenario {
        let (rate_per_s, arrivals, concurrency) = match &self.model {
            Model::Open { rate_per_s, arrivals } => (Some(*rate_per_s), Some(arrivals.as_str().to_owned()), None),
            Model::Staged { profile, arrivals } => {
                let mean_per_s = profile.arrivals() / profile.time().as_secs_f64();
                let shape = format!("{} in stages {profile}", arrivals.as_str());
                (Some(mean_per_s), Some(shape), None)
            }
            Model::Listed(_) => (None, Some("listed in a file".to_owned()), None),
            Model::Closed { concurrency } => (None, None, Some(u64::from(*concurrency))),
        };
        let socket_io = self.protocol.engine_io();
        let echoes = self.echo.count > 0;
        schema::Scenario {
            protocol: Some(if socket_io.is_some() { "socketio" } else { "websocket" }.to_owned()),
            eio: socket_io.map(|version| u32::from(version.number())),
            transport: socket_io.map(|_| flag_name(&self.transport)),
            namespace: socket_io.map(|_| self.namespace.clone()).filter(|name| name != "/"),
            path: Some(without_query(self.targets.request_to(0).0)),
            connections: self.connections,
            rate_per_s,
            arrivals,
            concurrency,
            duration_s: self.duration.map(|time| time.as_secs_f64()),
            warmup_s: (!self.warmup.is_zero()).then_some(self.warmup.as_secs_f64()),
            hold: Some(self.hold.to_string()),
            close: Some(flag_name(&self.close)),
            echo: Some(u64::from(self.echo.count)),
            message_rate_per_s: self.echo.rate_per_s.filter(|_| echoes),
            message_bytes: echoes.then_some(self.echo.bytes as u64),
            answered_by: echoes.then(|| flag_name(&self.echo.answered_by)),
            message_event: (echoes && socket_io.is_some()).then(|| self.echo.event.clone()),
            timeout_s: Some(self.timeout.as_secs_f64()),
            connect_timeout_s: Some(self.connect_timeout.as_secs_f64()),
            auth_grace_s: socket_io.is_none().then_some(self.auth_grace.as_secs_f64()),
            refused_by: Some(self.refused_by.to_string()).filter(|_| self.refused_by != RefusedBy::default()),
            token_in: Some(self.token_in.to_string()),
            mix: self.mix.weights().iter().copied().collect(),
            expect: self.mix.unusual().collect(),
            refresh: Some(self.refresh).filter(|refresh| *refresh != Refresh::Never).map(|refresh| refresh.to_string()),
            close_at_exp_s: self.close_at_exp.map(|grace| grace.as_secs_f64()),
            source_ip: (!self.source_ips.is_empty()).then(|| self.source_ips.to_string()),
            processes: u32::try_from(self.processes).ok(),
            workers: u32::try_from(self.workers).ok(),
            pin: Some(flag_name(&self.pin)),
            seed: Some(self.seed),
            insecure: self.tls.insecure,
            cacert: self.tls.cacert.as_ref().map(|path| path.display().to_string()),
            ..schema::Scenario::default()
        }
    }
}
