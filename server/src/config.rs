//! From flags to a [`Config`] that can be run: reads every value and checks every rule between values.

mod deadlines;
mod error;
mod sessions;
mod tls;
mod tokens;
pub mod values;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, thread};

use reactor::raise_descriptor_limit;

use crate::frontend::users::Users;
use crate::gate::GateConfig;
use crate::gate::lookup::SessionSource;
use crate::inherited::Inherited;
use crate::keys::KeyReloader;
use crate::process::LogFormat;
use crate::processes::Membership;
use crate::session::app::App;
use crate::session::{Auth, OnExpiry, Settings};
use crate::session_key::SessionKey;
use crate::tls::{Tls, url};
pub use deadlines::DeadlineArgs;
pub use error::ConfigError;
pub use sessions::SessionArgs;
pub use tls::TlsArgs;
pub use tokens::TokenArgs;
use values::{CpuList, DEMO_SECRET, Role, SECRET_BYTES_MIN};

const GATE_LISTEN_DEFAULT: SocketAddr = loopback(8080);
const FRONTEND_LISTEN_DEFAULT: SocketAddr = loopback(8000);

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Shards of all processes are numbered by a u16, whose last value stands for the parent.
const SHARDS_MAX: usize = u16::MAX as usize;

/// Descriptors besides those of admitted connections: standard streams, listeners, epoll sets, rejected connections, some
/// of the frontend's.
const DESCRIPTORS_RESERVED: u64 = 1280;

/// By default one in this many connections may be half-open: enough for a storm of honest clients, whose requests arrive
/// at once, while under an attack most connections are left for them.
const HALF_OPEN_PART: usize = 4;

/// Enough for some 150,000 tokens by RSA keys, twice as many by elliptic curves. Unused memory is not allocated.
const TOKEN_CACHE_BYTES: usize = 64 << 20;

/// Half of it is for sockets: the longest heads of a quarter of 20,000 connections (77 MiB), and half as much again for
/// incomplete messages.
const BUFFER_BYTES: usize = 256 << 20;

/// The largest default of `--max-connections`.
const CONNECTIONS_DEFAULT_MAX: u64 = 1_000_000;

/// A gate and a frontend: the flags of `gatekeeper`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// What to run
    #[arg(long, value_enum, default_value = "both")]
    role: Role,
    /// Where the gate listens; port 0 takes a free one [default: 127.0.0.1:8080, or the listener handed over]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where the frontend listens; port 0 takes a free one [default: 127.0.0.1:8000, or the listener handed over]
    #[arg(long, value_name = "ADDR")]
    frontend_listen: Option<SocketAddr>,
    #[command(flatten)]
    tokens: TokenArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// The cache of tokens that public keys verified, in bytes over all shards of a process;
    /// 0 for none
    #[arg(long, value_name = "BYTES", default_value_t = TOKEN_CACHE_BYTES)]
    token_cache: usize,
    /// What happens to a socket when its token expires
    #[arg(long, value_enum, default_value = "keep")]
    on_expiry: OnExpiry,
    /// Who may log in, a line `name,hash` each [default: the demo user, on loopback only]
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// How long the frontend's tokens are valid [default: forever]
    #[arg(long, value_name = "D", value_parser = values::duration)]
    token_ttl: Option<Duration>,
    /// What sockets authenticate by; session asks the frontend for each, none is for conformance runs, on loopback only
    #[arg(long, value_enum, default_value = "token")]
    auth: Auth,
    #[command(flatten)]
    sessions: SessionArgs,
    /// The application behind the gate
    #[arg(long, value_enum, default_value = "echo")]
    app: App,
    /// Origins whose pages may use the token cookie and long-polling (repeatable) [default: the frontend's own]
    #[arg(long, value_name = "ORIGIN", value_parser = values::origin)]
    origin: Vec<String>,
    /// Processes of the gate, each with its own limits, for more sockets than one may have descriptors
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    processes: u16,
    /// Threads of each of them [default: one per core, or per cpu of --pin, over all processes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// The cpus that the process runs on, such as 0,2-3
    #[arg(long, value_name = "CPUS")]
    pin: Option<CpuList>,
    /// Connections open at once in each process [default: what the limit on descriptors allows]
    #[arg(long, value_name = "N")]
    max_connections: Option<u32>,
    /// Connections open at once from one address in each process, IPv6 by the first 64 bits [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections_per_address: Option<u32>,
    /// Half-open connections (first request not complete), and sessions that are not connected yet; beyond this many of
    /// either, the oldest end [default: a quarter of --max-connections]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_half_open: Option<u32>,
    /// The longest message that a peer may send
    #[arg(long, value_name = "BYTES", default_value = "1000000",
          value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    max_message_bytes: u32,
    /// Memory for incomplete requests and messages and for bytes that clients do not read or poll, in each process;
    /// beyond it those that hold the most are closed
    #[arg(long, value_name = "BYTES", default_value_t = BUFFER_BYTES)]
    max_buffer_bytes: usize,
    #[command(flatten)]
    deadlines: DeadlineArgs,
    /// Silence before a peer is pinged
    #[arg(long, value_name = "MS", default_value = "25000",
          value_parser = clap::value_parser!(u32).range(1..))]
    ping_interval: u32,
    /// How long the pong may take
    #[arg(long, value_name = "MS", default_value = "20000",
          value_parser = clap::value_parser!(u32).range(1..))]
    ping_timeout: u32,
    /// How long sockets may take to close at the end
    #[arg(long, value_name = "D", default_value = "10s", value_parser = values::duration)]
    drain: Duration,
    /// A path for a Unix socket: take the listeners over from the server that was given it before, which then drains
    /// and ends, and hand them over likewise; with --processes or without
    #[arg(long, value_name = "PATH")]
    takeover: Option<PathBuf>,
    /// The Socket.IO client to serve at /socket.io/socket.io.js
    #[arg(long, value_name = "FILE")]
    socketio_client: Option<PathBuf>,
    /// Where browsers find the gate [default: where it listens]
    #[arg(long, value_name = "URL")]
    gate_url: Option<String>,
    /// The format of the log on standard error; RUST_LOG sets its level
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log: LogFormat,
    /// End when the process that started this one does
    #[arg(long, hide = true)]
    pub(crate) die_with_parent: bool,
    /// Be one process of several; its setup comes over standard input
    #[arg(long, hide = true)]
    pub(crate) member: bool,
}

/// A server that can be started: a gate, a frontend or both, as the role says.
pub struct Config {
    /// The gate, unless the role leaves it out.
    pub gate: Option<GateSetup>,
    pub(crate) frontend: Option<FrontendSetup>,
    /// TLS for both, with the flags for it.
    pub(crate) tls: Option<Tls>,
}

/// A gate and its listeners.
pub struct GateSetup {
    pub(crate) listen: Listen,
    /// The number of processes, at least 1.
    pub(crate) processes: u16,
    /// The number of shards of each process, at least 1.
    pub shards: usize,
    /// The keys that tokens are verified with.
    pub keys: KeyReloader,
    pub(crate) config: GateConfig,
}

/// The source of a gate's listeners.
#[derive(Debug)]
pub(crate) enum Listen {
    /// They are opened at this address; port 0 is a free one.
    At(SocketAddr),
    /// They are open. There is at least one.
    Given(Vec<TcpListener>),
    /// This process is one of several, whose parent holds the listeners.
    Member(Membership),
}

/// A frontend and its listener.
pub(crate) struct FrontendSetup {
    /// The address to listen on; port 0 is a free one.
    pub listen: SocketAddr,
    /// The listener, if it is open already.
    pub given: Option<TcpListener>,
    pub users: Users,
    /// The key that signs tokens.
    pub secret: Vec<u8>,
    /// How long tokens are valid; `None` is forever.
    pub token_ttl: Option<Duration>,
    /// The gate's URL for the page; `None`: that of this server's gate.
    pub gate_url: Option<String>,
    /// The gate serves the Socket.IO client.
    pub socketio_client: bool,
    /// The key that authorizes session lookups, with `--auth session`.
    pub session_key: Option<SessionKey>,
    /// The `iss` of tokens.
    pub issuer: Option<String>,
    /// The `aud` of tokens.
    pub audience: Option<String>,
}

impl ServeArgs {
    /// Checks the flags and reads the files that they name.
    pub fn read(&self) -> Result<Config, ConfigError> {
        self.read_with(Inherited::default())
    }

    /// [`ServeArgs::read`] with inherited listeners.
    pub(crate) fn read_with(&self, mut inherited: Inherited) -> Result<Config, ConfigError> {
        let tls = self.tls.read(inherited.tickets())?;
        let role = match inherited.member {
            Some(_) => Role::Gate,
            None => self.role,
        };
        let listen = self.listen_addresses(role, &inherited)?;
        let mut addresses = listen.iter().flatten().copied();
        // The first listener that other machines can reach.
        let public = addresses.find(|addr| !addr.ip().to_canonical().is_loopback());
        let [gate_listen, frontend_listen] = listen;
        if let (Auth::None, Some(listener)) = (self.auth, public) {
            return Err(ConfigError::OpenGate(listener));
        }
        let secret = self.read_secret(public)?;
        let session_key = self.sessions.key(self.auth, secret.as_deref())?;
        // The cache is allocated later, where a failure would abort the process.
        let bytes = self.token_cache;
        let mut cache = Vec::<u8>::new();
        if cache.try_reserve_exact(bytes).is_err() {
            return Err(ConfigError::TokenCache(bytes));
        }
        drop(cache);
        let has_frontend = match &inherited.member {
            Some(member) => member.frontend.is_some(),
            None => frontend_listen.is_some(),
        };
        let gate_listen = match (inherited.member, inherited.gate) {
            (Some(member), _) => gate_listen.map(|_| Listen::Member(member)),
            (None, given) if given.is_empty() => gate_listen.map(Listen::At),
            (None, given) => Some(Listen::Given(given)),
        };
        let sessions = self.sessions.source(session_key.clone(), has_frontend);
        let mut gate = gate_listen.map(|listen| self.gate(secret.as_deref(), sessions, listen)).transpose()?;
        if let Some(gate) = &mut gate {
            gate.config.tls = tls.as_ref().map(Tls::config);
        }
        let frontend = frontend_listen.map(|listen| {
            let setup = self.frontend(secret, public, listen, inherited.frontend);
            setup.map(|setup| FrontendSetup { session_key, ..setup })
        });
        Ok(Config { gate, frontend: frontend.transpose()?, tls })
    }

    /// The cpus to which the whole process is pinned; empty: any.
    pub(crate) fn cpus(&self) -> &[usize] {
        self.pin.as_ref().map_or(&[], |cpus| &cpus.0)
    }

    /// The path of the Unix socket over which listeners are handed over, if there is one.
    pub(crate) fn takeover(&self) -> Option<&Path> {
        self.takeover.as_deref().filter(|_| !self.member)
    }

    /// Whether the process runs a frontend.
    pub(crate) fn runs_frontend(&self) -> bool {
        self.role.frontend() && !self.member
    }

    /// The addresses of the role's gate and frontend: those of the open listeners, with which the flags must agree, or
    /// those of the flags.
    fn listen_addresses(&self, role: Role, inherited: &Inherited) -> Result<[Option<SocketAddr>; 2], ConfigError> {
        let gate = (role.gate(), inherited.gate_addr(), "--listen", self.listen, GATE_LISTEN_DEFAULT);
        let given = inherited.frontend_addr();
        let frontend = (role.frontend(), given, "--frontend-listen", self.frontend_listen, FRONTEND_LISTEN_DEFAULT);
        let mut addresses = [None; 2];
        for (address, (runs, given, flag, asked, default)) in addresses.iter_mut().zip([gate, frontend]) {
            match (given, asked) {
                (Some(given), _) if !runs => return Err(ConfigError::UnusedListener(flag, given)),
                (Some(given), Some(asked))
                    if asked.ip() != given.ip() || ![0, given.port()].contains(&asked.port()) =>
                {
                    return Err(ConfigError::ListenConflict(flag, asked, given));
                }
                _ => *address = runs.then(|| given.or(asked).unwrap_or(default)),
            }
        }
        Ok(addresses)
    }

    /// The secret; `None` when public keys alone are used.
    fn read_secret(&self, public: Option<SocketAddr>) -> Result<Option<Vec<u8>>, ConfigError> {
        let secret = match self.tokens.given_secret()? {
            Some(secret) => secret,
            None if !self.tokens.names_public_keys() => DEMO_SECRET.into(),
            None => return Ok(None),
        };
        match public {
            Some(listener) if secret.len() < SECRET_BYTES_MIN => Err(ConfigError::ShortSecret(secret.len(), listener)),
            _ => Ok(Some(secret)),
        }
    }

    fn gate(
        &self,
        secret: Option<&[u8]>,
        sessions: Option<SessionSource>,
        listen: Listen,
    ) -> Result<GateSetup, ConfigError> {
        let cpus = self.cpus().to_vec();
        let processes = self.processes;
        let shards = self.shards();
        if shards * usize::from(processes) > SHARDS_MAX {
            return Err(ConfigError::Shards(shards, processes));
        }
        let millis = |millis: u32| Duration::from_millis(millis.into());
        let connections_max = self.connections_max()?;
        Ok(GateSetup {
            listen,
            processes,
            shards,
            keys: self.tokens.reloader(secret)?,
            config: GateConfig {
                cpus,
                connections_max,
                per_address_max: self.max_connections_per_address,
                half_open_max: self.max_half_open.map_or(connections_max.div_ceil(HALF_OPEN_PART), |max| max as usize),
                deadlines: self.deadlines.read(),
                drain_within: self.drain,
                origins: self.origin.clone(),
                socketio_client: self.socketio_client.as_deref().map(read_client).transpose()?,
                session: Settings {
                    auth: self.auth,
                    on_expiry: self.on_expiry,
                    app: self.app,
                    message_bytes_max: self.max_message_bytes,
                    ping_interval: millis(self.ping_interval),
                    ping_timeout: millis(self.ping_timeout),
                },
                policy: self.tokens.policy(),
                token_cache_bytes: self.token_cache,
                sessions,
                buffer_bytes_max: self.max_buffer_bytes,
                tls: None,
            },
        })
    }

    /// The number of shards of each process.
    fn shards(&self) -> usize {
        let in_all = match self.cpus().len() {
            0 => thread::available_parallelism().map_or(1, usize::from),
            cpus => cpus,
        };
        self.workers.map_or(in_all.div_ceil(self.processes.into()), usize::from)
    }

    /// The limit on a process's connections: that of the flag, or as many as the limit on descriptors allows.
    fn connections_max(&self) -> Result<usize, ConfigError> {
        let limit = raise_descriptor_limit();
        let Some(connections) = self.max_connections.map(u64::from) else {
            let free = limit.saturating_sub(DESCRIPTORS_RESERVED).max(limit / 2);
            return Ok(free.min(CONNECTIONS_DEFAULT_MAX) as usize);
        };
        let needed = connections + DESCRIPTORS_RESERVED.min(limit / 2);
        if needed > limit {
            return Err(ConfigError::Descriptors(connections, needed, limit));
        }
        Ok(connections as usize)
    }

    fn frontend(
        &self,
        secret: Option<Vec<u8>>,
        public: Option<SocketAddr>,
        listen: SocketAddr,
        given: Option<TcpListener>,
    ) -> Result<FrontendSetup, ConfigError> {
        let users = match (&self.users, public) {
            (Some(path), _) => Users::load(path)?,
            (None, Some(listener)) => return Err(ConfigError::DemoUser(listener)),
            (None, None) => Users::demo(),
        };
        Ok(FrontendSetup {
            listen,
            given,
            users,
            secret: secret.ok_or(ConfigError::NothingToSignWith)?,
            token_ttl: self.token_ttl,
            gate_url: match &self.gate_url {
                None if !self.role.gate() => Some(url(self.tls.is_given(), GATE_LISTEN_DEFAULT)),
                given => given.clone(),
            },
            socketio_client: self.socketio_client.is_some(),
            session_key: None,
            issuer: self.tokens.issuer.clone(),
            audience: self.tokens.audience.clone(),
        })
    }
}

fn read_client(path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| ConfigError::Client(path.to_owned(), error))
}

#[cfg(test)]
mod tests;
