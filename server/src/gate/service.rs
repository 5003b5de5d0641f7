//! A shard of the gate as the reactor runs it: each socket's handshake, then its session.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Acquire},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reactor::{Closed, Io, Next, Service, SocketId, Sockets};

use super::{
    admission::{Admission, Place},
    answers,
    handshake::{self, Site, Step},
};
use crate::{
    metrics::Outcome,
    session::{End, Host, Reply, Session},
};

/// While draining, how often a shard looks whether its last socket is gone when no event tells it.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// Failures of `accept` come in floods; one line of log stands for this long.
const ACCEPT_FAILURE_LOG_EVERY: Duration = Duration::from_secs(10);

/// The program of one shard.
pub(super) struct GateService {
    pub(super) host: Host,
    pub(super) site: Arc<Site>,
    pub(super) admission: Arc<Admission>,
    pub(super) handshake_timeout: Duration,
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
    /// The batch of events for which `Host::unix_s` was read.
    batch_ns: Option<u64>,
    /// Set while draining: when patience ends.
    drain_until_ns: Option<u64>,
    accept_failure_logged: Option<std::time::Instant>,
}

/// What is kept for a socket.
#[derive(Debug)]
pub(super) enum Socket {
    /// Its request is still coming.
    Handshake {
        /// When it must be authenticated.
        authenticate_by_ns: u64,
        /// Bytes of the head that were looked at.
        seen_bytes: u32,
    },
    /// It was let in, or is about to be.
    Session(Session),
    /// Its fate is counted; it is being closed.
    Ended,
    /// There was no place for it; it is being closed.
    TurnedAway,
}

impl Service for GateService {
    type Socket = Socket;

    fn accepted(&mut self, io: &mut Io<'_>, _peer: SocketAddr) -> Option<Socket> {
        self.host.metrics.connections_accepted.add(1);
        let place = self.admission.enter();
        if place == Place::Admitted {
            let authenticate_by_ns = after(io.now_ns(), self.handshake_timeout);
            io.set_deadline_ns(authenticate_by_ns);
            return Some(Socket::Handshake {
                authenticate_by_ns,
                seen_bytes: 0,
            });
        }
        self.host.metrics.handshake(Outcome::Full);
        if place == Place::Dropped {
            self.host.metrics.connections_closed.add(1);
            return None;
        }
        answer(&mut self.host, io, |_, reply| answers::full(reply.out));
        io.finish();
        Some(Socket::TurnedAway)
    }

    fn accept_failed(&mut self, error: &io::Error) {
        self.host.metrics.accept_failures.add(1);
        let logged = self.state.accept_failure_logged;
        if logged.is_none_or(|at| at.elapsed() >= ACCEPT_FAILURE_LOG_EVERY) {
            tracing::warn!(%error, "cannot accept connections: raise the limit on descriptors?");
            self.state.accept_failure_logged = Some(std::time::Instant::now());
        }
    }

    fn received(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        self.read_clock(io.now_ns());
        let mut used = 0;
        if let Socket::Handshake { .. } = socket {
            used = self.handshake(io, socket, input);
        }
        if let Socket::Session(session) = socket {
            let rest = &mut input[used..];
            if !rest.is_empty() {
                let received =
                    |host: &mut Host, reply: &mut Reply<'_>| session.received(rest, host, reply);
                let (taken, end) = answer(&mut self.host, io, received);
                used += taken;
                self.end(io, socket, end);
            }
        }
        self.host.metrics.bytes_received.add(used as u64);
        used
    }

    fn deadline(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        self.read_clock(io.now_ns());
        let end = match socket {
            Socket::Handshake { .. } => {
                answer(&mut self.host, io, |_, reply| answers::too_slow(reply.out));
                Some(End::HandshakeTimeout)
            }
            Socket::Session(session) => {
                let due = |host: &mut Host, reply: &mut Reply<'_>| session.deadline(host, reply);
                answer(&mut self.host, io, due).1
            }
            Socket::Ended | Socket::TurnedAway => None,
        };
        self.end(io, socket, end);
    }

    fn closed(&mut self, _now_ns: u64, _id: SocketId, mut socket: Socket, why: Closed) {
        self.host.metrics.connections_closed.add(1);
        self.admission.leave(match socket {
            Socket::TurnedAway => Place::TurnedAway,
            _ => Place::Admitted,
        });
        self.settle(&mut socket, end_of(&why));
    }

    fn turn(&mut self, sockets: &mut Sockets<'_, Socket>) -> Next {
        if !self.drain.ordered.load(Acquire) {
            return Next::WhenNeeded;
        }
        let now_ns = sockets.now_ns();
        let until_ns = match self.state.drain_until_ns {
            Some(until_ns) => until_ns,
            None => {
                let until_ns = after(now_ns, self.drain.within);
                self.state.drain_until_ns = Some(until_ns);
                sockets.stop_listening();
                sockets.for_each(|io, socket| self.shut_down(io, socket));
                until_ns
            }
        };
        if sockets.is_empty() || now_ns >= until_ns {
            Next::Stop
        } else {
            Next::At(until_ns.min(after(now_ns, DRAIN_LOOK)))
        }
    }
}

impl GateService {
    /// Reads the wall clock once per batch of events, all of which bear the same stamp.
    fn read_clock(&mut self, now_ns: u64) {
        if self.state.batch_ns != Some(now_ns) {
            self.state.batch_ns = Some(now_ns);
            // A clock before 1970 is broken: every token with a time in it is then refused.
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
            self.host.unix_s = since_1970.map_or(0, |since| since.as_secs());
        }
    }

    /// Takes the head of a request; a session may stand in `socket` afterwards. Answers how many bytes it used.
    fn handshake(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &[u8]) -> usize {
        let Socket::Handshake {
            authenticate_by_ns,
            seen_bytes,
        } = socket
        else {
            return 0;
        };
        let (by_ns, seen) = (*authenticate_by_ns, *seen_bytes as usize);
        let site = &self.site;
        let take = |host: &mut Host, reply: &mut Reply<'_>| {
            handshake::take(input, seen, by_ns, site, host, reply)
        };
        match answer(&mut self.host, io, take).0 {
            Step::More => {
                // Below the limit on heads, or it would have been answered.
                *seen_bytes = input.len() as u32;
                0
            }
            Step::Answered => {
                *socket = Socket::Ended;
                io.finish();
                input.len()
            }
            Step::Opened { used, session } => {
                *socket = Socket::Session(session);
                used
            }
        }
    }

    /// The gate goes down: a session says so, a request that is still coming is dropped.
    fn shut_down(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        if let Socket::Session(session) = socket {
            let shut_down = |_: &mut Host, reply: &mut Reply<'_>| session.shut_down(reply);
            let (_, end) = answer(&mut self.host, io, shut_down);
            self.end(io, socket, end);
        } else if let Socket::Handshake { .. } = socket {
            self.settle(socket, End::Shutdown);
            io.close();
        }
    }

    /// Ends a socket, if there is an end: counts it and closes it behind what was written.
    fn end(&mut self, io: &mut Io<'_>, socket: &mut Socket, end: Option<End>) {
        if let Some(end) = end {
            self.settle(socket, end);
            io.finish();
        }
    }

    /// Counts, once, what became of a socket.
    fn settle(&mut self, socket: &mut Socket, end: End) {
        match std::mem::replace(socket, Socket::Ended) {
            Socket::Handshake { .. } => self.host.metrics.handshake(Outcome::without_verdict(end)),
            Socket::Session(session) => session.ended(end, &mut self.host),
            Socket::Ended => {}
            Socket::TurnedAway => *socket = Socket::TurnedAway,
        }
    }
}

/// Lets a state machine answer, then does what it asked for, but for its end.
fn answer<T>(
    host: &mut Host,
    io: &mut Io<'_>,
    act: impl FnOnce(&mut Host, &mut Reply<'_>) -> T,
) -> (T, Option<End>) {
    let now_ns = io.now_ns();
    let out = io.out();
    let before_bytes = out.len();
    let mut reply = Reply::new(out, now_ns);
    let answered = act(host, &mut reply);
    let (deadline_ns, end) = (reply.deadline_ns, reply.end);
    let sent_bytes = io.out().len() - before_bytes;
    host.metrics.bytes_sent.add(sent_bytes as u64);
    if let Some(deadline_ns) = deadline_ns {
        io.set_deadline_ns(deadline_ns);
    }
    (answered, end)
}

fn after(now_ns: u64, time: Duration) -> u64 {
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
        Closed::Refused | Closed::Failed(_) | Closed::Tls(_) => End::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_socket_is_small() {
        // A million sockets hold as many of these; what is rare belongs behind a box.
        assert!(size_of::<Socket>() <= 64, "{} bytes", size_of::<Socket>());
    }
}
