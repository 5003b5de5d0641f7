//! The connections of one shard from accept to close: requests, then frames of a session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reactor::{Io, SocketId, Sockets};
use wire::frame::write_close;

use crate::gate::admission::Decision;
use crate::gate::config::Deadlines;
use crate::gate::polling::write_packets;
use crate::gate::request::{Connection, SessionOwner, Step};
use crate::gate::shared::GateShared;
use crate::gate::socket::{Destination, Socket};
use crate::gate::wall_clock::TimeOfDay;
use crate::gate::{answers, handshake};
use crate::metrics::{End, Limit, Outcome, Phase, Unanswered};
use crate::session::engineio::Probed;
use crate::session::half_open::HalfOpenList;
use crate::session::polling::Delivery;
use crate::session::{Reply, Session, Sessions, close_code};

/// The state that the connections of one shard share.
pub(super) struct Connections {
    pub(super) sessions: Sessions,
    shared: Arc<GateShared>,
    deadlines: Deadlines,
    time: TimeOfDay,
    /// Connections whose first request is not complete.
    half_open: HalfOpenList<u64>,
    /// WebSockets whose session is not connected yet, and probes.
    unconnected: HalfOpenList<u64>,
    is_draining: bool,
}

/// The result of [`Connections::request`].
pub(super) enum Progress {
    /// The request took this many bytes; 0: it is not complete.
    Used(usize),
    /// The frontend must look up the user of the session with this id.
    NeedsLookup(String),
    /// The connection must move to the shard of this number.
    Forward(u16),
}

impl Connections {
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

    /// The first state of an accepted connection.
    pub(super) fn accept(&mut self, io: &mut Io<'_>) -> Socket {
        self.half_open.add(io.id().to_bits());
        let until_ns = after(io.now_ns(), self.deadlines.head);
        io.set_deadline_ns(until_ns);
        Socket::Handshake { until_ns, seen_bytes: 0, served: false }
    }

    /// Starts a connection that another shard sent; its request must be complete at `until_ns`.
    pub(super) fn adopt(&mut self, sockets: &mut Sockets<'_, Socket>, id: SocketId, until_ns: u64, served: bool) {
        if !served {
            self.half_open.add(id.to_bits());
        }
        sockets.with(id, |io, _| io.set_deadline_ns(until_ns));
    }

    /// Answers an accepted connection that `limit` is reached, or returns `None` to close it without an answer.
    pub(super) fn reject(&mut self, io: &mut Io<'_>, decision: Decision, limit: Limit) -> Option<Socket> {
        let metrics = &self.sessions.host.metrics;
        metrics.handshake(Outcome::Full(limit));
        if decision == Decision::Dropped {
            metrics.connections_closed.add(1);
            return None;
        }
        if io.is_tls() {
            // The answer follows the TLS handshake, in `secured`.
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

    /// Handles the request at the front of `input`; `owner` is the result of its session lookup, if there was one.
    pub(super) fn request(
        &mut self,
        io: &mut Io<'_>,
        socket: &mut Socket,
        input: &[u8],
        owner: Option<SessionOwner<'_>>,
    ) -> Progress {
        let now_ns = io.now_ns();
        let (by_ns, seen, served) = match *socket {
            Socket::Posting { until_ns, ref mut posting } => match posting.is_incomplete(input) {
                true => return Progress::Used(0),
                false => (until_ns, 0, true),
            },
            // The deadline of the next request on this connection starts with its first bytes.
            Socket::Handshake { seen_bytes: 0, served: true, .. } => (after(now_ns, self.deadlines.head), 0, true),
            Socket::Handshake { until_ns, seen_bytes, served } => (until_ns, seen_bytes as usize, served),
            _ => return Progress::Used(0),
        };
        let connect_by_ns = after(now_ns, self.deadlines.connect);
        let connection = Connection { number: io.id().to_bits(), seen_bytes: seen, connect_by_ns, owner };
        let step = self.take_request(io, input, connection);
        if !served && !matches!(step, Step::Incomplete | Step::NeedsLookup(_)) {
            self.half_open.done();
        }
        match step {
            Step::Incomplete => {
                if served && seen == 0 {
                    io.set_deadline_ns(by_ns);
                }
                // A head fits a u32: a longer one is refused.
                *socket = Socket::Handshake { until_ns: by_ns, seen_bytes: input.len() as u32, served };
                Progress::Used(0)
            }
            Step::NeedsLookup(session) => {
                io.set_deadline_ns(by_ns);
                *socket = Socket::AwaitingLookup { until_ns: by_ns, served };
                Progress::NeedsLookup(session)
            }
            Step::Forward(shard) => {
                *socket = Socket::Forwarding(Destination { shard, until_ns: by_ns, served });
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
            step => Progress::Used(self.enter_state(io, socket, step)),
        }
    }

    /// Handles the request at the front of `input`, and times one verdict in [`TIMED_EVERY`](crate::metrics::TIMED_EVERY).
    fn take_request(&mut self, io: &mut Io<'_>, input: &[u8], connection: Connection<'_>) -> Step {
        let host = &self.sessions.host;
        let verdicts = host.verdicts();
        let started = host.times_next_verdict().then(Instant::now);
        let shared = &self.shared;
        let (step, _) = answer(&mut self.sessions, io, |sessions, reply| {
            handshake::take(input, connection, shared, sessions, reply)
        });
        let host = &self.sessions.host;
        if let Some(started) = started
            && host.verdicts() > verdicts
        {
            host.metrics.gate_time.observe(started.elapsed());
        }
        step
    }

    /// Puts the connection into its state after a request; returns the bytes of the request.
    fn enter_state(&mut self, io: &mut Io<'_>, socket: &mut Socket, step: Step) -> usize {
        match step {
            Step::Served(used) => {
                self.await_request(io, socket);
                used
            }
            Step::PollWaits(used, key) => {
                // The session's heartbeat limits the wait.
                io.clear_deadline();
                *socket = Socket::WaitingPoll(key);
                used
            }
            Step::Probing(used, probe) => {
                io.set_deadline_ns(after(io.now_ns(), self.deadlines.upgrade));
                self.unconnected.add(io.id().to_bits());
                *socket = Socket::Probing(probe);
                used
            }
            Step::Opened(used, session) => {
                if !session.is_settled() {
                    self.unconnected.add(io.id().to_bits());
                }
                *socket = Socket::Session(session);
                used
            }
            Step::Incomplete | Step::Posting(_) | Step::NeedsLookup(_) | Step::Answered | Step::Forward(_) => 0,
        }
    }

    /// Waits for the next request on a connection, for as long as a polling client may be silent.
    pub(super) fn await_request(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        let settings = &self.sessions.host.settings;
        let until_ns = after(io.now_ns(), settings.ping_interval + settings.ping_timeout);
        io.set_deadline_ns(until_ns);
        *socket = Socket::Handshake { until_ns, seen_bytes: 0, served: true };
        self.close_if_draining(io, socket);
    }

    /// Handles the frames of a probe, then of a session; returns how many bytes they have.
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
            let was_settled = session.is_settled();
            let (taken, end) = answer(&mut self.sessions, io, |sessions, reply| {
                session.received(&mut input[used..], &mut sessions.host, reply)
            });
            used += taken;
            io.set_kept_bytes(session.kept_bytes());
            if !was_settled && session.is_settled() {
                self.unconnected.done();
            }
            self.end(io, socket, end);
        }
        used
    }

    /// Handles the frames of a probe; returns how many bytes they have. After the upgrade, `socket` holds the session.
    fn probe(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        let Socket::Probing(probe) = socket else {
            return 0;
        };
        let ((used, probed), end) =
            answer(&mut self.sessions, io, |sessions, reply| probe.received(input, sessions, reply));
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
            // Between two requests the client expects no answer.
            Socket::Handshake { seen_bytes: 0, served: true, .. } => Some(End::HandshakeTimeout),
            Socket::Handshake { .. } | Socket::Posting { .. } => {
                answer(&mut self.sessions, io, |_, reply| answers::request_timeout(reply.out));
                Some(End::HandshakeTimeout)
            }
            Socket::AwaitingLookup { .. } => return self.reject_unanswered(io, socket, Unanswered::Time),
            Socket::Probing(_) => Some(End::HandshakeTimeout),
            Socket::Session(session) => {
                answer(&mut self.sessions, io, |sessions, reply| session.deadline(&mut sessions.host, reply)).1
            }
            // The TLS handshake is not complete.
            Socket::Rejected => {
                io.close();
                None
            }
            Socket::WaitingPoll(_) | Socket::Forwarding(_) | Socket::Relay(_) | Socket::Ended => None,
        };
        self.end(io, socket, end);
    }

    /// Answers 503 to a connection whose session lookup failed, and closes it. The client may retry.
    pub(super) fn reject_unanswered(&mut self, io: &mut Io<'_>, socket: &mut Socket, why: Unanswered) {
        if let Socket::AwaitingLookup { served: false, .. } = std::mem::replace(socket, Socket::Ended) {
            self.half_open.done();
        }
        self.sessions.host.metrics.handshake(Outcome::Unanswered(why));
        self.answer_and_finish(io, answers::lookup_failed);
    }

    /// Answers 503 to a connection that cannot be relayed to its session's process, and closes it.
    pub(super) fn reject_relay(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        self.sessions.host.metrics.handshake(Outcome::Full(Limit::Connections));
        *socket = Socket::Ended;
        self.answer_and_finish(io, answers::full);
    }

    /// Closes the oldest connections without a complete handshake while there are more than the limit allows.
    pub(super) fn end_surplus(&mut self, sockets: &mut Sockets<'_, Socket>) {
        while let Some(connection) = self.half_open.pop_surplus() {
            sockets.with(SocketId::from_bits(connection), |io, socket| {
                if socket.is_half_open() {
                    answer(&mut self.sessions, io, |_, reply| match socket {
                        // The lookup is slow, not the client.
                        Socket::AwaitingLookup { .. } => answers::lookup_failed(reply.out),
                        _ => answers::request_timeout(reply.out),
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

    /// Calls the polling sessions whose deadline has passed.
    pub(super) fn run_due_polls(&mut self, sockets: &Sockets<'_, Socket>) {
        // Without a polling session the clock is not read.
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
            sockets.with(SocketId::from_bits(probe), |io, socket| self.end(io, socket, Some(End::Gone)));
        }
    }

    /// Answers a poll that waits on this connection.
    pub(super) fn answer_poll(&mut self, io: &mut Io<'_>, socket: &mut Socket, delivery: &Delivery) {
        let Delivery { to, packets } = delivery;
        answer(&mut self.sessions, io, |_, reply| write_packets(reply.out, packets, to, &self.shared));
        self.await_request(io, socket);
        if !to.keep_alive {
            self.end(io, socket, Some(End::Client));
        }
    }

    /// Sets the gauges to the current values.
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

    /// Starts the drain: from now on sessions and idle connections are closed.
    pub(super) fn begin_drain(&mut self) {
        self.is_draining = true;
        self.sessions.begin_drain();
    }

    /// While the gate drains: closes a session with 1001, and an idle connection once no session polls. Handshakes under
    /// way may complete first, and polls may be answered first, because the answer carries the close packet.
    #[inline]
    pub(super) fn close_if_draining(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        if !self.is_draining {
            return;
        }
        match socket {
            Socket::Session(session) if session.is_settled() => {
                let (_, end) = answer(&mut self.sessions, io, |_, reply| session.shut_down(reply));
                self.end(io, socket, end);
            }
            Socket::Handshake { served: true, seen_bytes: 0, .. } if self.sessions.polls.is_idle() => {
                self.end(io, socket, Some(End::Shutdown))
            }
            _ => {}
        }
    }

    /// Where there is an `end`, counts it and closes the socket after the bytes that were written.
    fn end(&mut self, io: &mut Io<'_>, socket: &mut Socket, end: Option<End>) {
        if let Some(end) = end {
            self.count_end(io.id(), socket, end);
            io.finish();
        }
    }

    /// Counts the outcome of a socket, once.
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
                sessions.connection_lost(posting.key, connection);
            }
            Socket::WaitingPoll(key) => {
                sessions.host.metrics.handshake(Outcome::Polled);
                sessions.connection_lost(key, connection);
            }
            Socket::Probing(probe) => probe.ended(end, sessions),
            Socket::Session(session) => session.ended(end, sessions),
            Socket::Forwarding(_) => sessions.host.metrics.handshake(Outcome::Abandoned),
            Socket::Relay(_) | Socket::Ended => {}
            Socket::Rejected => *socket = Socket::Rejected,
        }
    }

    /// Writes an answer and closes after it.
    pub(super) fn answer_and_finish(&mut self, io: &mut Io<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        answer(&mut self.sessions, io, |_, reply| write(reply.out));
        io.finish();
    }
}

/// The instant `time` after `now_ns`.
pub(super) fn after(now_ns: u64, time: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Calls `act` with a reply to fill, sets the deadline that the reply asks for, and returns the reply's end. The socket is
/// closed here only when the closing handshake is complete.
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
    sockets.with(SocketId::from_bits(connection), |_, socket| is_match = matches(socket));
    is_match
}
