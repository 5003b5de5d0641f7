//! The connections of one shard: their requests, the sessions they become, their ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reactor::{Io, SocketId, Sockets};
use wire::frame::write_close;

use crate::gate::admission::Place;
use crate::gate::config::Deadlines;
use crate::gate::polling::write_packets;
use crate::gate::request::{Connection, SessionOwner, Step};
use crate::gate::shared::GateShared;
use crate::gate::socket::{Leaving, Socket};
use crate::gate::wall_clock::TimeOfDay;
use crate::gate::{answers, handshake};
use crate::metrics::{End, Limit, Outcome, Phase, Unanswered};
use crate::session::engineio::Probed;
use crate::session::half_open::HalfOpenList;
use crate::session::polling::Delivery;
use crate::session::{Reply, Session, Sessions, close_code};

/// The connections of one shard, with what their sessions share.
pub(super) struct Connections {
    pub(super) sessions: Sessions,
    shared: Arc<GateShared>,
    deadlines: Deadlines,
    time: TimeOfDay,
    /// Connections whose first request is not complete.
    half_open: HalfOpenList<u64>,
    /// WebSockets whose session is not connected yet, or still to move there.
    unconnected: HalfOpenList<u64>,
    is_draining: bool,
}

/// What became of one request.
pub(super) enum Progress {
    /// So many bytes were used; 0: it is not complete.
    Used(usize),
    /// The frontend must be asked for the user of this session.
    NeedsLookup(String),
    /// The connection is to move to the shard of this number.
    Forward(u16),
}

impl Connections {
    /// No connections yet, of which at most `half_open_max` may be half-open.
    pub(super) fn new(
        sessions: Sessions,
        shared: Arc<GateShared>,
        deadlines: Deadlines,
        time: TimeOfDay,
        half_open_max: usize,
    ) -> Self {
        Self {
            sessions,
            shared,
            deadlines,
            time,
            half_open: HalfOpenList::new(half_open_max),
            unconnected: HalfOpenList::new(half_open_max),
            is_draining: false,
        }
    }

    /// Takes a connection that was just accepted.
    pub(super) fn accept(&mut self, io: &mut Io<'_>) -> Socket {
        self.half_open.add(io.id().to_bits());
        let until_ns = after(io.now_ns(), self.deadlines.head);
        io.set_deadline_ns(until_ns);
        Socket::Handshake { until_ns, seen_bytes: 0, served: false }
    }

    /// Takes a connection that another shard sent here; its request must be complete at `until_ns`.
    pub(super) fn adopt(&mut self, sockets: &mut Sockets<'_, Socket>, id: SocketId, until_ns: u64, served: bool) {
        if !served {
            self.half_open.add(id.to_bits());
        }
        sockets.with(id, |io, _| io.set_deadline_ns(until_ns));
    }

    /// Answers a connection that was just accepted that the gate is full, if `place` allows.
    pub(super) fn reject(&mut self, io: &mut Io<'_>, place: Place, limit: Limit) -> Option<Socket> {
        let metrics = &self.sessions.host.metrics;
        metrics.handshake(Outcome::Full(limit));
        if place == Place::Dropped {
            metrics.connections_closed.add(1);
            return None;
        }
        if io.is_tls() {
            // The answer follows the TLS handshake; few connections are rejected at the same time.
            io.set_deadline_ns(after(io.now_ns(), self.deadlines.head));
        } else {
            self.answer_and_finish(io, answers::full);
        }
        Some(Socket::Rejected)
    }

    /// The TLS handshake is complete.
    pub(super) fn secured(&mut self, io: &mut Io<'_>, socket: &Socket, resumed: bool) {
        self.sessions.host.metrics.secured(resumed);
        if let Socket::Rejected = socket {
            self.answer_and_finish(io, answers::full);
        }
    }

    /// Passes the time of day to the sessions.
    #[inline]
    pub(super) fn read_clock(&mut self, now_ns: u64) {
        self.sessions.host.unix_ns = self.time.unix_ns(now_ns);
    }

    /// Takes one request; `owner` is the frontend's answer about its session, if it was asked.
    pub(super) fn request(
        &mut self,
        io: &mut Io<'_>,
        socket: &mut Socket,
        input: &[u8],
        owner: Option<SessionOwner<'_>>,
    ) -> Progress {
        let now_ns = io.now_ns();
        let (by_ns, seen, served) = match *socket {
            Socket::Posting { until_ns, ref mut posting } => match posting.is_coming(input) {
                true => return Progress::Used(0),
                false => (until_ns, 0, true),
            },
            // The next request of a connection that waited for one has its own time.
            Socket::Handshake { seen_bytes: 0, served: true, .. } => (after(now_ns, self.deadlines.head), 0, true),
            Socket::Handshake { until_ns, seen_bytes, served } => (until_ns, seen_bytes as usize, served),
            _ => return Progress::Used(0),
        };
        let connect_by_ns = after(now_ns, self.deadlines.connect);
        let connection = Connection { number: io.id().to_bits(), seen_bytes: seen, connect_by_ns, owner };
        let step = self.take_request(io, input, connection);
        if !served && !matches!(step, Step::More | Step::NeedsLookup { .. }) {
            self.half_open.done();
        }
        match step {
            Step::More => {
                if served && seen == 0 {
                    io.set_deadline_ns(by_ns);
                }
                // Below the limit on heads, or it would have been answered.
                let seen_bytes = input.len() as u32;
                *socket = Socket::Handshake { until_ns: by_ns, seen_bytes, served };
                Progress::Used(0)
            }
            Step::NeedsLookup { session } => {
                io.set_deadline_ns(by_ns);
                *socket = Socket::AwaitingLookup { until_ns: by_ns, served };
                Progress::NeedsLookup(session)
            }
            Step::Forward { shard } => {
                *socket = Socket::Leaving(Leaving { shard, until_ns: by_ns, served });
                Progress::Forward(shard)
            }
            Step::Posting(posting) => {
                io.set_deadline_ns(by_ns);
                *socket = Socket::Posting { until_ns: by_ns, posting };
                Progress::Used(0)
            }
            Step::Answered => {
                *socket = Socket::Ended;
                io.finish();
                Progress::Used(input.len())
            }
            step => Progress::Used(self.follow(io, socket, step)),
        }
    }

    /// Takes the request at the front of `input`, and times one in so many.
    fn take_request(&mut self, io: &mut Io<'_>, input: &[u8], connection: Connection<'_>) -> Step {
        let host = &self.sessions.host;
        let verdicts = host.verdicts();
        let started = host.times_next_verdict().then(Instant::now);
        let shared = &self.shared;
        let take = |sessions: &mut Sessions, reply: &mut Reply<'_>| {
            handshake::take(input, connection, shared, sessions, reply)
        };
        let step = answer(&mut self.sessions, io, take).0;
        let host = &self.sessions.host;
        if let Some(started) = started
            && host.verdicts() > verdicts
        {
            host.metrics.gate_time.observe(started.elapsed());
        }
        step
    }

    /// The connection goes on after its request; returns the bytes of the request.
    fn follow(&mut self, io: &mut Io<'_>, socket: &mut Socket, step: Step) -> usize {
        match step {
            Step::Served { used } => {
                self.await_request(io, socket);
                used
            }
            Step::Waits { used, key } => {
                // The session's heartbeat bounds the wait.
                io.clear_deadline();
                *socket = Socket::Waiting(key);
                used
            }
            Step::Probing { used, probe } => {
                io.set_deadline_ns(after(io.now_ns(), self.deadlines.upgrade));
                self.unconnected.add(io.id().to_bits());
                *socket = Socket::Probing(probe);
                used
            }
            Step::Opened { used, session } => {
                if !session.is_settled() {
                    self.unconnected.add(io.id().to_bits());
                }
                *socket = Socket::Session(session);
                used
            }
            Step::More | Step::Posting(_) | Step::NeedsLookup { .. } | Step::Answered | Step::Forward { .. } => 0,
        }
    }

    /// A connection whose request was answered waits for the next one, as long as a client that polls may be silent.
    pub(super) fn await_request(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        let settings = &self.sessions.host.settings;
        let idle = settings.ping_interval + settings.ping_timeout;
        let until_ns = after(io.now_ns(), idle);
        io.set_deadline_ns(until_ns);
        *socket = Socket::Handshake { until_ns, seen_bytes: 0, served: true };
        self.close_if_draining(io, socket);
    }

    /// Takes the frames of a probe, then of a session; returns how many bytes they were.
    pub(super) fn frames(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        let mut used = 0;
        if let Socket::Probing(_) = socket
            && !input.is_empty()
        {
            used = self.probe(io, socket, input);
        }
        if let Socket::Session(session) = socket
            && used < input.len()
        {
            let rest = &mut input[used..];
            let was_settled = session.is_settled();
            let received =
                |sessions: &mut Sessions, reply: &mut Reply<'_>| session.received(rest, &mut sessions.host, reply);
            let (taken, end) = answer(&mut self.sessions, io, received);
            used += taken;
            io.set_kept_bytes(session.kept_bytes());
            if !was_settled && session.is_settled() {
                self.unconnected.done();
            }
            self.end(io, socket, end);
        }
        used
    }

    /// Takes the frames of a probe; returns how many bytes they were. Its session may be in `socket` afterwards.
    fn probe(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        let Socket::Probing(probe) = socket else {
            return 0;
        };
        let received = |sessions: &mut Sessions, reply: &mut Reply<'_>| probe.received(input, sessions, reply);
        let ((used, probed), end) = answer(&mut self.sessions, io, received);
        io.set_kept_bytes(probe.kept_bytes());
        if let Probed::Upgraded(session) = probed {
            io.set_kept_bytes(0);
            if session.is_settled() {
                self.unconnected.done();
            }
            *socket = Socket::Session(Session::EngineIo(Box::new(session)));
        }
        self.end(io, socket, end);
        used
    }

    /// The socket's deadline has passed.
    pub(super) fn deadline(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        let end = match socket {
            // Between two requests nobody waits for an answer.
            Socket::Handshake { seen_bytes: 0, served: true, .. } => Some(End::HandshakeTimeout),
            Socket::Handshake { .. } | Socket::Posting { .. } => {
                answer(&mut self.sessions, io, |_, reply| answers::too_slow(reply.out));
                Some(End::HandshakeTimeout)
            }
            Socket::AwaitingLookup { .. } => return self.reject_unanswered(io, socket, Unanswered::Time),
            Socket::Probing(_) => Some(End::HandshakeTimeout),
            Socket::Session(session) => {
                let due = |sessions: &mut Sessions, reply: &mut Reply<'_>| session.deadline(&mut sessions.host, reply);
                answer(&mut self.sessions, io, due).1
            }
            // Its TLS handshake is not complete.
            Socket::Rejected => {
                io.close();
                None
            }
            Socket::Waiting(_) | Socket::Leaving(_) | Socket::Relay(_) | Socket::Ended => None,
        };
        self.end(io, socket, end);
    }

    /// Ends a connection whose session was not looked up: 503, and the client may come again.
    pub(super) fn reject_unanswered(&mut self, io: &mut Io<'_>, socket: &mut Socket, why: Unanswered) {
        if let Socket::AwaitingLookup { served: false, .. } = std::mem::replace(socket, Socket::Ended) {
            self.half_open.done();
        }
        self.sessions.host.metrics.handshake(Outcome::Unanswered(why));
        self.answer_and_finish(io, answers::unanswered);
    }

    /// Ends a connection that can neither move nor be relayed to the process that owns its session.
    pub(super) fn reject_relay(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        self.sessions.host.metrics.handshake(Outcome::Full(Limit::Connections));
        *socket = Socket::Ended;
        self.answer_and_finish(io, answers::full);
    }

    /// Ends the oldest connections without a complete handshake while there are too many.
    pub(super) fn end_surplus(&mut self, sockets: &mut Sockets<'_, Socket>) {
        while let Some(connection) = self.half_open.pop_surplus() {
            sockets.with(SocketId::from_bits(connection), |io, socket| {
                if socket.is_half_open() {
                    answer(&mut self.sessions, io, |_, reply| match socket {
                        // The client is not slow: its lookup is.
                        Socket::AwaitingLookup { .. } => answers::unanswered(reply.out),
                        _ => answers::too_slow(reply.out),
                    });
                    self.end(io, socket, Some(End::Evicted));
                }
            });
        }
        self.half_open.prune(|&connection| matches_state(sockets, connection, Socket::is_half_open));
        while let Some(connection) = self.unconnected.pop_surplus() {
            sockets.with(SocketId::from_bits(connection), |io, socket| {
                if socket.is_unconnected() {
                    answer(&mut self.sessions, io, |_, reply| {
                        let reason = "too many are not connected";
                        write_close(reply.out, close_code::TRY_AGAIN_LATER, reason, None);
                    });
                    self.end(io, socket, Some(End::Evicted));
                }
            });
        }
        self.unconnected.prune(|&connection| matches_state(sockets, connection, Socket::is_unconnected));
    }

    /// Calls the polling sessions that are due.
    pub(super) fn run_due_polls(&mut self, sockets: &Sockets<'_, Socket>) {
        // The time is read only where a session polls.
        if let Some(due_ns) = self.sessions.polls.next_due_ns() {
            let now_ns = sockets.now_ns();
            if due_ns <= now_ns {
                self.read_clock(now_ns);
                self.sessions.run_due(now_ns);
            }
        }
    }

    /// Closes the probes of polling sessions that have ended.
    pub(super) fn close_probes(&mut self, sockets: &mut Sockets<'_, Socket>) {
        for probe in self.sessions.polls.probes_to_close() {
            sockets.with(SocketId::from_bits(probe), |io, socket| {
                self.end(io, socket, Some(End::Gone));
            });
        }
    }

    /// Answers a poll that waits on this connection.
    pub(super) fn answer_poll(&mut self, io: &mut Io<'_>, socket: &mut Socket, delivery: &Delivery) {
        let Delivery { to, packets } = delivery;
        let shared = &self.shared;
        answer(&mut self.sessions, io, |_, reply: &mut Reply<'_>| {
            write_packets(reply.out, packets, to, shared);
        });
        self.await_request(io, socket);
        if !to.keep_alive {
            self.end(io, socket, Some(End::Client));
        }
    }

    /// Sets the gauges to their values now.
    pub(super) fn set_gauges(&self, sockets: &Sockets<'_, Socket>) {
        let metrics = &self.sessions.host.metrics;
        let polls = &self.sessions.polls;
        for (gauge, count) in [
            (&metrics.connections_buffered, sockets.buffered()),
            (&metrics.connections_half_open, self.half_open.count()),
            (&metrics.connections_unconnected, self.unconnected.count()),
            (&metrics.sessions_polling, polls.count()),
            (&metrics.buffered_bytes, sockets.held_bytes()),
            (&metrics.unpolled_bytes, polls.held_bytes()),
        ] {
            gauge.set(count as u64);
        }
    }

    /// The gate drains: from now on sessions and idle connections are closed.
    pub(super) fn begin_drain(&mut self) {
        self.is_draining = true;
        self.sessions.begin_drain();
    }

    /// While the gate drains: closes a session with 1001, and a connection that waits for no session that polls.
    /// Handshakes under way may end first, so that no authenticated client is refused; and so may polls, whose
    /// connections carry the close.
    #[inline]
    pub(super) fn close_if_draining(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        if !self.is_draining {
            return;
        }
        match socket {
            Socket::Session(session) if session.is_settled() => {
                let shut_down = |_: &mut Sessions, reply: &mut Reply<'_>| session.shut_down(reply);
                let (_, end) = answer(&mut self.sessions, io, shut_down);
                self.end(io, socket, end);
            }
            Socket::Handshake { served: true, seen_bytes: 0, .. } if self.sessions.polls.is_idle() => {
                self.end(io, socket, Some(End::Shutdown))
            }
            _ => {}
        }
    }

    /// Ends a socket, if there is an end: counts it and closes it behind what was written.
    fn end(&mut self, io: &mut Io<'_>, socket: &mut Socket, end: Option<End>) {
        if let Some(end) = end {
            self.count_end(io.id(), socket, end);
            io.finish();
        }
    }

    /// Counts, once, what became of a socket.
    pub(super) fn count_end(&mut self, id: SocketId, socket: &mut Socket, end: End) {
        let connection = id.to_bits();
        if socket.is_unconnected() {
            self.unconnected.done();
        }
        let sessions = &mut self.sessions;
        match std::mem::replace(socket, Socket::Ended) {
            Socket::Handshake { served: true, .. } | Socket::AwaitingLookup { served: true, .. } => {
                sessions.host.metrics.handshake(Outcome::Polled);
            }
            Socket::Handshake { .. } | Socket::AwaitingLookup { .. } => {
                self.half_open.done();
                sessions.host.metrics.handshake(Outcome::without_verdict(end, Phase::Head));
            }
            Socket::Posting { posting, .. } => {
                sessions.host.metrics.handshake(Outcome::Polled);
                sessions.connection_lost(posting.key(), connection);
            }
            Socket::Waiting(key) => {
                sessions.host.metrics.handshake(Outcome::Polled);
                sessions.connection_lost(key, connection);
            }
            Socket::Probing(probe) => probe.ended(end, sessions),
            Socket::Session(session) => session.ended(end, sessions),
            Socket::Leaving(_) => sessions.host.metrics.handshake(Outcome::Abandoned),
            Socket::Relay(_) | Socket::Ended => {}
            Socket::Rejected => *socket = Socket::Rejected,
        }
    }

    /// Writes an answer and closes behind it.
    pub(super) fn answer_and_finish(&mut self, io: &mut Io<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        answer(&mut self.sessions, io, |_, reply| write(reply.out));
        io.finish();
    }
}

/// The instant `time` after `now_ns`.
pub(super) fn after(now_ns: u64, time: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Lets a state machine answer and carries its deadline out; returns its end to the caller. Only a closing handshake
/// that is complete closes here.
fn answer<T>(
    sessions: &mut Sessions,
    io: &mut Io<'_>,
    act: impl FnOnce(&mut Sessions, &mut Reply<'_>) -> T,
) -> (T, Option<End>) {
    let now_ns = io.now_ns();
    let out = io.out();
    let before_bytes = out.len();
    let mut reply = Reply::new(out, now_ns);
    let answered = act(sessions, &mut reply);
    let (deadline_ns, end, is_close_answered) = (reply.deadline_ns, reply.end, reply.is_close_answered);
    let sent_bytes = io.out().len() - before_bytes;
    sessions.host.metrics.bytes_sent.add(sent_bytes as u64);
    if let Some(deadline_ns) = deadline_ns {
        io.set_deadline_ns(deadline_ns);
    }
    if is_close_answered {
        io.close();
    }
    (answered, end)
}

fn matches_state(sockets: &mut Sockets<'_, Socket>, connection: u64, matches: fn(&Socket) -> bool) -> bool {
    let mut is_match = false;
    sockets.with(SocketId::from_bits(connection), |_, socket| {
        is_match = matches(socket);
    });
    is_match
}
