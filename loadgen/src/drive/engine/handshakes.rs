//! Handshakes: from the connection to the outcome, and then to the held socket.

use std::fmt::Write;

use reactor::Closed;
use wire::engineio::Open;

use crate::drive::engine::common::{Call, Common};
use crate::drive::engine::fault::{ABNORMAL_CLOSURE, failure_of_closed, outcome_of, words_of_closed};
use crate::drive::engine::flight::{Flight, Flights, StartedArrival};
use crate::drive::engine::held::Held;
use crate::drive::engine::sessions::DeferredAction;
use crate::drive::engine::socket::{Socket, State};
use crate::ground::outcome::{Failure, FailureKind, Outcome, Phase, TokenKind, refuses};
use crate::ground::time::ShardInstant;
use crate::ground::values::Token;
use crate::speak::connection::{Awaited, Event};
use crate::spec::Transport;

/// The handshakes under way of a shard, and the sockets that they become.
#[derive(Debug)]
pub struct Handshakes {
    /// The instants of each.
    pub flights: Flights,
    /// The sockets that were accepted.
    pub held: Held,
    /// Arrivals that were started and are neither accepted nor ended: what `--concurrency` limits.
    in_flight: u32,
    /// The token of the last established socket, if the mix replays tokens.
    replay: Option<Token>,
    /// Whether an arrival whose token is refused gets another and tries once more.
    may_retry: bool,
    retries: Vec<Retry>,
}

/// An arrival that is to try once more.
#[derive(Debug)]
pub struct Retry {
    /// The arrival, now at its second attempt.
    pub arrival: StartedArrival,
    /// The token that was refused.
    pub refused: Option<Token>,
}

impl Handshakes {
    /// Without any handshake yet.
    pub fn new(held: Held, may_retry: bool) -> Self {
        Self { flights: Flights::default(), held, in_flight: 0, replay: None, may_retry, retries: Vec::new() }
    }

    /// How many arrivals were started and are neither accepted nor ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether every started arrival has its outcome.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty() && self.retries.is_empty()
    }

    /// The token to replay, once there is one.
    pub fn replay(&self) -> Option<&Token> {
        self.replay.as_ref()
    }

    /// The arrivals that are to try once more.
    pub fn take_retries(&mut self) -> Vec<Retry> {
        std::mem::take(&mut self.retries)
    }

    /// The load is stopped: no arrival tries once more.
    pub fn stop_retries(&mut self) {
        self.may_retry = false;
    }

    /// An arrival was started.
    pub fn add(&mut self) {
        self.in_flight += 1;
    }

    /// An arrival ends before it has a socket.
    pub fn remove(&mut self) {
        self.in_flight -= 1;
    }

    /// TCP is up; without TLS the request goes out.
    pub fn connected(&mut self, call: &mut Call<'_, '_>) {
        if !call.socket.tcp_connected(&mut self.flights, call.now) {
            call.io.close();
        } else if !call.target().is_tls() {
            self.send_request(call);
        }
    }

    /// TLS is up.
    pub fn secured(&mut self, call: &mut Call<'_, '_>) {
        match self.flights.get_mut(call.socket.flight) {
            Some(flight) => flight.secured = Some(call.now),
            None => return call.io.close(),
        }
        self.send_request(call);
    }

    /// Sends the first request.
    fn send_request(&self, call: &mut Call<'_, '_>) {
        if let Some(flight) = self.flights.get(call.socket.flight) {
            let (connection, writer) = call.connection();
            connection.start(writer.profile, &flight.credentials, writer.out);
        }
        if call.socket.connection.is_polling()
            && let Some(session) = call.common.sessions.get_mut(call.socket.number)
        {
            session.get_sent = Some(call.now);
        }
    }

    /// Takes bytes of a WebSocket, step by step; answers how many were used.
    pub fn receive(&mut self, call: &mut Call<'_, '_>, input: &mut [u8]) -> usize {
        let mut used = 0;
        while used < input.len() {
            let credentials = self.flights.get(call.socket.flight).map(|flight| &flight.credentials);
            let awaited = Awaited { credentials, message: call.socket.awaited_sequence() };
            let (connection, mut writer) = call.connection();
            let step = connection.receive(awaited, &mut input[used..], &mut writer);
            used += step.used;
            match step.event {
                Some(event) => self.handle(call, event),
                None if step.used == 0 => break,
                None => {}
            }
        }
        used
    }

    /// Acts on what a connection has received.
    pub fn handle(&mut self, call: &mut Call<'_, '_>, event: Event) {
        match event {
            Event::Upgraded => self.stamp(call, |flight, now| flight.upgraded = Some(now)),
            Event::Opened(open) => self.opened(call, open),
            Event::Accepted => self.accepted(call),
            Event::Authenticated => self.authenticated(call),
            Event::Message { is_answer } => self.message(call, is_answer),
            Event::Refused => {
                let reason = std::mem::take(&mut call.common.scratch.reason);
                self.refused(call, &reason);
                // Its memory is reused.
                call.common.scratch.reason = reason;
            }
            Event::Failed(kind) => self.failed(call, kind),
            Event::Closed(kind) => self.held.closed_by_peer(call, kind),
            // Only of probes, which are handled apart.
            Event::Probed => {}
        }
        self.held.arm(call);
    }

    /// Engine.IO's open packet was received; version 3 sends heartbeats from here on. A session that polls and may move to
    /// a WebSocket opens it at once, as browsers do.
    fn opened(&mut self, call: &mut Call<'_, '_>, open: Open) {
        self.stamp(call, |flight, now| flight.opened = Some(now));
        call.socket.plan_heartbeat(call.now);
        if !call.socket.connection.is_polling() {
            return;
        }
        let (number, sessions) = (call.socket.number, &mut call.common.sessions);
        if let Some(session) = sessions.get_mut(number) {
            session.sid = open.sid;
        }
        if call.common.settings.spec.transport == Transport::Upgrade {
            sessions.defer(match open.upgrades.iter().any(|transport| transport == "websocket") {
                true => DeferredAction::Probe(number),
                false => DeferredAction::fail(number, Some(Phase::Upgrade), FailureKind::NoUpgrade),
            });
        }
    }

    /// A raw WebSocket has its 101: it is accepted, and its outcome waits for its grace.
    fn accepted(&mut self, call: &mut Call<'_, '_>) {
        self.stamp(call, |flight, now| flight.upgraded = Some(now));
        self.add_held(call);
        let grace_ns = call.common.settings.grace_ns;
        call.socket.state = State::Grace;
        call.socket.state_ends = call.now + grace_ns;
        self.held.start_messages(call);
        if grace_ns == 0 {
            self.grace_over(call);
        }
    }

    /// A raw WebSocket is still open after its grace.
    pub fn grace_over(&mut self, call: &mut Call<'_, '_>) {
        call.socket.connection.end_grace();
        self.establish(call);
    }

    /// The Socket.IO namespace is connected.
    fn authenticated(&mut self, call: &mut Call<'_, '_>) {
        self.add_held(call);
        if call.socket.connection.is_polling() && call.common.settings.spec.transport == Transport::Upgrade {
            // The outcome waits until it has moved to its WebSocket, and so do its messages.
            call.socket.state = State::Moving;
            return;
        }
        self.held.start_messages(call);
        self.establish(call);
    }

    /// A session that polled has moved to its WebSocket.
    pub fn moved(&mut self, call: &mut Call<'_, '_>) {
        self.stamp(call, |flight, now| flight.upgraded = Some(now));
        if call.socket.state == State::Moving {
            self.held.start_messages(call);
            self.establish(call);
        }
    }

    fn message(&mut self, call: &mut Call<'_, '_>, is_answer: bool) {
        if is_answer {
            self.held.answered(call);
        }
        if call.socket.state == State::Grace {
            self.grace_over(call);
        } else if is_answer {
            self.held.close_if_done(call);
        }
    }

    /// The token was refused.
    pub fn refused(&mut self, call: &mut Call<'_, '_>, reason: &str) {
        let kind = call.socket.kind;
        call.recorder().refusal(kind, reason);
        let flight = self.flights.get(call.socket.flight);
        let is_upgraded = flight.is_some_and(|flight| flight.upgraded.is_some());
        let is_first = flight.is_some_and(|flight| !flight.arrival.is_retry);
        if self.may_retry && kind == TokenKind::Valid && is_first {
            self.retry(call);
        } else {
            let outcome = call.common.settings.spec.mix.expected(kind).when_refused();
            self.decide(call.common, call.socket, outcome, call.now);
        }
        self.close_rejected(call, is_upgraded);
    }

    /// The handshake failed over something that the peer sent.
    pub fn failed(&mut self, call: &mut Call<'_, '_>, kind: FailureKind) {
        let status = match kind {
            FailureKind::Http(status) => Some(status),
            FailureKind::EngineIo(error) => Some(error.status()),
            _ => None,
        };
        if let Some(status) = status.filter(|status| refuses(*status, call.socket.kind)) {
            let mut reason = std::mem::take(&mut call.common.scratch.reason);
            reason.clear();
            // Writing to a String cannot fail.
            let _ = write!(reason, "{status}");
            self.refused(call, &reason);
            call.common.scratch.reason = reason;
            return;
        }
        let flight = self.flights.get(call.socket.flight);
        let is_upgraded = flight.is_some_and(|flight| flight.upgraded.is_some());
        let words = std::mem::take(&mut call.common.scratch.reason);
        self.fail(call.common, call.socket, kind, call.now, || words.clone());
        // Its memory is reused.
        call.common.scratch.reason = words;
        self.close_rejected(call, is_upgraded);
    }

    /// A session failed over something that was received by polling.
    pub fn session_failed(&mut self, call: &mut Call<'_, '_>, kind: FailureKind) {
        if !call.socket.flight.is_none() {
            return self.failed(call, kind);
        }
        let words = call.common.scratch.reason.clone();
        self.held.dropped(call.common, call.socket, kind, call.now, || words);
        call.socket.start_closing(call.now);
        call.io.close();
    }

    /// The handshake took too long.
    pub fn timed_out(&mut self, call: &mut Call<'_, '_>) {
        self.fail(call.common, call.socket, FailureKind::Timeout, call.now, String::new);
        self.held.remove(call.socket);
        call.socket.start_closing(call.now);
        call.io.close();
    }

    /// A socket is gone: during its handshake that is a failure.
    pub fn closed(&mut self, common: &mut Common, socket: &mut Socket, why: &Closed, now: ShardInstant) {
        if socket.flight.is_none() {
            let words = || words_of_closed(why);
            return self.held.dropped(common, socket, failure_of_closed(why, ABNORMAL_CLOSURE), now, words);
        }
        self.held.remove(socket);
        let kind = failure_of_closed(why, socket.connection.failure_at_fin());
        let is_connecting = socket.state == State::Connecting;
        let to = common.target(socket.target).route(socket.number).filter(|_| is_connecting).map(|route| route.to);
        self.fail(common, socket, kind, now, || match to {
            Some(to) => format!("{to} {}", words_of_closed(why)),
            None => words_of_closed(why),
        });
    }

    /// Ends a handshake by a failure.
    pub fn fail(
        &mut self,
        common: &mut Common,
        socket: &mut Socket,
        kind: FailureKind,
        now: ShardInstant,
        words: impl FnOnce() -> String,
    ) {
        let Some(flight) = self.flights.get(socket.flight) else {
            return;
        };
        let target = common.target(socket.target);
        let phase = flight.phase(target.is_tls(), target.profile.engineio().is_some());
        common.recorder(socket.target).failure(Failure { phase, kind }, words);
        self.decide(common, socket, outcome_of(kind), now);
    }

    /// Gives an arrival its outcome: its flight ends, and its durations are recorded.
    pub fn decide(&mut self, common: &mut Common, socket: &mut Socket, outcome: Outcome, now: ShardInstant) {
        let Some(flight) = self.flights.take(&mut socket.flight) else {
            return;
        };
        let end = match flight.authenticated {
            Some(authenticated) if common.settings.when_accepted(socket.kind) == outcome => authenticated,
            Some(_) => now,
            None => {
                self.in_flight -= 1;
                now
            }
        };
        let recorder = common.recorder(socket.target);
        flight.record(recorder, outcome, end);
        recorder.outcome(outcome);
        if outcome == Outcome::Established && common.settings.spec.mix.has(TokenKind::Replayed) {
            self.replay.clone_from(&flight.credentials.token);
        }
        common.reporter.handshake(flight.arrival.started, end);
    }

    fn stamp(&mut self, call: &Call<'_, '_>, stamp: impl FnOnce(&mut Flight, ShardInstant)) {
        if let Some(flight) = self.flights.get_mut(call.socket.flight) {
            stamp(flight, call.now);
        }
    }

    /// The authenticated instant: the socket leaves the handshakes and counts as held.
    fn add_held(&mut self, call: &mut Call<'_, '_>) {
        self.stamp(call, |flight, now| flight.authenticated = Some(now));
        self.in_flight -= 1;
        self.held.add(call.common);
    }

    /// The outcome: established. The socket is held from its authenticated instant on.
    fn establish(&mut self, call: &mut Call<'_, '_>) {
        let mut since = call.now;
        if let Some(flight) = self.flights.get(call.socket.flight) {
            since = flight.authenticated.unwrap_or(since);
            self.held.watch_expiry(call.socket.number, flight.credentials.token.as_deref());
            let accepted_on_retry = u64::from(flight.arrival.is_retry);
            call.recorder().counters.let_in_on_retry += accepted_on_retry;
        }
        let outcome = call.common.settings.when_accepted(call.socket.kind);
        self.decide(call.common, call.socket, outcome, call.now);
        self.held.hold(call, since);
    }

    /// Takes an arrival whose token was refused for a second attempt; the refusal is counted apart.
    fn retry(&mut self, call: &mut Call<'_, '_>) {
        let Some(flight) = self.flights.take(&mut call.socket.flight) else {
            return;
        };
        if flight.authenticated.is_some() {
            // It had left the handshakes, and is one again.
            self.in_flight += 1;
        }
        // The second attempt has a session of its own; nothing of the first may act on it.
        call.common.remove_session(call.socket.number);
        call.recorder().counters.refused_first += 1;
        let arrival = StartedArrival {
            is_retry: true,
            first_attempt_ns: call.now - flight.connecting,
            first_token_ns: flight.token_ns,
            ..flight.arrival
        };
        self.retries.push(Retry { arrival, refused: flight.credentials.token });
        call.common.needs_turn = true;
    }

    /// Closes a socket whose handshake the peer has rejected; after an upgrade the peer closes first.
    fn close_rejected(&mut self, call: &mut Call<'_, '_>, is_upgraded: bool) {
        self.held.remove(call.socket);
        call.socket.start_closing(call.now);
        if call.socket.connection.is_polling() {
            call.common.sessions.close_when_posted(call.io, call.socket.number);
        } else if !is_upgraded {
            call.io.close();
        }
    }
}
