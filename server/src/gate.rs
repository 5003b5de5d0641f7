//! The gate: listeners, one shard per core, and the way of a connection from `accept` to its session.
//!
//! A shard is a bare thread with a reactor of its own. Shards share no lock: their listeners are dealt connections by
//! the kernel, their counters are their own, and the places that [`admission`] counts are one atomic number. A session
//! that polls lives on one of them; a request for it that the kernel dealt to another moves there, connection and all,
//! also where that is one of another process of the same gate ([`courier`]); under TLS only its bytes do.
//!
//! | path | answer |
//! |---|---|
//! | `/ws` | a raw WebSocket, or 401 with the reason, or 426 to what is no upgrade |
//! | `/socket.io/` | Socket.IO over Engine.IO 3 or 4, by long-polling or WebSocket, or Engine.IO's errors |
//! | `/engine.io/` | with the application `conformance`: Engine.IO alone, whose messages come back |
//! | `/socket.io/socket.io.js` | the Socket.IO client, when one was given |
//! | `/healthz`, `/metrics` | `ok`; the counters in Prometheus' text format |

pub mod admission;
pub(crate) mod answers;
pub mod carrier;
pub mod courier;
pub mod handshake;
pub mod listener;
pub mod lookup;

mod asking;
mod body;
mod connection;
mod jsonp;
mod mailbox;
mod polling;
mod relay;
mod service;
mod turn;

#[cfg(test)]
mod allocations;

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Release},
    },
    thread,
    time::Duration,
};

use reactor::{Clock, Loose, Shard, TimeSource, Waker};
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    keys::Keys,
    metrics::Metrics,
    session::{Host, Settings, half_open::HalfOpen, polling::Polls},
    verify::{Policy, Verifier},
};
use admission::Admission;
use courier::{Courier, Links};
use handshake::{HEAD_BYTES_MAX, Site};
use lookup::{Desk, SessionSource};
use mailbox::{Mailboxes, Moved, Way};
use service::{Drain, GateService, ShardState};

/// What a gate is made of.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// The cpus that shards are pinned to, in turn; empty: wherever the kernel puts them.
    pub cpus: Vec<usize>,
    /// Connections open at once, over all shards.
    pub connections_max: usize,
    /// Connections open at once from one address; `None`: no limit.
    pub per_address_max: Option<u32>,
    /// Connections whose first request is still coming, over all shards; as many WebSockets, and as many sessions that
    /// poll, may be open without being connected.
    pub half_open_max: usize,
    /// How long the steps of a handshake may take.
    pub deadlines: Deadlines,
    /// How long sockets may take to close when the gate goes down.
    pub drain_within: Duration,
    /// Origins whose pages may use the token cookie, and read the answers of long-polling.
    pub origins: Vec<String>,
    /// The Socket.IO client to serve, if any.
    pub socketio_client: Option<Vec<u8>>,
    /// How sessions are run.
    pub session: Settings,
    /// What tokens must satisfy.
    pub policy: Policy,
    /// For tokens that public keys verified, over all shards.
    pub token_cache_bytes: usize,
    /// Who is asked whose a session is, where that lets clients in.
    pub sessions: Option<SessionSource>,
    /// What may be buffered, over all shards: half of it for sockets whose requests and messages are not whole or that do
    /// not read, half for clients that do not poll.
    pub buffer_bytes_max: usize,
    /// TLS from the first byte on, if any.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// How long each step of a handshake may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From accept to the end of the request's head; the same again for each further request and for the body of one.
    pub head: Duration,
    /// From the 101 of a WebSocket that is to take a polling session over to its upgrade packet.
    pub upgrade: Duration,
    /// From the opening of an Engine.IO session to Socket.IO's connect packet.
    pub connect: Duration,
}

/// Beyond the longest message, what a socket's unused input may hold: the head of its frame, and what else one
/// read brought along.
const INPUT_SLACK_BYTES: usize = 64 * 1024;

/// What may wait for a client that does not read before the gate does not read either: as much as one read brings.
const OUTPUT_PAUSE_BYTES: usize = 64 * 1024;

/// Connections taken in before the sockets that are open get their turn: 4 % less processor time for each than one at a
/// time, which costs a wait per connection; 64 measured no better.
const ACCEPTS_PER_TURN: usize = 16;

/// While connections come densely the kernel holds each back until its first bytes are there, which saves a wake for each;
/// a silent one comes after about this long, and its time to authenticate starts then.
const DEFER_ACCEPT_S: u32 = 1;

/// A running gate. Dropping it leaves its threads running; [`Gate::drain`] ends them.
#[derive(Debug)]
pub struct Gate {
    addr: SocketAddr,
    metrics: Metrics,
    drain: Arc<Drain>,
    wakers: Vec<Waker>,
    running: JoinSet<Result<(), ShardFailed>>,
}

/// A shard ended before it was told to. It is our own fault or the kernel's, never a peer's.
#[derive(Debug, thiserror::Error)]
pub enum ShardFailed {
    /// A call that the loop depends on failed.
    #[error("a shard of the gate failed: {0}")]
    Io(#[from] io::Error),
    /// A bug; the panic's message is in the log.
    #[error("a shard of the gate panicked")]
    Panicked,
}

impl Gate {
    /// Starts a shard on the listeners of each of `shards`, which are all bound to one address. `links` are those to the
    /// gate's other processes, if this is one of several; each has as many shards. Needs a tokio runtime, which only
    /// watches the shards' threads.
    ///
    /// Fails when an epoll set or a thread cannot be made, or a thread not be pinned.
    pub fn start(
        config: GateConfig,
        keys: &Keys,
        shards: Vec<Vec<TcpListener>>,
        links: Option<Links>,
    ) -> io::Result<Self> {
        let first_listener = shards.first().and_then(|listeners| listeners.first());
        let addr = first_listener.ok_or(io::ErrorKind::InvalidInput)?.local_addr()?;
        let count = shards.len();
        let (process, processes) = links.as_ref().map_or((0, 1), |links| (links.process, links.outboxes.len()));
        // The flags allow no more shards in all than a u16 counts.
        let first = process * count as u16;
        // The courier counts what it loses.
        let counters = count + usize::from(links.is_some());
        let metrics = Metrics::new(counters).with_keys(Arc::clone(&keys.counters));
        let site = Arc::new(Site {
            metrics: metrics.clone(),
            has_parent: links.is_some(),
            ..Site::new(config.origins, config.socketio_client, count * processes)
        });
        let clock = Clock::start();
        let mailboxes = mailboxes(first, count, links, &metrics, clock)?;
        // A session that polls needs no connection, but a place all the same; shards are dealt about as many each.
        let half_open_max = config.half_open_max.div_ceil(count);
        let token_cache_bytes = config.token_cache_bytes / count;
        let polls_max = config.connections_max.div_ceil(count);
        let drain = Arc::new(Drain { ordered: AtomicBool::new(false), within: config.drain_within });
        let admission = Arc::new(Admission::new(config.connections_max, config.per_address_max));
        let settings = Arc::new(config.session);
        let policy = Arc::new(config.policy);
        let input_bytes_max = HEAD_BYTES_MAX.max(settings.message_bytes_max as usize);
        let mut gate = Self {
            addr,
            metrics: metrics.clone(),
            drain: Arc::clone(&drain),
            wakers: Vec::new(),
            running: JoinSet::new(),
        };
        let desks = match config.sessions {
            Some(source) => Desk::open(source, count)?,
            None => Vec::new(),
        };
        let mut desks = desks.into_iter();
        // Sockets and sessions that poll have half of it each; shards are dealt about as many.
        let held_bytes_max = config.buffer_bytes_max / 2 / count;
        let mut ready = Vec::new();
        for (index, listeners) in shards.into_iter().enumerate() {
            let number = first + index as u16;
            let mut verifier =
                Verifier::new(Arc::clone(&keys.store), Arc::clone(&policy)).with_token_cache(token_cache_bytes);
            if let Some(trigger) = &keys.fetch_trigger {
                verifier = verifier.with_fetch_trigger(trigger.clone(), rand::random());
            }
            let shard_metrics = Arc::clone(&metrics.shards()[index]);
            let mut host = Host::new(Arc::clone(&settings), verifier, shard_metrics);
            host.polls = Polls::new(number, polls_max, half_open_max, held_bytes_max);
            let service = GateService {
                host,
                addresses: HashMap::new(),
                half_open: HalfOpen::new(half_open_max),
                unconnected: HalfOpen::new(half_open_max),
                mailboxes: Arc::clone(&mailboxes),
                desk: desks.next(),
                site: Arc::clone(&site),
                admission: Arc::clone(&admission),
                deadlines: config.deadlines,
                drain: Arc::clone(&drain),
                state: ShardState::default(),
            };
            let options = reactor::Options {
                cpu: pick(&config.cpus, number.into()),
                input_bytes_max: input_bytes_max + INPUT_SLACK_BYTES,
                output_bytes_max: settings.output_bytes_max(),
                output_pause_bytes: OUTPUT_PAUSE_BYTES,
                held_bytes_max,
                time: TimeSource::PerBatch,
                accepts_per_turn: ACCEPTS_PER_TURN,
                defer_accept_s: Some(DEFER_ACCEPT_S),
                ..reactor::Options::default()
            };
            let answers = service.desk.as_ref().map(Desk::mailbox);
            let mut shard = Shard::new(service, clock, options)?;
            if let Some(answers) = answers {
                answers.wake_by(shard.waker());
            }
            for listener in listeners {
                match &config.tls {
                    None => shard.listen(listener)?,
                    Some(tls) => shard.listen_tls(listener, Arc::clone(tls))?,
                }
            }
            mailboxes.wake_by(number, shard.waker());
            ready.push(shard);
        }
        for (index, shard) in ready.into_iter().enumerate() {
            gate.spawn(index, shard)?;
        }
        Ok(gate)
    }

    /// The address that the gate listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The gate's counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Goes down: no more connections, close frames with 1001 to all sessions, and an end when all sockets are gone
    /// or their time is over. Await [`Gate::ended`] for it.
    pub fn drain(&self) {
        self.drain.ordered.store(true, Release);
        for waker in &self.wakers {
            waker.wake();
        }
    }

    /// Waits for the next shard to end; `None` once all have. Unless the gate was drained, any end is a failure.
    pub async fn ended(&mut self) -> Option<Result<(), ShardFailed>> {
        let end = self.running.join_next().await?;
        Some(end.unwrap_or(Err(ShardFailed::Panicked)))
    }

    fn spawn(&mut self, index: usize, shard: Shard<GateService>) -> io::Result<()> {
        self.wakers.push(shard.waker());
        let (told, end) = oneshot::channel();
        thread::Builder::new().name(format!("gate-{index}")).spawn(move || {
            let end = shard.run();
            // Nobody waits any more when the process is on its way out.
            let _ = told.send(end.map(drop).map_err(ShardFailed::Io));
        })?;
        // A panic drops the sender unused.
        self.running.spawn(async { end.await.unwrap_or(Err(ShardFailed::Panicked)) });
        Ok(())
    }
}

/// The mailboxes of `count` shards numbered from `first`, and the threads that carry between processes.
fn mailboxes(
    first: u16,
    count: usize,
    links: Option<Links>,
    metrics: &Metrics,
    clock: Clock,
) -> io::Result<Arc<Mailboxes>> {
    let Some(links) = links else {
        return Ok(Arc::new(Mailboxes::new(first, count, None)));
    };
    let counters = Arc::clone(&metrics.shards()[count]);
    let courier = Courier::start(links.outboxes, links.parent, count, counters)?;
    let mailboxes = Arc::new(Mailboxes::new(first, count, Some(courier)));
    let into = Arc::clone(&mailboxes);
    courier::receive(links.inbox, move |parcel| {
        let until_ns = clock.now_ns().saturating_add(parcel.left_ns);
        let way = Way::Between(parcel.peer());
        let moved = Moved { loose: Loose::from_parts(parcel.parts), until_ns, served: parcel.served, way };
        into.send(parcel.shard, moved);
    })?;
    Ok(mailboxes)
}

fn pick(cpus: &[usize], shard: usize) -> Option<usize> {
    let place = shard.checked_rem(cpus.len())?;
    cpus.get(place).copied()
}
