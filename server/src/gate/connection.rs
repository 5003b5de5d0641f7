//! One connection of a shard: its requests, the session it becomes, its end.

use std::time::Instant;

use reactor::{Io, SocketId};

use crate::gate::{
    admission::Place,
    answers,
    courier::{PARENT, Parcel},
    handshake::{self, Connection, Posting, Step},
    mailbox::{Moved, Way},
    service::{GateService, after},
    turn::is_unconnected,
};
use crate::{
    metrics::{Outcome, Phase, Unanswered},
    session::{
        End, Host, Reply, Session,
        engineio::{Probe, Probed},
        polling::{self, Key},
    },
};

/// What is kept for a socket.
#[derive(Debug)]
pub(super) enum Socket {
    /// Its request is still coming.
    Handshake {
        /// When its request must be there.
        until_ns: u64,
        /// Bytes of the head that were looked at.
        seen_bytes: u32,
        /// It had requests answered before.
        served: bool,
    },
    /// Its request is here, and the frontend is asked whose the session is that it names.
    Asking {
        /// When it must be answered.
        until_ns: u64,
        /// As in `Handshake`.
        served: bool,
    },
    /// The body of a polling session's POST is still coming.
    Posting {
        /// When it must be there.
        until_ns: u64,
        /// What is known of it.
        posting: Box<Posting>,
    },
    /// A poll, to be answered when its session has something to say.
    Waiting(Key),
    /// A WebSocket that may take a polling session over.
    Probing(Box<Probe>),
    /// It was let in, or is about to be.
    Session(Session),
    /// It leaves for the shard that has the session it asks for.
    Leaving {
        /// That shard's number.
        shard: u16,
        /// As in `Handshake`.
        until_ns: u64,
        /// As in `Handshake`.
        served: bool,
    },
    /// What comes out of it goes into another of the shard's sockets, named here.
    Relay(u64),
    /// Its fate is counted; it is being closed.
    Ended,
    /// There was no place for it; it is being closed.
    TurnedAway,
}

impl GateService {
    /// Takes the requests at the front of `input`; answers how many bytes it used. A session may stand in `socket`
    /// afterwards.
    pub(super) fn requests(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &[u8]) -> usize {
        let mut used = 0;
        while let Socket::Handshake { .. } | Socket::Posting { .. } = socket
            && used < input.len()
        {
            match self.request(io, socket, &input[used..]) {
                0 => break,
                bytes => used += bytes,
            }
        }
        used
    }

    /// Takes one request; answers how many bytes it was, 0 while it is not whole.
    fn request(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &[u8]) -> usize {
        let now_ns = io.now_ns();
        let fresh_ns = after(now_ns, self.deadlines.head);
        let (by_ns, seen, served) = match *socket {
            Socket::Posting { until_ns, ref mut posting } => match posting.is_coming(input) {
                true => return 0,
                false => (until_ns, 0, true),
            },
            // The next request of a connection that was waiting for one has its own time.
            Socket::Handshake { seen_bytes: 0, served: true, .. } => (fresh_ns, 0, true),
            Socket::Handshake { until_ns, seen_bytes, served } => (until_ns, seen_bytes as usize, served),
            _ => return 0,
        };
        let connection = Connection {
            number: io.id().to_bits(),
            seen_bytes: seen,
            connect_by_ns: after(now_ns, self.deadlines.connect),
        };
        let site = &self.site;
        let take = |host: &mut Host, reply: &mut Reply<'_>| handshake::take(input, connection, site, host, reply);
        let verdicts = self.host.verdicts();
        let started = self.host.times_next_verdict().then(Instant::now);
        let step = answer(&mut self.host, io, take).0;
        if let Some(started) = started
            && self.host.verdicts() > verdicts
        {
            self.host.metrics.gate_time.observe(started.elapsed());
        }
        if !served && !matches!(step, Step::More | Step::Asks { .. }) {
            self.half_open.done();
        }
        match step {
            Step::More => {
                if served && seen == 0 {
                    io.set_deadline_ns(by_ns);
                }
                *socket = Socket::Handshake {
                    until_ns: by_ns,
                    // Below the limit on heads, or it would have been answered.
                    seen_bytes: input.len() as u32,
                    served,
                };
                0
            }
            Step::Posting(posting) => {
                io.set_deadline_ns(by_ns);
                *socket = Socket::Posting { until_ns: by_ns, posting };
                0
            }
            Step::Asks { session } => match self.ask(io, socket, session, by_ns, served) {
                true => 0,
                false => input.len(),
            },
            Step::Answered => {
                *socket = Socket::Ended;
                io.finish();
                input.len()
            }
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
            Step::Elsewhere { shard } => {
                *socket = Socket::Leaving { shard, until_ns: by_ns, served };
                self.leave_for(io, shard, input.len());
                0
            }
            Step::Probing { used, probe } => {
                io.set_deadline_ns(after(now_ns, self.deadlines.upgrade));
                self.unconnected.add(connection.number);
                *socket = Socket::Probing(probe);
                used
            }
            Step::Opened { used, session } => {
                if !session.is_settled() {
                    self.unconnected.add(connection.number);
                }
                *socket = Socket::Session(session);
                used
            }
        }
    }

    /// A connection whose request was answered waits for the next one, as long as a client that polls may be silent.
    pub(super) fn await_request(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        let settings = &self.host.settings;
        let idle = settings.ping_interval + settings.ping_timeout;
        let until_ns = after(io.now_ns(), idle);
        io.set_deadline_ns(until_ns);
        *socket = Socket::Handshake { until_ns, seen_bytes: 0, served: true };
        if self.goes_down() {
            self.see_off(io, socket);
        }
    }

    /// Takes the frames of a probe; answers how many bytes they were. The session it was for may stand in `socket`
    /// afterwards.
    pub(super) fn probe(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        let Socket::Probing(probe) = socket else {
            return 0;
        };
        let received = |host: &mut Host, reply: &mut Reply<'_>| probe.received(input, host, reply);
        let ((used, probed), end) = answer(&mut self.host, io, received);
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

    /// The socket's time is over.
    pub(super) fn overdue(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        let end = match socket {
            // Between two requests there is nobody to tell.
            Socket::Handshake { seen_bytes: 0, served: true, .. } => Some(End::HandshakeTimeout),
            Socket::Handshake { .. } | Socket::Posting { .. } => {
                answer(&mut self.host, io, |_, reply| answers::too_slow(reply.out));
                Some(End::HandshakeTimeout)
            }
            Socket::Asking { .. } => {
                return self.leave_unanswered(io, socket, Unanswered::Time);
            }
            Socket::Probing(_) => Some(End::HandshakeTimeout),
            Socket::Session(session) => {
                let due = |host: &mut Host, reply: &mut Reply<'_>| session.deadline(host, reply);
                answer(&mut self.host, io, due).1
            }
            // It has not brought its TLS to an end.
            Socket::TurnedAway => {
                io.close();
                None
            }
            Socket::Waiting(_) | Socket::Leaving { .. } | Socket::Relay(_) | Socket::Ended => None,
        };
        self.end(io, socket, end);
    }

    /// The gate goes down: a session says so. Handshakes under way may end first, so that nobody who was let in is
    /// turned away at the door; and so may polls, on whose connections clients are told.
    pub(super) fn see_off(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        match socket {
            Socket::Session(session) if session.is_settled() => {
                let shut_down = |_: &mut Host, reply: &mut Reply<'_>| session.shut_down(reply);
                let (_, end) = answer(&mut self.host, io, shut_down);
                self.end(io, socket, end);
            }
            Socket::Handshake { served: true, seen_bytes: 0, .. } if self.host.polls.is_idle() => {
                self.end(io, socket, Some(End::Shutdown))
            }
            _ => {}
        }
    }

    /// Ends a socket, if there is an end: counts it and closes it behind what was written.
    pub(super) fn end(&mut self, io: &mut Io<'_>, socket: &mut Socket, end: Option<End>) {
        if let Some(end) = end {
            self.settle(io.id(), socket, end);
            io.finish();
        }
    }

    /// Counts, once, what became of a socket.
    pub(super) fn settle(&mut self, id: SocketId, socket: &mut Socket, end: End) {
        let connection = id.to_bits();
        if is_unconnected(socket) {
            self.unconnected.done();
        }
        let metrics = &self.host.metrics;
        match std::mem::replace(socket, Socket::Ended) {
            Socket::Handshake { served: true, .. } | Socket::Asking { served: true, .. } => {
                metrics.handshake(Outcome::Polled);
            }
            Socket::Handshake { .. } | Socket::Asking { .. } => {
                self.half_open.done();
                metrics.handshake(Outcome::without_verdict(end, Phase::Head));
            }
            Socket::Posting { posting, .. } => {
                metrics.handshake(Outcome::Polled);
                polling::lost(posting.key(), connection, &mut self.host);
            }
            Socket::Waiting(key) => {
                metrics.handshake(Outcome::Polled);
                polling::lost(key, connection, &mut self.host);
            }
            Socket::Probing(probe) => probe.ended(end, &mut self.host),
            Socket::Session(session) => session.ended(end, &mut self.host),
            Socket::Leaving { .. } => metrics.handshake(Outcome::Abandoned),
            Socket::Relay(_) | Socket::Ended => {}
            Socket::TurnedAway => *socket = Socket::TurnedAway,
        }
    }

    /// Brings a connection that leaves to the shard it is for.
    pub(super) fn send_on(&mut self, now_ns: u64, id: SocketId, loose: reactor::DetachedSocket, socket: Socket) {
        if let Socket::Leaving { shard, until_ns, served } = socket {
            let address = self.addresses.remove(&id.to_bits());
            if self.mailboxes.has(shard) {
                let way = Way::Within(address);
                let moved = Moved { loose, until_ns, served, way };
                return self.mailboxes.send(shard, moved);
            }
            let metrics = &self.host.metrics;
            self.admission.leave(Place::Admitted);
            if let Some(address) = address {
                self.admission.leave_address(address);
            }
            let Ok(parts) = loose.into_parts() else {
                // It would have been relayed.
                tracing::error!("a connection under TLS cannot go to another process");
                metrics.handshake(Outcome::Abandoned);
                return metrics.connections_closed.add(1);
            };
            self.send_abroad(Parcel { shard, served, left_ns: until_ns.saturating_sub(now_ns), from: None, parts });
        }
    }

    /// Sends a connection to another process, and counts how it ended here.
    pub(super) fn send_abroad(&mut self, parcel: Parcel) {
        let metrics = &self.host.metrics;
        if parcel.shard == PARENT {
            metrics.handshake(Outcome::Answered);
            metrics.connections_closed.add(1);
        } else {
            metrics.connections_sent_on.add(1);
        }
        self.mailboxes.send_abroad(parcel);
    }
}

/// Lets a state machine answer, then does what it asked for, but for its end: only a closing handshake that is over
/// closes here and now.
pub(super) fn answer<T>(
    host: &mut Host,
    io: &mut Io<'_>,
    act: impl FnOnce(&mut Host, &mut Reply<'_>) -> T,
) -> (T, Option<End>) {
    let now_ns = io.now_ns();
    let out = io.out();
    let before_bytes = out.len();
    let mut reply = Reply::new(out, now_ns);
    let answered = act(host, &mut reply);
    let (deadline_ns, end, is_farewell) = (reply.deadline_ns, reply.end, reply.is_farewell);
    let sent_bytes = io.out().len() - before_bytes;
    host.metrics.bytes_sent.add(sent_bytes as u64);
    if let Some(deadline_ns) = deadline_ns {
        io.set_deadline_ns(deadline_ns);
    }
    if is_farewell {
        io.close();
    }
    (answered, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_socket_is_small() {
        // A million sockets hold as many of these; what is rare belongs behind a box.
        assert!(size_of::<Socket>() <= 32, "{} bytes", size_of::<Socket>());
    }
}
