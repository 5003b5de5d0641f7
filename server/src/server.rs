//! The running server: starts a gate and a frontend, prints one line on standard output, drains both at the end.

mod error;
mod urls;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use serde::Serialize;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::config::{Config, FrontendSetup, GateSetup, Listen, ServeArgs};
use crate::frontend::{self, FrontendAddrs, FrontendConfig};
use crate::gate::process_links::ProcessLinks;
use crate::gate::{Gate, GateConfig, ShardFailed, listener};
use crate::inherited::Inherited;
use crate::keys::{KeyReloader, Watch};
use crate::metrics::Metrics;
use crate::process::{EarlyHangups, die_with_parent, pin_to_cpus, start_log, stop_signal};
use crate::processes::{Group, ParentLink, Processes};
use crate::takeover::{Handover, Listeners};
use crate::tls::{Tls, url};
pub use error::ServeError;
use urls::{origins_of, reachable};

/// Runs the server of `args` until SIGTERM or SIGINT. Once the server is ready, it prints one line of JSON on standard
/// output; everything else is on standard error.
pub fn serve(args: &ServeArgs) -> Result<(), ServeError> {
    start_log(args.log);
    if args.die_with_parent {
        die_with_parent();
    }
    // Before the process starts a thread: threads inherit the cpus, and `from_environment` removes variables.
    pin_to_cpus(args.cpus()).map_err(ServeError::Pin)?;
    let given = match args.member {
        true => None,
        false => Some(Inherited::from_environment()?),
    };
    let mut runtime = match args.runs_frontend() {
        true => tokio::runtime::Builder::new_multi_thread(),
        // The runtime only waits for signals: the gate has threads of its own.
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().map_err(ServeError::Start)?;
    runtime.block_on(run(args, given))
}

/// Runs the server; `given` is what it inherits, unless it inherits from a parent.
async fn run(args: &ServeArgs, given: Option<Inherited>) -> Result<(), ServeError> {
    // First, because a SIGHUP would end the process before.
    let hangups = EarlyHangups::catch().map_err(ServeError::Start)?;
    let mut inherited = match given {
        Some(given) => given,
        None => Inherited::from_parent()?,
    };
    let predecessor = match args.takeover() {
        Some(path) => inherited.take_over(path)?,
        None => None,
    };
    let mut config = args.read_with(inherited)?;
    let stop = stop_signal().map_err(ServeError::Start)?;
    let kept = args.takeover().map(|_| config.open()).transpose()?;
    let tls = config.tls.clone();
    let mut server = Server::start(config).await?;
    hangups.raise_again();
    let handover = match (args.takeover(), kept) {
        (Some(path), Some(kept)) => Some(Handover::offer(path, kept, tls)?),
        _ => None,
    };
    if let Some(predecessor) = predecessor {
        predecessor.dismiss();
    }
    let metrics = server.metrics().cloned();
    let parent_link = server.control.take().zip(metrics);
    if parent_link.is_none() {
        announce(&server.ready_line());
    }
    let stop = async {
        tokio::select! {
            () = stop => {}
            Some(()) = wait_for(handover.map(Handover::taken)) => {}
            Some(()) = wait_for(parent_link.map(|(control, metrics)| control.run(metrics))) => {
                tracing::warn!("the parent is gone");
            }
        }
    };
    server.run(stop).await
}

/// Waits for a future; returns `None` at once without one.
async fn wait_for(future: Option<impl Future<Output = ()>>) -> Option<()> {
    future?.await;
    Some(())
}

impl Config {
    /// Opens the listeners that are not open yet, and returns duplicates of all.
    fn open(&mut self) -> Result<Listeners, ServeError> {
        let mut kept = Listeners::default();
        if let Some(setup) = &mut self.gate {
            if let Listen::At(addr) = setup.listen {
                let count = setup.shards * usize::from(setup.processes);
                setup.listen = Listen::Given(open(addr, count)?);
            }
            if let Listen::Given(listeners) = &setup.listen {
                let held = listeners.iter().map(TcpListener::try_clone);
                kept.gate = held.collect::<io::Result<_>>().map_err(ServeError::Start)?;
            }
        }
        if let Some(setup) = &mut self.frontend {
            let listener = bind_frontend(setup)?;
            kept.frontend = Some(listener.try_clone().map_err(ServeError::Start)?);
            setup.given = Some(listener);
        }
        Ok(kept)
    }
}

/// Writes the line on standard output. A failure, as when its reader has ended, does not stop the server.
fn announce(line: &str) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        tracing::warn!(%error, "the line that announces the server cannot be written");
    }
}

/// A started server.
pub struct Server {
    gate: Option<RunningGate>,
    frontend: Option<RunningFrontend>,
    is_tls: bool,
    /// The stream to the parent, if this is one process of several.
    control: Option<ParentLink>,
}

/// A gate in this process, with the task that reloads its keys; or in children.
enum RunningGate {
    Here { gate: Gate, _keys: Watch },
    Children(Processes),
}

struct RunningFrontend {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

#[derive(Serialize)]
struct Ready {
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frontend: Option<String>,
    pid: u32,
    /// The processes of the gate, where it has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gate_pids: Vec<u32>,
}

impl Server {
    /// Opens the listeners of `config` and starts the gate and the frontend. Needs a tokio runtime.
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        // Both listeners are opened before either part starts: the frontend's page contains the gate's URL, and the gate
        // accepts cookies from the frontend's origin.
        let frontend = match config.frontend {
            Some(mut setup) => Some((listen_frontend(&mut setup)?, setup)),
            None => None,
        };
        let tls = config.tls.as_ref();
        let has_tls_gate = config.gate.is_some() && tls.is_some();
        let lookup = match &frontend {
            Some((_, setup)) if has_tls_gate && setup.session_key.is_some() => Some(listen_for_gate()?),
            _ => None,
        };
        let frontend_addrs = frontend.as_ref().map(|((_, addr), _)| FrontendAddrs {
            addr: *addr,
            lookup_addr: lookup.as_ref().map_or(*addr, |(_, addr)| *addr),
        });
        if let Some(tls) = tls {
            tls.renew_periodically().map_err(ServeError::Start)?;
        }
        let (gate, control) = match config.gate {
            Some(setup) => {
                let (gate, control) = start_gate(setup, frontend_addrs, tls).await?;
                (Some(gate), control)
            }
            None => (None, None),
        };
        let gate_addr = gate.as_ref().map(RunningGate::addr);
        let frontend = frontend.map(|(listening, setup)| {
            let lookup_listener = lookup.map(|(listener, _)| listener);
            run_frontend(listening, lookup_listener, setup, gate_addr, tls)
        });
        Ok(Self { gate, frontend, is_tls: tls.is_some(), control })
    }

    /// The gate's URL: `http://HOST:PORT`, or `https` with TLS.
    pub fn gate_url(&self) -> Option<String> {
        self.gate.as_ref().map(|gate| url(self.is_tls, gate.addr()))
    }

    /// The frontend's URL.
    pub fn frontend_url(&self) -> Option<String> {
        self.frontend.as_ref().map(|frontend| url(self.is_tls, frontend.addr))
    }

    /// The counters of a gate in this process.
    pub fn metrics(&self) -> Option<&Metrics> {
        match self.gate.as_ref()? {
            RunningGate::Here { gate, .. } => Some(gate.metrics()),
            RunningGate::Children(_) => None,
        }
    }

    /// The line of JSON that says where the server listens.
    pub fn ready_line(&self) -> String {
        let ready = Ready {
            gate: self.gate_url(),
            frontend: self.frontend_url(),
            pid: std::process::id(),
            gate_pids: match &self.gate {
                Some(RunningGate::Children(processes)) => processes.pids(),
                _ => Vec::new(),
            },
        };
        serde_json::to_string(&ready).unwrap_or_default()
    }

    /// Serves until `stop`, then drains: accepts no connections, closes every socket with 1001, and ends when all sockets
    /// are closed or the time to drain is over.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let mut end = tokio::select! {
            () = stop => Ok(()),
            error = first_failure(&mut self.gate, &mut self.frontend) => Err(error),
        };
        tracing::info!("draining");
        if let Some(gate) = &mut self.gate {
            gate.drain();
        }
        if let Some(frontend) = self.frontend.take() {
            // This fails when the frontend's task has ended.
            let _ = frontend.stop.send(());
            if !frontend.task.is_finished() {
                end = end.and(ended(frontend.task.await));
            }
        }
        if let Some(gate) = &mut self.gate {
            // The first fault is returned after all parts have drained.
            while let Some(next) = gate.ended().await {
                end = end.and(next);
            }
        }
        tracing::info!("stopped");
        end
    }
}

impl RunningGate {
    fn addr(&self) -> SocketAddr {
        match self {
            Self::Here { gate, .. } => gate.addr(),
            Self::Children(processes) => processes.addr(),
        }
    }

    fn drain(&mut self) {
        match self {
            Self::Here { gate, .. } => gate.drain(),
            Self::Children(processes) => processes.drain(),
        }
    }

    /// Waits until the next part ends, which is a failure before `drain`; `None` when all have ended.
    async fn ended(&mut self) -> Option<Result<(), ServeError>> {
        match self {
            Self::Here { gate, .. } => Some(gate.ended().await?.map_err(ServeError::Shard)),
            Self::Children(all) => Some(all.ended().await?.map_err(ServeError::Process)),
        }
    }
}

/// Waits until a part ends before the drain, which is always a failure.
async fn first_failure(gate: &mut Option<RunningGate>, frontend: &mut Option<RunningFrontend>) -> ServeError {
    let gate = async {
        match gate {
            Some(gate) => match gate.ended().await {
                Some(Err(error)) => error,
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
    end.unwrap_or_else(|panicked| Err(io::Error::other(panicked))).map_err(ServeError::Frontend)
}

async fn start_gate(
    setup: GateSetup,
    frontend: Option<FrontendAddrs>,
    tls: Option<&Tls>,
) -> Result<(RunningGate, Option<ParentLink>), ServeError> {
    let GateSetup { listen, processes, shards, keys, config } = setup;
    let listeners = match listen {
        Listen::At(addr) => open(addr, shards * usize::from(processes))?,
        Listen::Given(listeners) => listeners,
        Listen::Member(member) => {
            let control = ParentLink::new(member.control).map_err(ServeError::Start)?;
            let links = Some(member.links);
            let gate = start_here(member.shards, links, keys, config, member.frontend).await?;
            return Ok((gate, Some(control)));
        }
    };
    let gate = if processes > 1 {
        let group = Group { listeners, processes, shards, frontend, tls: tls.cloned() };
        RunningGate::Children(Processes::start(group).await?)
    } else {
        let by_shard = listener::distribute(&listeners, shards).map_err(ServeError::Start)?;
        start_here(by_shard, None, keys, config, frontend).await?
    };
    Ok((gate, None))
}

fn open(addr: SocketAddr, count: usize) -> Result<Vec<TcpListener>, ServeError> {
    listener::open(addr, count).map_err(|error| ServeError::Listen(addr, "--listen", error))
}

async fn start_here(
    listeners: Vec<Vec<TcpListener>>,
    links: Option<ProcessLinks>,
    reloader: KeyReloader,
    mut config: GateConfig,
    frontend: Option<FrontendAddrs>,
) -> Result<RunningGate, ServeError> {
    if config.origins.is_empty() {
        config.origins = frontend.map_or_else(Vec::new, |it| origins_of(config.tls.is_some(), it.addr));
    }
    config.sessions = config.sessions.map(|source| source.or_at(frontend.map(|it| reachable(it.lookup_addr))));
    let (connections_max, shards) = (config.connections_max, listeners.len());
    let keys = reloader.keys().clone();
    let watch = reloader.watch().await.map_err(ServeError::Start)?;
    let gate = Gate::start(config, &keys, listeners, links).map_err(ServeError::Start)?;
    let (addr, keys) = (gate.addr(), keys.store.load().len());
    tracing::info!(%addr, shards, keys, connections_max, "gate started");
    Ok(RunningGate::Here { gate, _keys: watch })
}

/// The frontend's listener: the inherited one, or a new one.
fn bind_frontend(setup: &mut FrontendSetup) -> Result<TcpListener, ServeError> {
    let addr = setup.listen;
    let opened = match setup.given.take() {
        Some(given) => Ok(given),
        None => TcpListener::bind(addr),
    };
    opened.map_err(|error| ServeError::Listen(addr, "--frontend-listen", error))
}

/// The frontend's listener for tokio, and its address.
fn listen_frontend(setup: &mut FrontendSetup) -> Result<(tokio::net::TcpListener, SocketAddr), ServeError> {
    into_tokio(bind_frontend(setup)?).map_err(ServeError::Start)
}

/// The listener at which the gate of the same server looks sessions up: on loopback without TLS, because the gate cannot
/// verify the certificate.
fn listen_for_gate() -> Result<(tokio::net::TcpListener, SocketAddr), ServeError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(into_tokio).map_err(ServeError::Start)
}

fn into_tokio(listener: TcpListener) -> io::Result<(tokio::net::TcpListener, SocketAddr)> {
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    Ok((tokio::net::TcpListener::from_std(listener)?, addr))
}

fn run_frontend(
    (listener, addr): (tokio::net::TcpListener, SocketAddr),
    lookup_listener: Option<tokio::net::TcpListener>,
    setup: FrontendSetup,
    gate: Option<SocketAddr>,
    tls: Option<&Tls>,
) -> RunningFrontend {
    let gate_url = setup.gate_url.or_else(|| gate.map(|gate| url(tls.is_some(), reachable(gate))));
    let config = FrontendConfig {
        users: setup.users,
        secret: setup.secret,
        token_ttl: setup.token_ttl,
        unix_s: std::sync::Arc::new(crate::process::unix_s),
        gate_url: gate_url.unwrap_or_default(),
        socketio_client: setup.socketio_client,
        session_key: setup.session_key,
        issuer: setup.issuer,
        audience: setup.audience,
        tls: tls.map(Tls::config),
        lookup_listener,
    };
    tracing::info!(%addr, gate = config.gate_url, "frontend started");
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(frontend::serve(listener, config, async {
        // Dropping the sender stops the frontend too.
        let _ = stopped.await;
    }));
    RunningFrontend { addr, stop, task }
}
