//! The running server: a gate, a frontend, their one line on standard output, and their orderly end.

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
};

use serde::Serialize;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    config::{Config, ConfigError, FrontendSetup, GateSetup, ServeArgs},
    frontend::{self, FrontendConfig},
    gate::{Gate, ShardFailed, listener},
    keys::Watch,
    metrics::Metrics,
    process::{die_with_parent, keep_to, start_log, stop_signal},
};

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The flags, or what they name.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address could not be listened on.
    #[error(
        "listen on {addr}: {}; choose another with {flag}",
        listen_fault(error)
    )]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The flag that names it.
        flag: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// The process could not be kept to its cpus.
    #[error("--pin: these cpus cannot be used: {0}")]
    Pin(io::Error),
    /// A thread, an epoll set or a signal handler could not be made.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    /// A shard of the gate ended by itself.
    #[error(transparent)]
    Shard(#[from] ShardFailed),
    /// The frontend ended by itself.
    #[error("the frontend failed: {0}")]
    Frontend(io::Error),
}

impl ServeError {
    /// What the process is to leave with: 104 for a bad configuration, 1 for an internal error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Listen { .. } | Self::Pin(_) => 104,
            Self::Start(_) | Self::Shard(_) | Self::Frontend(_) => 1,
        }
    }
}

fn listen_fault(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".into(),
        _ => error.to_string(),
    }
}

/// Runs the server of `args` until SIGTERM or SIGINT: the whole of `gatekeeper`.
///
/// Once it is ready there is one line of JSON on standard output; everything else is on standard error.
pub fn serve(args: &ServeArgs) -> Result<(), ServeError> {
    start_log(args.log_format());
    if args.dies_with_parent() {
        die_with_parent();
    }
    // Before any thread is made, since threads inherit it.
    keep_to(args.cpus()).map_err(ServeError::Pin)?;
    let config = args.read()?;
    let mut runtime = match config.frontend {
        Some(_) => tokio::runtime::Builder::new_multi_thread(),
        // Signals are all there is to wait for: the gate has threads of its own.
        None => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().map_err(ServeError::Start)?;
    runtime.block_on(async {
        let stop = stop_signal().map_err(ServeError::Start)?;
        let server = Server::start(config).await?;
        announce(&server.ready_line());
        server.run(stop).await
    })
}

/// Writes the one line of standard output, whose reader may be gone already.
fn announce(line: &str) {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    if let Err(error) = written {
        tracing::warn!(%error, "nobody reads the line that says where the server is");
    }
}

/// A started server.
pub struct Server {
    gate: Option<Gate>,
    frontend: Option<RunningFrontend>,
    /// Keeps the gate's keys fresh.
    _keys: Option<Watch>,
}

struct RunningFrontend {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

/// The line that says that the server is ready.
#[derive(Serialize)]
struct Ready {
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frontend: Option<String>,
    pid: u32,
}

impl Server {
    /// Binds the listeners of `config` and starts what it names. Needs a tokio runtime.
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        // Both are bound before either runs: the frontend's page names the gate, the gate trusts the frontend's origin.
        let frontend = match config.frontend {
            Some(setup) => Some((bind_frontend(&setup).await?, setup)),
            None => None,
        };
        let frontend_addr = frontend.as_ref().map(|((_, addr), _)| *addr);
        let (gate, keys) = match config.gate {
            Some(setup) => {
                let (gate, keys) = start_gate(setup, frontend_addr).await?;
                (Some(gate), Some(keys))
            }
            None => (None, None),
        };
        let gate_addr = gate.as_ref().map(Gate::addr);
        let frontend = frontend
            .map(|((listener, addr), setup)| run_frontend(listener, addr, setup, gate_addr));
        Ok(Self {
            gate,
            frontend,
            _keys: keys,
        })
    }

    /// Where the gate is, as `http://HOST:PORT`.
    pub fn gate_url(&self) -> Option<String> {
        self.gate.as_ref().map(|gate| url(gate.addr()))
    }

    /// Where the frontend is, as `http://HOST:PORT`.
    pub fn frontend_url(&self) -> Option<String> {
        self.frontend.as_ref().map(|frontend| url(frontend.addr))
    }

    /// The gate's counters.
    pub fn metrics(&self) -> Option<&Metrics> {
        self.gate.as_ref().map(Gate::metrics)
    }

    /// The line of JSON that says where everything is.
    pub fn ready_line(&self) -> String {
        let ready = Ready {
            gate: self.gate_url(),
            frontend: self.frontend_url(),
            pid: std::process::id(),
        };
        serde_json::to_string(&ready).unwrap_or_default()
    }

    /// Serves until `stop`, then goes down in order: no new connections, 1001 to every socket, an end when they are
    /// gone or the time to drain is over.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let failed = tokio::select! {
            () = stop => None,
            error = first_failure(&mut self.gate, &mut self.frontend) => Some(error),
        };
        tracing::info!("draining");
        if let Some(gate) = &self.gate {
            gate.drain();
        }
        if let Some(frontend) = self.frontend.take() {
            // Its task may have ended already.
            let _ = frontend.stop.send(());
            if !frontend.task.is_finished() {
                ended(frontend.task.await)?;
            }
        }
        if let Some(gate) = &mut self.gate {
            while let Some(end) = gate.ended().await {
                end?;
            }
        }
        tracing::info!("stopped");
        failed.map_or(Ok(()), Err)
    }
}

/// Waits until a part ends by itself, which none does in order.
async fn first_failure(
    gate: &mut Option<Gate>,
    frontend: &mut Option<RunningFrontend>,
) -> ServeError {
    let gate = async {
        match gate {
            Some(gate) => match gate.ended().await {
                Some(Err(error)) => error.into(),
                _ => ServeError::Shard(ShardFailed::Io(io::ErrorKind::UnexpectedEof.into())),
            },
            None => std::future::pending().await,
        }
    };
    let frontend = async {
        match frontend {
            Some(frontend) => match ended((&mut frontend.task).await) {
                Err(error) => error,
                Ok(()) => ServeError::Frontend(io::ErrorKind::UnexpectedEof.into()),
            },
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        error = gate => error,
        error = frontend => error,
    }
}

fn ended(end: Result<io::Result<()>, tokio::task::JoinError>) -> Result<(), ServeError> {
    end.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
        .map_err(ServeError::Frontend)
}

async fn start_gate(
    setup: GateSetup,
    frontend: Option<SocketAddr>,
) -> Result<(Gate, Watch), ServeError> {
    let mut config = setup.config;
    if config.origins.is_empty() {
        config.origins = frontend.map(origins_of).unwrap_or_default();
    }
    let listeners =
        listener::open(setup.listen, setup.shards).map_err(|error| ServeError::Listen {
            addr: setup.listen,
            flag: "--listen",
            error,
        })?;
    let connections_max = config.connections_max;
    let keys = setup.keys.keys().clone();
    let watch = setup.keys.watch().await.map_err(ServeError::Start)?;
    let gate = Gate::start(config, &keys, listeners).map_err(ServeError::Start)?;
    let keys = keys.store.load().len();
    let (addr, shards) = (gate.addr(), setup.shards);
    tracing::info!(%addr, shards, keys, connections_max, "gate started");
    Ok((gate, watch))
}

async fn bind_frontend(
    setup: &FrontendSetup,
) -> Result<(tokio::net::TcpListener, SocketAddr), ServeError> {
    let refused = |error| ServeError::Listen {
        addr: setup.listen,
        flag: "--frontend-listen",
        error,
    };
    let listener = tokio::net::TcpListener::bind(setup.listen)
        .await
        .map_err(refused)?;
    let addr = listener.local_addr().map_err(refused)?;
    Ok((listener, addr))
}

fn run_frontend(
    listener: tokio::net::TcpListener,
    addr: SocketAddr,
    setup: FrontendSetup,
    gate: Option<SocketAddr>,
) -> RunningFrontend {
    let gate_url = setup
        .gate_url
        .or_else(|| gate.map(|gate| url(reachable(gate))));
    let config = FrontendConfig {
        users: setup.users,
        secret: setup.secret,
        token_ttl: setup.token_ttl,
        gate_url: gate_url.unwrap_or_default(),
        socketio_client: setup.socketio_client,
        issuer: setup.issuer,
        audience: setup.audience,
    };
    tracing::info!(%addr, gate = config.gate_url, "frontend started");
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(frontend::serve(listener, config, async {
        // A sender that is dropped stops it as well.
        let _ = stopped.await;
    }));
    RunningFrontend { addr, stop, task }
}

fn url(addr: impl fmt::Display) -> String {
    format!("http://{addr}")
}

/// An address that a browser on this machine can open: one that listens everywhere listens on loopback too.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        tracing::warn!(%addr, "browsers elsewhere need --gate-url: the page says loopback");
        match &mut addr {
            SocketAddr::V4(v4) => v4.set_ip(std::net::Ipv4Addr::LOCALHOST),
            SocketAddr::V6(v6) => v6.set_ip(std::net::Ipv6Addr::LOCALHOST),
        }
    }
    addr
}

/// The origins under which a browser may have the frontend's pages.
fn origins_of(frontend: SocketAddr) -> Vec<String> {
    let mut origins = vec![url(frontend)];
    if frontend.ip().is_loopback() {
        origins.push(url(format_args!("localhost:{}", frontend.port())));
    }
    origins
}
