//! A shard of the gate as the reactor runs it: each socket's handshake, then its session.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Acquire},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reactor::{Closed, DetachedSocket, Io, Next, Service, SocketId, Sockets};

use crate::gate::{
    Deadlines,
    admission::{Admission, Place},
    answers,
    connection::{Socket, answer},
    handshake::Site,
    lookup::Desk,
    mailbox::Mailboxes,
    relay::Relays,
};
use crate::{
    metrics::Outcome,
    process::Rarely,
    session::{End, Host, Reply, half_open::HalfOpen, polling},
};

/// While draining, how often a shard looks whether its last socket is gone when no event tells it.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// The wall clock may be set at any time: no reading of it counts for longer.
const WALL_NS_MAX: u64 = 100_000_000;

/// The program of one shard.
pub(super) struct GateService {
    pub(super) host: Host,
    pub(super) site: Arc<Site>,
    pub(super) admission: Arc<Admission>,
    /// Where connections come from, where that is limited.
    pub(super) addresses: HashMap<u64, IpAddr>,
    /// Connections whose first request is still coming.
    pub(super) half_open: HalfOpen<u64>,
    /// WebSockets of sessions that are not connected yet, or that are still to move there.
    pub(super) unconnected: HalfOpen<u64>,
    pub(super) mailboxes: Arc<Mailboxes>,
    /// Where it asks whose a session is, and is answered, if it asks.
    pub(super) desk: Option<Desk>,
    pub(super) deadlines: Deadlines,
    pub(super) drain: Arc<Drain>,
    pub(super) state: ShardState,
}

/// The order to go down, given once to all shards.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) ordered: AtomicBool,
    /// How long sockets may take to close.
    pub(super) within: Duration,
}

/// What a shard remembers from event to event.
#[derive(Debug, Default)]
pub(super) struct ShardState {
    /// The wall clock when it was last read.
    wall: Option<WallClock>,
    /// Set while draining: when patience ends.
    pub(super) drain_until_ns: Option<u64>,
    /// Connections between two requests were told that nobody polls any more.
    idlers_left: bool,
    accept_failures: Rarely,
    /// Connections under TLS whose session is in another process.
    pub(super) relays: Relays,
}

impl Service for GateService {
    type Socket = Socket;

    fn accepted(&mut self, io: &mut Io<'_>) -> Option<Socket> {
        self.host.metrics.connections_accepted.add(1);
        let connection = io.id().to_bits();
        let peer = || io.peer().map(|peer| peer.ip());
        let (place, limit, address) = self.admission.enter_from(peer);
        if place == Place::Admitted {
            if let Some(address) = address {
                self.addresses.insert(connection, address);
            }
            self.half_open.add(connection);
            let until_ns = after(io.now_ns(), self.deadlines.head);
            io.set_deadline_ns(until_ns);
            return Some(Socket::Handshake { until_ns, seen_bytes: 0, served: false });
        }
        self.host.metrics.handshake(Outcome::Full(limit));
        if place == Place::Dropped {
            self.host.metrics.connections_closed.add(1);
            return None;
        }
        if io.is_tls() {
            // It is told once there is somebody to tell; few are being told at once.
            io.set_deadline_ns(after(io.now_ns(), self.deadlines.head));
        } else {
            answer(&mut self.host, io, |_, reply| answers::full(reply.out));
            io.finish();
        }
        Some(Socket::TurnedAway)
    }

    fn secured(&mut self, io: &mut Io<'_>, socket: &mut Socket, resumed: bool) {
        self.host.metrics.secured(resumed);
        if let Socket::TurnedAway = socket {
            answer(&mut self.host, io, |_, reply| answers::full(reply.out));
            io.finish();
        }
    }

    fn accept_failed(&mut self, error: &io::Error) {
        self.host.metrics.accept_failures.add(1);
        if self.state.accept_failures.is_due() {
            tracing::warn!(%error, "cannot accept connections: raise the limit on descriptors?");
        }
    }

    fn received(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        if let Socket::Relay(other) = *socket {
            self.state.relays.pass(other, input);
            return input.len();
        }
        self.read_clock(io.now_ns());
        let mut used = self.requests(io, socket, input);
        if let Socket::Probing(_) = socket
            && used < input.len()
        {
            used += self.probe(io, socket, &mut input[used..]);
        }
        if let Socket::Session(session) = socket
            && used < input.len()
        {
            let rest = &mut input[used..];
            let was_settled = session.is_settled();
            let received = |host: &mut Host, reply: &mut Reply<'_>| session.received(rest, host, reply);
            let (taken, end) = answer(&mut self.host, io, received);
            used += taken;
            io.set_kept_bytes(session.kept_bytes());
            if !was_settled && session.is_settled() {
                self.unconnected.done();
            }
            self.end(io, socket, end);
        }
        self.host.metrics.bytes_received.add(used as u64);
        if self.goes_down() {
            self.see_off(io, socket);
        }
        used
    }

    fn drained(&mut self, _io: &mut Io<'_>, socket: &mut Socket) {
        if let Socket::Relay(other) = *socket {
            self.state.relays.drained(other);
        }
    }

    fn deadline(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        self.read_clock(io.now_ns());
        self.overdue(io, socket);
    }

    fn closed(&mut self, _now_ns: u64, id: SocketId, mut socket: Socket, why: Closed) {
        match socket {
            // To the counters it has left.
            Socket::Relay(other) => self.state.relays.end(other),
            _ => self.host.metrics.connections_closed.add(1),
        }
        // To hash a name costs something even where there is nothing to find.
        if !self.addresses.is_empty()
            && let Some(address) = self.addresses.remove(&id.to_bits())
        {
            self.admission.leave_address(address);
        }
        self.admission.leave(match socket {
            Socket::TurnedAway => Place::TurnedAway,
            _ => Place::Admitted,
        });
        self.settle(id, &mut socket, end_of(&why));
    }

    fn released(&mut self, now_ns: u64, id: SocketId, loose: DetachedSocket, socket: Socket) {
        self.send_on(now_ns, id, loose, socket);
    }

    fn turn(&mut self, sockets: &mut Sockets<'_, Socket>) -> Next {
        self.take_mail(sockets);
        self.take_answers(sockets);
        self.run_relays(sockets);
        self.end_surplus(sockets);
        self.run_polls(sockets);
        self.gauge(sockets);
        let next_due_ns = self.host.polls.next_due_ns();
        if !self.drain.ordered.load(Acquire) {
            return next_due_ns.map_or(Next::WhenNeeded, Next::At);
        }
        let now_ns = sockets.now_ns();
        let until_ns = match self.state.drain_until_ns {
            Some(until_ns) => until_ns,
            None => {
                let until_ns = after(now_ns, self.drain.within);
                self.state.drain_until_ns = Some(until_ns);
                sockets.stop_listening();
                polling::see_all_off(&mut self.host);
                self.answer_polls(sockets);
                sockets.for_each(|io, socket| self.see_off(io, socket));
                until_ns
            }
        };
        if self.host.polls.is_idle() && !self.state.idlers_left {
            self.state.idlers_left = true;
            sockets.for_each(|io, socket| self.see_off(io, socket));
        }
        if sockets.is_empty() || now_ns >= until_ns {
            // Clients that poll and have no connection would not come back.
            polling::end_all(&mut self.host);
            Next::Stop
        } else {
            Next::At(until_ns.min(after(now_ns, DRAIN_LOOK)))
        }
    }
}

impl GateService {
    /// Is the gate going down?
    pub(super) fn goes_down(&self) -> bool {
        self.state.drain_until_ns.is_some()
    }

    /// Tells the sessions the time of day. Between two readings of the wall clock it goes on with the shard's own.
    pub(super) fn read_clock(&mut self, now_ns: u64) {
        let age_ns = |wall: &WallClock| now_ns.saturating_sub(wall.read_at_ns);
        let fresh = self.state.wall.filter(|wall| age_ns(wall) < WALL_NS_MAX);
        let wall = fresh.unwrap_or_else(|| WallClock::read(now_ns));
        self.state.wall = Some(wall);
        self.host.unix_ns = wall.unix_ns.saturating_add(age_ns(&wall));
    }
}

/// A reading of the wall clock.
#[derive(Clone, Copy, Debug)]
struct WallClock {
    /// On the shard's clock.
    read_at_ns: u64,
    unix_ns: u64,
}

impl WallClock {
    fn read(now_ns: u64) -> Self {
        // A clock before 1970 is broken: every token with a time in it is then refused.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            read_at_ns: now_ns,
            unix_ns: since_1970.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
        }
    }
}

/// The instant `time` after `now_ns`.
pub(super) fn after(now_ns: u64, time: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn end_of(why: &Closed) -> End {
    match why {
        // What the gate closes itself is settled before; what is left was cut off by the end of a drain.
        Closed::Local => End::Shutdown,
        Closed::Peer => End::Gone,
        Closed::Reset => End::Reset,
        Closed::InputTooLong => End::TooLong,
        Closed::PeerTooSlow => End::TooSlow,
        Closed::MemoryPressure => End::Greediest,
        Closed::Tls(_) => End::Tls,
        Closed::Refused | Closed::Failed(_) => End::Failed,
    }
}
