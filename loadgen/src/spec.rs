//! What a run was asked to do, parsed once into types that cannot be wrong.
//!
//! Three steps: flags laid over a scenario file ([`crate::cli::RunArgs`], read by [`read_file`]), then meaning
//! ([`Scenario::resolve`]), then nothing: no later step validates again. What only the running embedded server can
//! know (its ports, its users) is filled in by [`crate::run::embedded`] before the first planned instant.

mod asked;
mod claims;
mod echo;
mod farewell;
mod file;
mod header;
mod hold;
mod metrics;
mod mix;
mod refresh;
mod resolve;
mod schema;
mod secret;
mod shares;
mod signing;
mod source_ips;
mod steps;
mod target_key;
mod targets;
mod template;
mod text;
mod tls;
mod users;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::ground::expression::Expression;
use crate::plan::arrival::{Arrivals, RateProfile};

pub use claims::Claims;
pub use echo::{AnsweredBy, Echo, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MIN};
pub use farewell::Close;
pub use file::{FileError, read_file};
pub use header::HeaderText;
pub use hold::{Hold, Lifetime};
pub use metrics::{MetricNames, MetricsPlan};
pub use mix::{Expectation, Mix, Weights};
pub use refresh::Refresh;
pub use resolve::{Machine, ScenarioError};
pub use schema::scenario_schema;
pub use secret::{Secret, SecretError, SecretSource};
pub use shares::Shares;
pub use signing::{MintPlan, SigningError};
pub use source_ips::{SOURCE_IPS_MAX, SourceIps};
pub use steps::{
    BasicTable, BodyPlan, ExtractTable, Extraction, JsonPlan, JsonValue, Source, Step, StepTable, Steps, StepsError,
    Success, TOKEN, TOKEN_ANSWER_BYTES_MAX, read_steps,
};
pub use target_key::TargetKey;
pub(crate) use target_key::pem;
pub use targets::{TARGETS_MAX, TargetTable, Targets, WeightedTarget};
pub use template::{Template, TemplateError, Variables};
pub use text::{from_text, many_from_text, required_from_text};
pub use tls::{CacertError, TlsPlan, TlsResumption};
pub use users::{USERNAME, User, UserText, UsersError};
pub use values::{ArrivalsText, EngineIo, LoginMethod, PerSecond, Period, ProtocolName, TokenSourceName, ValueError};

/// A run, wholly resolved: no field needs a second look.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where the sockets go.
    pub target: TargetChoice,
    /// What is spoken over them.
    pub protocol: Protocol,
    /// How Socket.IO's packets travel; a raw WebSocket for a raw WebSocket.
    pub transport: Transport,
    /// The namespace of Socket.IO that is joined, beginning with `/`.
    pub namespace: String,
    /// The path of the handshake, beginning with `/`; it may hold a query, to which the engine adds its own.
    pub path: String,
    /// How arrivals come about.
    pub load: Load,
    /// Sockets to open in all, at least one; `None` only where a duration, stages or a list end the arrivals.
    pub connections: Option<u64>,
    /// A run of its own before the measured one, whose figures are thrown away; zero: none.
    pub warmup: Duration,
    /// Arrivals end then; with `connections`, whichever comes first.
    pub duration: Option<Duration>,
    /// How long an established socket stays.
    pub hold: Hold,
    /// How it is left then.
    pub close: Close,
    /// What is said over it.
    pub echo: Echo,
    /// What a whole handshake may take, above zero.
    pub timeout: Duration,
    /// What its TCP connection may take, above zero.
    pub connect_timeout: Duration,
    /// How long a raw WebSocket must survive its 101 to count as accepted.
    pub auth_grace: Duration,
    /// Who arrives: arrival `j` is user `j % users.len()`. Empty for the embedded server until it has made its own.
    pub users: Vec<User>,
    /// Where their tokens come from.
    pub tokens: TokenPlan,
    /// Which kinds of token are shown, and what the target should do with each.
    pub mix: Mix,
    /// Where a token travels in the handshake.
    pub token_in: TokenIn,
    /// Sent with every handshake; none of them is one that the handshake itself writes.
    pub headers: Vec<(String, String)>,
    /// Where sockets come from; empty: the kernel chooses.
    pub source_ips: SourceIps,
    /// Whom to trust, and whether sessions are resumed.
    pub tls: TlsPlan,
    /// What is asked of the result.
    pub thresholds: Vec<Expression>,
    /// Processes of the generator, at least one; with one alone it is this.
    pub processes: usize,
    /// Shards of each of them, at least one.
    pub workers: usize,
    /// Whether generator and server keep to processors of their own.
    pub pin: Pin,
    /// Of schedules and choices.
    pub seed: u64,
    /// Where the result goes.
    pub out: PathBuf,
    /// Says nothing while it runs.
    pub quiet: bool,
    /// Whether the live view may have the terminal.
    pub tui: bool,
    /// A server on this machine whose processor time and memory are read.
    pub server_pid: Option<u32>,
    /// A server anywhere that tells its own cost.
    pub server_metrics: Option<MetricsPlan>,
    /// Where the run's figures are served while it lasts.
    pub prometheus: Option<SocketAddr>,
}

impl Scenario {
    /// Shards of all processes together.
    pub fn shards(&self) -> usize {
        self.processes * self.workers
    }

    /// The place of the target of arrival `number`, among those of [`Targets`]; 0 where there is but one.
    pub fn target_of(&self, number: u64) -> usize {
        match &self.target {
            TargetChoice::Several(targets) => targets.of_arrival(number),
            TargetChoice::Embedded(_) | TargetChoice::Url(_) => 0,
        }
    }

    /// The path of the handshake at the target of this place, and the headers sent with it.
    pub fn request_to(&self, place: usize) -> (&str, &[(String, String)]) {
        let of_several = match &self.target {
            TargetChoice::Several(targets) => targets.list().get(place),
            TargetChoice::Embedded(_) | TargetChoice::Url(_) => None,
        };
        of_several.map_or((&self.path, &self.headers), |target| (&target.path, &target.headers))
    }

    /// Each target's part of the arrivals, 0 to 1, in the scenario's order.
    pub fn shares(&self) -> Vec<f64> {
        match &self.target {
            TargetChoice::Several(targets) => {
                let all = targets.list().iter();
                all.map(|target| targets.share(target)).collect()
            }
            TargetChoice::Embedded(_) | TargetChoice::Url(_) => vec![1.0],
        }
    }

    /// The load before the measured one, if one was asked for: at the rate that this begins with, with other arrivals,
    /// and no end but time's.
    pub fn of_warmup(&self) -> Option<Self> {
        if self.warmup.is_zero() {
            return None;
        }
        let load = match &self.load {
            Load::Staged { profile, arrivals } => {
                Load::Open { rate_per_s: profile.rate_per_s_first(), arrivals: *arrivals }
            }
            load => load.clone(),
        };
        Some(Self {
            load,
            duration: Some(self.warmup),
            connections: None,
            seed: self.seed.wrapping_add(1),
            warmup: Duration::ZERO,
            ..self.clone()
        })
    }
}

/// Where the sockets go.
#[derive(Clone, Debug)]
pub enum TargetChoice {
    /// This program's own server, started as child processes.
    Embedded(EmbeddedPlan),
    /// A running one: `http`, `https`, `ws` or `wss`.
    Url(Url),
    /// Several, each with its part of the arrivals.
    Several(Arc<Targets>),
}

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

/// What is spoken over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 6455 alone.
    WebSocket,
    /// Socket.IO over this version of Engine.IO.
    SocketIo(wire::engineio::Version),
}

/// How Engine.IO's packets travel.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Over a WebSocket from the beginning.
    #[value(name = "websocket")]
    WebSocket,
    /// By HTTP long-polling to the end.
    Polling,
    /// By polling at first, then over a WebSocket: what browsers do unless told otherwise.
    Upgrade,
}

impl Transport {
    /// As `--transport` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
            Self::Upgrade => "upgrade",
        }
    }

    /// Whether a session begins by polling.
    pub fn polls(self) -> bool {
        self != Self::WebSocket
    }
}

/// How arrivals come about.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// By a schedule that nothing in the run can delay.
    Open {
        /// Above zero and at most [`crate::plan::arrival::RATE_PER_S_MAX`].
        rate_per_s: f64,
        /// The gaps between them.
        arrivals: Arrivals,
    },
    /// The same at a rate that changes.
    Staged {
        /// The rate over time.
        profile: Arc<RateProfile>,
        /// The gaps between arrivals.
        arrivals: Arrivals,
    },
    /// At these instants, in nanoseconds after T0 and in rising order; at least one.
    Listed(Arc<[u64]>),
    /// As places become free.
    Closed {
        /// Handshakes in flight, at least one.
        concurrency: u32,
    },
}

impl Load {
    /// Whether arrivals have planned instants (the open model).
    pub fn is_planned(&self) -> bool {
        !matches!(self, Self::Closed { .. })
    }
}

/// Where tokens come from, and how many are needed.
#[derive(Clone, Debug)]
pub struct TokenPlan {
    /// Who makes them.
    pub source: TokenSource,
    /// How often one is made.
    pub per: TokenPer,
    /// What the target's tokens are signed with, where that is known: for the bad ones that need it.
    pub key: TargetKey,
    /// When a token is made anew.
    pub refresh: Refresh,
    /// A socket is to be closed by the target within this of its token's `exp`; `None`: that is not looked at.
    pub close_at_exp: Option<Duration>,
}

/// Who makes the tokens.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// The target's own service, asked over HTTP as a browser would.
    Login(LoginPlan),
    /// The same by the steps of a scenario.
    Steps(Arc<Steps>),
    /// The embedded frontend; becomes `Login` once its port is known.
    EmbeddedLogin,
    /// This program, with the target's key.
    Mint(MintPlan),
    /// Someone else: a file with a token in each line.
    File(PathBuf),
    /// The process that this one is a part of.
    Given,
}

/// How often a token is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenPer {
    /// One for each arrival.
    Connection,
    /// One for each user, before the first planned instant.
    User,
}

/// How users log in and ask for their tokens.
#[derive(Clone, Debug)]
pub struct LoginPlan {
    /// Where a session is had; `None`: the credentials go with each token request.
    pub login_url: Option<Url>,
    /// How credentials travel.
    pub method: LoginMethod,
    /// Where a session's token is had.
    pub token_url: Url,
    /// Where it stands in the JSON of the answer (RFC 6901); empty: the whole answer is the token, a JSON string.
    pub token_json_pointer: String,
}

/// Where a token travels in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenIn {
    /// A parameter of the query, by this name.
    Query(String),
    /// `Authorization: Bearer`.
    Header,
    /// `Sec-WebSocket-Protocol: gatecrash, bearer.<jwt>`.
    Subprotocol,
    /// A cookie by this name.
    Cookie(String),
    /// A field by this name in the payload of Socket.IO v5's connect packet.
    Auth(String),
}

/// Whether generator and server keep to processors of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// They do, where there are two or more.
    Auto,
    /// The kernel decides.
    None,
}
