//! A run and its server, resolved.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::ground::expression::Expression;
use crate::spec::load::LoadSpec;
use crate::spec::metrics::MetricsPlan;
use crate::spec::secret::Secret;
use crate::spec::tokens::{TokenPlan, TokenSource};

/// A run, resolved: every field is valid.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// Where the sockets go, whose tokens they show, and whose processes are observed.
    pub server: ServerSpec,
    /// What every shard is given.
    pub load: LoadSpec,
    /// What is reported, and where.
    pub report: ReportSpec,
}

/// What is reported of a run, and where.
#[derive(Clone, Debug)]
pub struct ReportSpec {
    /// What the result must fulfil.
    pub thresholds: Vec<Expression>,
    /// Where the result goes.
    pub out: PathBuf,
    /// Nothing is printed while it runs.
    pub quiet: bool,
    /// Whether the live view may have the terminal.
    pub tui: bool,
    /// Where the run's figures are served while it lasts.
    pub prometheus: Option<SocketAddr>,
}

/// Where the sockets go, and whose tokens they show.
#[derive(Clone, Debug)]
pub enum ServerSpec {
    /// This program's own server, started as child processes.
    Embedded {
        /// The settings of the embedded server.
        plan: EmbeddedPlan,
        /// Without a source, tokens come from the embedded frontend; without users, the frontend makes its own.
        tokens: TokenPlan<Option<TokenSource>>,
    },
    /// Running servers.
    Named {
        /// `http`, `https`, `ws` or `wss`; one for each of the load's targets, in their order.
        urls: Vec<Url>,
        /// The users and the source of their tokens.
        tokens: TokenPlan,
        /// How their processor time and memory are read.
        observed: Observed,
    },
}

/// How the processor time and memory of a running server are read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// A process of this machine: processor time and memory.
    pub pid: Option<u32>,
    /// A page of metrics, anywhere.
    pub metrics: Option<MetricsPlan>,
}

/// The origin whose pages may use cookies at the embedded server: its frontend's own is not known when its gate starts,
/// and a load generator may claim any.
pub const EMBEDDED_ORIGIN: &str = "http://gatecrash.localhost";

/// What the embedded server is started with.
#[derive(Clone, Debug)]
pub struct EmbeddedPlan {
    /// The HS256 secret that its frontend signs and its gate checks with, at least 32 bytes where it was made here.
    pub secret: Secret,
    /// Lifetime of the tokens that its frontend hands out; `None`: they do not expire.
    pub token_ttl: Option<Duration>,
    /// Whether its gate closes sockets whose token has expired.
    pub close_at_exp: bool,
}
