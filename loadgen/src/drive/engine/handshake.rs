//! From the connection to the outcome.

use std::fmt::Write;

use reactor::{Closed, Io};

use crate::drive::engine::arrive::kind_of;
use crate::drive::engine::flight::Flight;
use crate::drive::engine::socket::{Life, NEVER_NS, Socket};
use crate::drive::engine::{Engine, LEAVE_NS_MAX};
use crate::ground::outcome::{Failure, FailureKind, Outcome, TokenKind, refuses};
use crate::spec::Transport;

impl Engine {
    /// TCP is up; without TLS the request goes out.
    pub(super) fn transport_connected(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        if self.is_later_connection(socket) {
            if self.target.tls.is_none() {
                self.later_connection_up(io, socket);
            }
            return;
        }
        if !socket.up(&mut self.flights, io.now_ns()) {
            return io.close();
        }
        if self.target.tls.is_none() {
            self.start(io, socket);
        }
        self.arm(io, socket);
    }

    /// TLS is up.
    pub(super) fn transport_secured(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        if self.is_later_connection(socket) {
            return self.later_connection_up(io, socket);
        }
        let now_ns = io.now_ns();
        let Some(flight) = self.flights.get_mut(socket.flight) else {
            return io.close();
        };
        flight.secured_ns = Some(now_ns);
        self.start(io, socket);
    }

    /// Sends the first request.
    fn start(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        if let Some(flight) = self.flights.get(socket.flight) {
            let credentials = &flight.credentials;
            socket.connection.start(&self.tools, credentials, io.out());
        }
        if socket.connection.polls() {
            self.session_asked(socket, io.now_ns());
        }
    }

    /// Engine.IO's open packet is there; in its version 3 heartbeats begin with it.
    pub(super) fn opened(&mut self, socket: &mut Socket, now_ns: u64) {
        self.stamp(socket, |flight| flight.opened_ns = Some(now_ns));
        socket.beat_ns = beat_after(socket, now_ns);
        if let Some(open) = self.tools.opened.take() {
            self.session_opened(socket, open);
        }
    }

    /// A raw WebSocket has its 101: it is let in, and the verdict waits for its grace.
    pub(super) fn admitted(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        self.stamp(socket, |flight| flight.upgraded_ns = Some(now_ns));
        self.let_in(socket, now_ns);
        socket.life = Life::Grace;
        socket.until_ns = now_ns.saturating_add(self.limits.grace_ns);
        self.begin_talk(io, socket, now_ns);
        if self.limits.grace_ns == 0 {
            self.grace_over(io, socket, now_ns);
        }
    }

    /// A raw WebSocket has survived its grace.
    pub(super) fn grace_over(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        socket.connection.settle();
        self.establish(io, socket, now_ns);
    }

    /// The Socket.IO namespace is connected.
    pub(super) fn authenticated(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        self.let_in(socket, now_ns);
        if socket.connection.polls() && self.scenario.transport == Transport::Upgrade {
            // The verdict waits until it has moved to its WebSocket, and so does its talk.
            socket.life = Life::Moving;
            return;
        }
        self.begin_talk(io, socket, now_ns);
        self.establish(io, socket, now_ns);
    }

    /// A session that polled lives on its WebSocket now.
    pub(super) fn moved(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        let now_ns = io.now_ns();
        self.stamp(socket, |flight| flight.upgraded_ns = Some(now_ns));
        if socket.life == Life::Moving {
            self.begin_talk(io, socket, now_ns);
            self.establish(io, socket, now_ns);
        }
    }

    /// The token was refused.
    pub(super) fn refused(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        self.recorder.refusal(socket.kind, &self.tools.reason);
        if self.may_retry(socket) {
            return self.retry(io, socket, now_ns);
        }
        let outcome = self.scenario.mix.expected(socket.kind).when_refused();
        self.turned_away(io, socket, now_ns, |engine, socket| {
            engine.decide(socket, outcome, now_ns);
        });
    }

    /// The handshake broke over something that the peer said.
    pub(super) fn failed(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64, kind: FailureKind) {
        let status = match kind {
            FailureKind::Http(status) => Some(status),
            FailureKind::EngineIo(error) => Some(error.status()),
            _ => None,
        };
        if let Some(status) = status
            && refuses(status, socket.kind)
        {
            self.tools.reason.clear();
            // Writing to a String cannot fail.
            let _ = write!(self.tools.reason, "{status}");
            return self.refused(io, socket, now_ns);
        }
        self.turned_away(io, socket, now_ns, |engine, socket| engine.fail(socket, now_ns, kind));
    }

    /// The handshake took too long.
    pub(super) fn time_out(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        self.fail(socket, now_ns, FailureKind::Timeout);
        if socket.is_held() {
            self.held -= 1;
        }
        self.leave(socket, now_ns);
        io.close();
    }

    /// The socket is gone in the midst of its handshake.
    pub(super) fn broke(&mut self, socket: &mut Socket, now_ns: u64, why: &Closed) {
        if socket.is_held() {
            self.held -= 1;
        }
        let kind = kind_of_closed(why, socket.connection.when_ended());
        self.fail(socket, now_ns, kind);
    }

    /// Decides an arrival: its flight ends, and with it what was measured.
    pub(super) fn decide(&mut self, socket: &mut Socket, outcome: Outcome, now_ns: u64) {
        let Some(flight) = self.flights.take(&mut socket.flight) else {
            return;
        };
        let end_ns = match flight.authenticated_ns {
            Some(authenticated_ns) if self.when_accepted(socket) == outcome => authenticated_ns,
            Some(_) => now_ns,
            None => {
                self.in_flight -= 1;
                now_ns
            }
        };
        flight.record(&mut self.recorder, outcome, end_ns);
        if outcome == Outcome::Established && self.scenario.mix.has(TokenKind::Replayed) {
            self.replay.clone_from(&flight.credentials.token);
        }
        self.recorder.outcome(outcome);
        self.reporter.handshake(flight.begun.started_ns, end_ns);
    }

    pub(super) fn stamp(&mut self, socket: &Socket, stamp: impl FnOnce(&mut Flight)) {
        if let Some(flight) = self.flights.get_mut(socket.flight) {
            stamp(flight);
        }
    }

    /// The authenticated instant: the handshake's place is free, the socket counts as held.
    fn let_in(&mut self, socket: &Socket, now_ns: u64) {
        self.stamp(socket, |flight| flight.authenticated_ns = Some(now_ns));
        self.in_flight -= 1;
        self.held += 1;
        self.reporter.held(self.held);
    }

    /// The verdict: accepted. From the authenticated instant on it is held.
    fn establish(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        let flight = self.flights.get(socket.flight);
        let since_ns = flight.and_then(|flight| flight.authenticated_ns).unwrap_or(now_ns);
        self.watch_expiry(socket);
        let retried = flight_retries(self.flights.get(socket.flight));
        self.recorder.counters.let_in_on_retry += u64::from(retried);
        self.decide(socket, self.when_accepted(socket), now_ns);
        self.hold(io, socket, since_ns, now_ns);
    }

    fn when_accepted(&self, socket: &Socket) -> Outcome {
        self.scenario.mix.expected(socket.kind).when_accepted()
    }

    /// Decides an arrival that the peer has sent away, and leaves: after a farewell where there is one to wait for.
    pub(super) fn turned_away(
        &mut self,
        io: &mut Io<'_>,
        socket: &mut Socket,
        now_ns: u64,
        decide: impl FnOnce(&mut Self, &mut Socket),
    ) {
        let upgraded = self.flights.get(socket.flight).is_some_and(|flight| flight.upgraded_ns.is_some());
        decide(self, socket);
        if socket.is_held() {
            self.held -= 1;
        }
        self.leave(socket, now_ns);
        if socket.connection.polls() {
            self.let_go(io, socket);
        } else if !upgraded {
            io.close();
        }
    }

    pub(super) fn fail(&mut self, socket: &mut Socket, now_ns: u64, kind: FailureKind) {
        let Some(flight) = self.flights.get(socket.flight) else {
            return;
        };
        let socketio = self.tools.profile.engineio().is_some();
        let phase = flight.phase(self.target.tls.is_some(), socketio);
        self.recorder.failure(Failure { phase, kind });
        self.decide(socket, outcome_of(kind), now_ns);
    }

    /// Begins to take leave; the peer has [`LEAVE_NS_MAX`].
    pub(super) fn leave(&self, socket: &mut Socket, now_ns: u64) {
        socket.life = Life::Leaving;
        socket.until_ns = now_ns.saturating_add(LEAVE_NS_MAX);
        socket.beat_ns = NEVER_NS;
    }
}

fn flight_retries(flight: Option<&Flight>) -> bool {
    flight.is_some_and(|flight| flight.begun.retries)
}

/// When the next heartbeat is due, if this side sends any.
pub(super) fn beat_after(socket: &Socket, now_ns: u64) -> u64 {
    let interval_ms = socket.connection.heartbeat_ms();
    interval_ms.map_or(NEVER_NS, |ms| now_ns.saturating_add(u64::from(ms) * 1_000_000))
}

/// How an established socket ends whose peer hangs up without a word (RFC 6455 section 7.1.5).
pub(super) const UNSAID: FailureKind = FailureKind::Closed(1006);

/// What it means for a handshake that a connection is gone; `ended`: that the peer sent its FIN.
pub(super) fn kind_of_closed(why: &Closed, ended: FailureKind) -> FailureKind {
    match why {
        Closed::Peer => ended,
        Closed::Refused => FailureKind::Refused,
        Closed::Failed(error) => kind_of(&(*error).into()),
        Closed::Tls(error) => error.certificate.map_or(FailureKind::Tls, FailureKind::Certificate),
        Closed::InputTooLong => FailureKind::Protocol,
        Closed::Reset | Closed::PeerTooSlow | Closed::MemoryPressure | Closed::Local => FailureKind::Reset,
    }
}

/// The outcome of an arrival that broke.
pub(super) fn outcome_of(kind: FailureKind) -> Outcome {
    match kind {
        FailureKind::Timeout => Outcome::Timeout,
        _ => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_timeout_is_the_outcome_timeout() {
        assert_eq!(outcome_of(FailureKind::Timeout), Outcome::Timeout);
        assert_eq!(outcome_of(FailureKind::Reset), Outcome::Failed);
    }
}
