//! A shard of the gate as the reactor runs it: callbacks that pass each event to the part that handles it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire};
use std::time::Duration;

use reactor::{Closed, DetachedSocket, Io, Next, Service, SocketId, Sockets};

use crate::gate::admission::{Decision, NotAdmitted, ShardAdmission};
use crate::gate::answers;
use crate::gate::connections::{Connections, Progress, after};
use crate::gate::forwarding::Forwarding;
use crate::gate::lookup::{FinishedLookup, SessionLookup};
use crate::gate::request::SessionOwner;
use crate::gate::routes::{MovedConnection, Origin};
use crate::gate::socket::Socket;
use crate::metrics::{End, Outcome, Unanswered};
use crate::process::LogThrottle;

/// While draining, how often a shard checks whether its last socket is closed.
const DRAIN_CHECK_EVERY: Duration = Duration::from_millis(20);

/// The service of one shard.
pub(super) struct GateService {
    pub(super) connections: Connections,
    pub(super) admission: ShardAdmission,
    pub(super) forwarding: Forwarding,
    /// Looks up the users of sessions, with `--auth session`.
    pub(super) lookup: Option<SessionLookup>,
    pub(super) drain: ShardDrain,
    pub(super) accept_failures: LogThrottle,
}

/// The order to drain, which all shards share.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) ordered: AtomicBool,
    /// How long sockets may take to close.
    pub(super) within: Duration,
}

/// How far one shard has drained.
#[derive(Debug)]
pub(super) struct ShardDrain {
    order: Arc<Drain>,
    /// When the remaining sockets are closed; set when the drain begins.
    until_ns: Option<u64>,
    /// No session polls any more, and idle connections were closed.
    closed_idle: bool,
}

impl ShardDrain {
    pub(super) fn new(order: Arc<Drain>) -> Self {
        Self { order, until_ns: None, closed_idle: false }
    }
}

impl Service for GateService {
    type Socket = Socket;

    fn accepted(&mut self, io: &mut Io<'_>) -> Option<Socket> {
        self.connections.sessions.host.metrics.connections_accepted.add(1);
        match self.admission.admit(io.id(), || io.peer().map(|peer| peer.ip())) {
            Ok(()) => Some(self.connections.accept(io)),
            Err(NotAdmitted { decision, limit }) => self.connections.reject(io, decision, limit),
        }
    }

    fn secured(&mut self, io: &mut Io<'_>, socket: &mut Socket, resumed: bool) {
        self.connections.secured(io, socket, resumed);
    }

    fn accept_failed(&mut self, error: &io::Error) {
        self.connections.sessions.host.metrics.accept_failures.add(1);
        if self.accept_failures.is_due() {
            tracing::warn!(%error, "cannot accept connections: raise the limit on descriptors?");
        }
    }

    fn received(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        if let Socket::Relay(other) = *socket {
            self.forwarding.relays.copy(other, input);
            return input.len();
        }
        self.take_input(io, socket, input, None)
    }

    fn drained(&mut self, _io: &mut Io<'_>, socket: &mut Socket) {
        if let Socket::Relay(other) = *socket {
            self.forwarding.relays.drained(other);
        }
    }

    fn deadline(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        self.connections.read_clock(io.now_ns());
        self.connections.deadline(io, socket);
    }

    fn closed(&mut self, _now_ns: u64, id: SocketId, mut socket: Socket, why: Closed) {
        match socket {
            // The connection was counted as closed when the relay began.
            Socket::Relay(other) => self.forwarding.relays.close(other),
            _ => self.connections.sessions.host.metrics.connections_closed.add(1),
        }
        let decision = match socket {
            Socket::Rejected => Decision::Rejected,
            _ => Decision::Admitted,
        };
        self.admission.release(id, decision);
        self.connections.count_end(id, &mut socket, end_of(&why));
    }

    fn released(&mut self, now_ns: u64, id: SocketId, detached: DetachedSocket, socket: Socket) {
        if let Socket::Forwarding(destination) = socket {
            self.forwarding.send(now_ns, id, detached, destination, &mut self.admission);
        }
    }

    fn turn(&mut self, sockets: &mut Sockets<'_, Socket>) -> Next {
        self.adopt_moved(sockets);
        self.take_lookups(sockets);
        self.forwarding.run_relays(sockets, &mut self.connections, &self.admission);
        self.connections.end_surplus(sockets);
        self.connections.run_due_polls(sockets);
        self.answer_polls(sockets);
        self.connections.set_gauges(sockets);
        if self.drain.order.ordered.load(Acquire) {
            self.run_drain(sockets)
        } else {
            self.connections.sessions.polls.next_due_ns().map_or(Next::WhenNeeded, Next::At)
        }
    }
}

impl GateService {
    /// Handles the requests, then the frames, at the front of `input`; returns how many bytes they have. `owner` is the
    /// result of the session lookup for the first request, if there was one.
    fn take_input(
        &mut self,
        io: &mut Io<'_>,
        socket: &mut Socket,
        input: &mut [u8],
        owner: Option<SessionOwner<'_>>,
    ) -> usize {
        self.connections.read_clock(io.now_ns());
        let mut used = self.take_requests(io, socket, input, owner);
        used += self.connections.frames(io, socket, &mut input[used..]);
        self.connections.sessions.host.metrics.bytes_received.add(used as u64);
        self.connections.close_if_draining(io, socket);
        used
    }

    /// Handles the requests at the front of `input`; returns how many bytes they have. `socket` may become a session.
    fn take_requests(
        &mut self,
        io: &mut Io<'_>,
        socket: &mut Socket,
        input: &[u8],
        mut owner: Option<SessionOwner<'_>>,
    ) -> usize {
        let mut used = 0;
        while let Socket::Handshake { .. } | Socket::Posting { .. } = socket
            && used < input.len()
        {
            let rest = &input[used..];
            match self.connections.request(io, socket, rest, owner.take()) {
                Progress::Used(0) => break,
                Progress::Used(bytes) => used += bytes,
                Progress::NeedsLookup(session) => {
                    let connection = io.id().to_bits();
                    if !self.lookup.as_ref().is_some_and(|lookup| lookup.request(connection, session)) {
                        self.connections.reject_unanswered(io, socket, Unanswered::Queue);
                        used = input.len();
                    }
                }
                Progress::Forward(shard) => self.forwarding.detach(io, shard, rest.len()),
            }
        }
        used
    }

    /// Handles input that was received earlier.
    fn resume(&mut self, sockets: &mut Sockets<'_, Socket>, id: SocketId, owner: Option<SessionOwner<'_>>) {
        sockets.with_input(id, |io, socket, input| self.take_input(io, socket, input, owner));
    }

    /// Adopts the connections that other shards have sent, and handles their requests.
    fn adopt_moved(&mut self, sockets: &mut Sockets<'_, Socket>) {
        for moved in self.forwarding.take_moved() {
            let MovedConnection { detached, until_ns, served, origin } = moved;
            let admitted = match origin {
                Origin::Shard(address) => Ok(address),
                Origin::Process(address) => {
                    self.connections.sessions.host.metrics.connections_taken_in.add(1);
                    self.admission.admission.admit_from(|| Some(address))
                }
            };
            let address = match admitted {
                Ok(address) => address,
                Err(excluded) => {
                    self.reject_moved(sockets, detached, excluded);
                    continue;
                }
            };
            match sockets.adopt(detached, Socket::Handshake { until_ns, seen_bytes: 0, served }) {
                Ok(id) => {
                    self.admission.set_address(id, address);
                    self.connections.adopt(sockets, id, until_ns, served);
                    self.resume(sockets, id, None);
                }
                Err((error, _)) => {
                    self.forwarding.count_lost(&error);
                    self.admission.release_detached(address);
                }
            }
        }
    }

    /// Answers a connection of another process that a limit is reached, or closes it without an answer.
    fn reject_moved(&mut self, sockets: &mut Sockets<'_, Socket>, detached: DetachedSocket, excluded: NotAdmitted) {
        let NotAdmitted { decision, limit } = excluded;
        self.connections.sessions.host.metrics.handshake(Outcome::Full(limit));
        let adopted = match decision {
            Decision::Rejected => sockets.adopt(detached, Socket::Rejected).ok(),
            _ => None,
        };
        match adopted {
            Some(id) => drop(sockets.with(id, |io, _| self.connections.answer_and_finish(io, answers::full))),
            None => {
                self.connections.sessions.host.metrics.connections_closed.add(1);
                self.admission.admission.release(decision);
            }
        }
    }

    /// Resumes the connections whose sessions were looked up.
    fn take_lookups(&mut self, sockets: &mut Sockets<'_, Socket>) {
        let finished = self.lookup.as_ref().map(|lookup| lookup.finished.take());
        for FinishedLookup { connection, result, took } in finished.into_iter().flatten() {
            self.connections.sessions.host.metrics.session_lookup_time.observe(took);
            let id = SocketId::from_bits(connection);
            let mut owner = None;
            // The connection may have been closed.
            sockets.with(id, |io, socket| {
                let Socket::AwaitingLookup { until_ns, served } = *socket else {
                    return;
                };
                match result {
                    Ok(user) => {
                        *socket = Socket::Handshake { until_ns, seen_bytes: 0, served };
                        owner = Some(user);
                    }
                    Err(why) => self.connections.reject_unanswered(io, socket, why),
                }
            });
            if let Some(user) = owner {
                self.resume(sockets, id, Some(SessionOwner(user.as_deref())));
            }
        }
    }

    /// Answers the polls whose sessions have packets. A pipelined request behind a poll may add packets, so this repeats
    /// until no poll can be answered.
    fn answer_polls(&mut self, sockets: &mut Sockets<'_, Socket>) {
        loop {
            let deliveries = self.connections.sessions.polls.deliveries();
            self.connections.close_probes(sockets);
            if deliveries.is_empty() {
                return;
            }
            for delivery in deliveries {
                let id = SocketId::from_bits(delivery.to.connection);
                sockets.with(id, |io, socket| self.connections.answer_poll(io, socket, &delivery));
                self.resume(sockets, id, None);
            }
        }
    }

    /// Continues the drain; stops when all sockets are closed or the time to drain is over.
    fn run_drain(&mut self, sockets: &mut Sockets<'_, Socket>) -> Next {
        let now_ns = sockets.now_ns();
        let until_ns = match self.drain.until_ns {
            Some(until_ns) => until_ns,
            None => self.begin_drain(sockets, now_ns),
        };
        if self.connections.sessions.polls.is_idle() && !self.drain.closed_idle {
            self.drain.closed_idle = true;
            sockets.for_each(|io, socket| self.connections.close_if_draining(io, socket));
        }
        if sockets.is_empty() || now_ns >= until_ns {
            // Sessions of polling clients that have no connection now.
            self.connections.sessions.end_all();
            Next::Stop
        } else {
            Next::At(until_ns.min(after(now_ns, DRAIN_CHECK_EVERY)))
        }
    }

    /// Stops accepting connections and closes sessions; returns the end of the time to drain.
    fn begin_drain(&mut self, sockets: &mut Sockets<'_, Socket>, now_ns: u64) -> u64 {
        let until_ns = after(now_ns, self.drain.order.within);
        self.drain.until_ns = Some(until_ns);
        sockets.stop_listening();
        self.connections.begin_drain();
        self.answer_polls(sockets);
        sockets.for_each(|io, socket| self.connections.close_if_draining(io, socket));
        until_ns
    }
}

fn end_of(why: &Closed) -> End {
    match why {
        // Every other end that the gate decides is counted before the close: only the end of the drain is left.
        Closed::Local => End::Shutdown,
        Closed::Peer => End::Gone,
        Closed::Reset => End::Reset,
        Closed::InputTooLong => End::TooLong,
        Closed::PeerTooSlow => End::TooSlow,
        Closed::MemoryPressure => End::MemoryPressure,
        Closed::Tls(_) => End::Tls,
        Closed::Refused | Closed::Failed(_) => End::Failed,
    }
}
