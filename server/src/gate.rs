//! The gate: listeners, one shard per core, and the way of a connection from `accept` to its session.
//!
//! A shard is one thread with its reactor. Shards share no lock: the kernel distributes connections over their listeners,
//! each shard has its own counters, and the connections of all shards are counted by atomic numbers (`admission`).
//! A polling session lives on one shard. When the kernel gives a request for the session to another shard, the connection
//! moves to the session's shard (`forwarding`), also to another process of the gate (`process_links`). Under TLS the
//! connection stays and its bytes are relayed (`relay`).
//!
//! | path | answer |
//! |---|---|
//! | `/ws` | a raw WebSocket, or 401 with the reason, or 426 without an upgrade |
//! | `/socket.io/` | Socket.IO over Engine.IO 3 or 4, by long-polling or WebSocket, or Engine.IO's errors |
//! | `/engine.io/` | with the application `conformance`: Engine.IO alone, whose messages come back |
//! | `/socket.io/socket.io.js` | the Socket.IO client, when one was given |
//! | `/healthz`, `/metrics` | `ok`; the counters in Prometheus' text format |

pub mod handshake;
pub(crate) mod answers;
pub(crate) mod listener;
pub(crate) mod lookup;
pub(crate) mod process_links;

mod admission;
mod body;
mod carrier;
mod config;
mod connections;
mod forwarding;
mod jsonp;
mod polling;
mod relay;
mod request;
mod routes;
mod service;
mod shard_queue;
mod shards;
mod shared;
mod socket;
mod wall_clock;

#[cfg(test)]
mod allocations;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Release};
use std::{io, thread};

use reactor::{Clock, DetachedSocket, Shard, Waker};
use tokio::{sync::oneshot, task::JoinSet};

use crate::{keys::Keys, metrics::Metrics};
pub(crate) use config::{Deadlines, GateConfig};
use lookup::SessionLookup;
use process_links::{ProcessForwarder, ProcessLinks};
use routes::{MovedConnection, Origin, Routes};
use service::{Drain, GateService};
use shards::{Layout, ShardInputs, ShardParts};
pub use shared::GateShared;

/// A running gate. Dropping it leaves its threads running; [`Gate::drain`] ends them.
#[derive(Debug)]
pub(crate) struct Gate {
    addr: SocketAddr,
    metrics: Metrics,
    drain: Arc<Drain>,
    wakers: Vec<Waker>,
    running: JoinSet<Result<(), ShardFailed>>,
}

/// A shard ended before the gate drained: an internal error, or a failed system call. No peer can cause it.
#[derive(Debug, thiserror::Error)]
pub enum ShardFailed {
    /// A system call failed.
    #[error("a shard of the gate failed: {0}")]
    Io(#[from] io::Error),
    /// The panic's message is in the log.
    #[error("a shard of the gate panicked")]
    Panicked,
}

impl Gate {
    /// Starts one shard for each entry of `listeners`; all listeners are bound to one address. `links` lead to the gate's
    /// other processes, if there are any. Needs a tokio runtime, which waits for the shards' threads and looks sessions up.
    ///
    /// Fails when an epoll set or a thread cannot be created, or a thread cannot be pinned.
    pub fn start(
        config: GateConfig,
        keys: &Keys,
        listeners: Vec<Vec<TcpListener>>,
        links: Option<ProcessLinks>,
    ) -> io::Result<Self> {
        let first_listener = listeners.first().and_then(|listeners| listeners.first());
        let addr = first_listener.ok_or(io::ErrorKind::InvalidInput)?.local_addr()?;
        let count = listeners.len();
        let (process, processes) = links.as_ref().map_or((0, 1), |links| (links.process, links.outboxes.len()));
        // The flags allow no more shards in all than a u16 counts.
        let layout = Layout { first: process * count as u16, count };
        let clock = Clock::start();
        let drain = Arc::new(Drain { ordered: AtomicBool::new(false), within: config.drain_within });
        let has_parent = links.is_some();
        let shared = Arc::new(GateShared {
            // The thread that forwards to other processes has counters too.
            metrics: Metrics::new(count + usize::from(has_parent)).with_keys(Arc::clone(&keys.counters)),
            has_parent,
            ..GateShared::new(config.origins.clone(), config.socketio_client.clone(), count * processes)
        });
        let metrics = shared.metrics.clone();
        let routes = open_routes(layout, links, &metrics, clock)?;
        let lookups = match &config.sessions {
            Some(source) => SessionLookup::start(source.clone(), layout.count)?,
            None => Vec::new(),
        };
        let parts = ShardParts {
            layout,
            shared,
            routes: Arc::clone(&routes),
            drain: Arc::clone(&drain),
            lookups,
            inputs: ShardInputs::system(),
        };
        let services = shards::make(&config, keys, parts);
        let mut shards = Vec::new();
        for ((service, listeners), number) in services.into_iter().zip(listeners).zip(layout.first..) {
            let options = shards::reactor_options(&config, number, layout.count);
            let shard = open_shard(service, listeners, options, config.tls.as_ref(), clock)?;
            routes.set_waker(number, shard.waker());
            shards.push(shard);
        }
        let mut gate = Self { addr, metrics, drain, wakers: Vec::new(), running: JoinSet::new() };
        for (index, shard) in shards.into_iter().enumerate() {
            gate.spawn(index, shard)?;
        }
        Ok(gate)
    }

    /// The address that the gate listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Stops accepting connections and closes all sessions with 1001. The gate ends when all sockets are closed or the
    /// time to drain is over; [`Gate::ended`] waits for that.
    pub fn drain(&self) {
        self.drain.ordered.store(true, Release);
        for waker in &self.wakers {
            waker.wake();
        }
    }

    /// Waits until the next shard ends; `None` when all shards have ended. An end before the drain is a failure.
    pub async fn ended(&mut self) -> Option<Result<(), ShardFailed>> {
        let end = self.running.join_next().await?;
        Some(end.unwrap_or(Err(ShardFailed::Panicked)))
    }

    fn spawn(&mut self, index: usize, shard: Shard<GateService>) -> io::Result<()> {
        self.wakers.push(shard.waker());
        let (sender, end) = oneshot::channel();
        thread::Builder::new().name(format!("gate-{index}")).spawn(move || {
            let end = shard.run();
            // The receiver is gone when the process is about to exit.
            let _ = sender.send(end.map(drop).map_err(ShardFailed::Io));
        })?;
        // A panic drops the sender unused.
        self.running.spawn(async { end.await.unwrap_or(Err(ShardFailed::Panicked)) });
        Ok(())
    }
}

/// Creates the queues of the shards, and starts the threads that send to other processes and receive from them.
fn open_routes(layout: Layout, links: Option<ProcessLinks>, all: &Metrics, clock: Clock) -> io::Result<Arc<Routes>> {
    let Layout { first, count } = layout;
    let Some(links) = links else {
        return Ok(Arc::new(Routes::new(first, count, None)));
    };
    let forwarder = ProcessForwarder::start(links.outboxes, links.parent, count, Arc::clone(&all.shards()[count]))?;
    let routes = Arc::new(Routes::new(first, count, Some(forwarder)));
    let into = Arc::clone(&routes);
    process_links::receive(links.inbox, move |forwarded| {
        let until_ns = clock.now_ns().saturating_add(forwarded.left_ns);
        let origin = Origin::Process(forwarded.peer());
        let detached = DetachedSocket::from_parts(forwarded.parts);
        let moved = MovedConnection { detached, until_ns, served: forwarded.served, origin };
        into.send_to_shard(forwarded.shard, moved);
    })?;
    Ok(routes)
}

/// Creates a shard that listens on `listeners`.
fn open_shard(
    service: GateService,
    listeners: Vec<TcpListener>,
    options: reactor::Options,
    tls: Option<&Arc<rustls::ServerConfig>>,
    clock: Clock,
) -> io::Result<Shard<GateService>> {
    let finished_lookups = service.lookup.as_ref().map(|lookup| Arc::clone(&lookup.finished));
    let mut shard = Shard::new(service, clock, options)?;
    if let Some(finished) = finished_lookups {
        finished.set_waker(shard.waker());
    }
    for listener in listeners {
        match tls {
            None => shard.listen(listener)?,
            Some(tls) => shard.listen_tls(listener, Arc::clone(tls))?,
        }
    }
    Ok(shard)
}
