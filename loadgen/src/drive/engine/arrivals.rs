//! Arrivals: from the planned instant to the started connection.

use std::io::{self, ErrorKind};
use std::sync::mpsc::Receiver;

use reactor::SocketId;

use crate::drive::engine::fault::{failure_of_error, outcome_of};
use crate::drive::engine::flight::{Flight, FlightId, StartedArrival};
use crate::drive::engine::handshakes::{Handshakes, Retry};
use crate::drive::engine::socket::Socket;
use crate::drive::engine::starts::{Start, Starts, Wait};
use crate::drive::engine::turn::Turn;
use crate::drive::engine::waiting::Waiting;
use crate::ground::outcome::{Failure, FailureKind, Outcome, Phase, TokenKind};
use crate::ground::recorder::Counters;
use crate::ground::time::{ClockOffset, RunInstant, ShardInstant, UnixInstant};
use crate::ground::values::Token;
use crate::speak::connection::{Connection, Credentials};
use crate::tokens::{Answer, InvalidTokens, Supply, Ticket};

/// Most arrivals started in one turn of the loop. Each takes about 20 us, during which open sockets wait.
const STARTS_PER_TURN: usize = 16;

/// How long the closed model pauses after descriptors or ports ran out: it would otherwise go through all its arrivals in
/// a moment.
const LIMIT_PAUSE_NS: u64 = 10_000_000;

/// The arrivals of a shard that have no connection yet.
pub struct Arrivals {
    starts: Starts,
    waiting: Waiting,
    supply: Supply,
    invalid: InvalidTokens,
    answers: Receiver<Answer>,
    unix_offset: ClockOffset<UnixInstant>,
    /// Reused for the first request of each connection.
    request: Vec<u8>,
}

/// An arrival that can connect.
struct Ready {
    arrival: StartedArrival,
    /// `None`: the arrival sends no token.
    token: Option<Token>,
    /// The duration of the HTTP request for the token, where there was one.
    token_ns: Option<u64>,
}

/// How an arrival gets its token.
enum TokenChoice {
    /// This one.
    Known(Token),
    /// It sends none.
    Nothing,
    /// It requests one.
    Request,
    /// There is no token for it.
    Missing,
}

impl Arrivals {
    /// Makes the arrivals of `starts`. `answers` receives the tokens that are requested.
    pub fn new(
        starts: Starts,
        supply: Supply,
        invalid: InvalidTokens,
        answers: Receiver<Answer>,
        unix_offset: ClockOffset<UnixInstant>,
    ) -> Self {
        Self { starts, waiting: Waiting::default(), supply, invalid, answers, unix_offset, request: Vec::new() }
    }

    /// What the next start waits for.
    pub fn wait(&self, now: RunInstant, in_flight: u32) -> Wait {
        self.starts.wait(now, in_flight)
    }

    /// Whether no arrival waits for its token.
    pub fn none_awaits_token(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The earliest deadline of the arrivals that wait for a token.
    pub fn next_deadline(&mut self) -> Option<ShardInstant> {
        self.waiting.next_deadline()
    }

    /// Starts the arrivals that are due, as many as one turn may.
    pub fn start_due(&mut self, turn: &mut Turn<'_, '_>) {
        for _ in 0..STARTS_PER_TURN {
            let now = turn.now();
            let Some(run_now) = now.after_t0(turn.t0) else {
                return;
            };
            let Some(start) = self.starts.take(run_now, turn.handshakes.in_flight()) else {
                return;
            };
            self.start(turn, start, now);
        }
    }

    /// Takes the requested tokens that were received, and connects their arrivals.
    pub fn take_answers(&mut self, turn: &mut Turn<'_, '_>) {
        while let Ok(answer) = self.answers.try_recv() {
            // `None`: the arrival has timed out or was interrupted.
            let arrival = self.waiting.take(answer.number);
            let target = turn.common.settings.target_of(answer.number);
            self.count_token(&mut turn.common.recorder(target).counters, &answer, arrival.as_ref());
            let Some(arrival) = arrival else {
                continue;
            };
            let (token_ns, now) = (answer.token_ns, turn.now());
            match answer.result {
                Ok(token) => self.connect(turn, Ready { arrival, token: Some(token), token_ns }, now),
                Err(failure) => end_without_token(turn, arrival, failure, token_ns, now),
            }
        }
    }

    /// Ends arrivals whose token has not come within the handshake's timeout.
    pub fn end_late(&mut self, turn: &mut Turn<'_, '_>, now: ShardInstant) {
        while let Some(arrival) = self.waiting.take_late(now) {
            let late = Failure { phase: Phase::Token, kind: FailureKind::Timeout };
            end_without_token(turn, arrival, late, None, now);
        }
    }

    /// Requests the new tokens of arrivals that make a second attempt.
    pub fn start_retries(&mut self, turn: &mut Turn<'_, '_>, now: ShardInstant) {
        for Retry { arrival, refused } in turn.handshakes.take_retries() {
            self.request_token(turn, arrival, refused, now);
        }
    }

    /// Ends all arrivals: due ones count as not sent, and those that wait for a token as interrupted.
    pub fn stop(&mut self, turn: &mut Turn<'_, '_>) {
        for number in self.starts.stop(turn.run_now()) {
            let recorder = turn.common.recorder(turn.common.settings.target_of(number));
            recorder.counters.planned += 1;
            recorder.outcome(Outcome::NotSent);
        }
        while let Some(arrival) = self.waiting.take_late(ShardInstant::NEVER) {
            turn.handshakes.remove();
            count_started(turn, &arrival);
            turn.common.recorder(arrival.target).outcome(Outcome::Interrupted);
        }
    }

    fn start(&mut self, turn: &mut Turn<'_, '_>, start: Start, now: ShardInstant) {
        let target = turn.common.settings.target_of(start.number);
        turn.common.recorder(target).counters.planned += 1;
        turn.handshakes.add();
        // There is nothing to replay before a token was accepted: until then valid tokens are sent and counted as valid.
        let kind = match turn.common.settings.spec.mix.kind_of(start.number) {
            TokenKind::Replayed if turn.handshakes.replay().is_none() => TokenKind::Valid,
            kind => kind,
        };
        let arrival = StartedArrival {
            number: start.number,
            target,
            kind,
            planned: start.planned.map(|planned| planned.on_shard_clock(turn.t0)),
            started: now,
            is_retry: false,
            first_attempt_ns: 0,
            first_token_ns: None,
        };
        let token = match self.token_of(&arrival, turn.handshakes, now) {
            TokenChoice::Known(token) => Some(token),
            TokenChoice::Nothing => None,
            TokenChoice::Request => return self.request_token(turn, arrival, None, now),
            TokenChoice::Missing => return self.not_sent(turn, target, Phase::Token, now),
        };
        self.connect(turn, Ready { arrival, token, token_ns: None }, now);
    }

    fn token_of(&self, arrival: &StartedArrival, handshakes: &Handshakes, now: ShardInstant) -> TokenChoice {
        let number = arrival.number;
        let token = match (arrival.kind, &self.supply) {
            (TokenKind::Missing, _) => return TokenChoice::Nothing,
            (TokenKind::Replayed, _) => handshakes.replay().cloned(),
            (TokenKind::Valid, Supply::OnDemand(_)) => return TokenChoice::Request,
            (TokenKind::Valid, Supply::Kept(kept, _)) => {
                let unexpired = kept.unexpired(number, self.unix_offset.unix(now));
                return unexpired.map_or(TokenChoice::Request, TokenChoice::Known);
            }
            (TokenKind::Valid, Supply::Ready(tokens)) => {
                tokens.get((number % (tokens.len() as u64).max(1)) as usize).cloned()
            }
            (invalid, _) => self.invalid.get(invalid, number).cloned(),
        };
        token.map_or(TokenChoice::Missing, TokenChoice::Known)
    }

    /// Requests an arrival's token, in place of the `refused` one.
    fn request_token(
        &mut self,
        turn: &mut Turn<'_, '_>,
        arrival: StartedArrival,
        refused: Option<Token>,
        now: ShardInstant,
    ) {
        let settings = &turn.common.settings;
        let ticket = Ticket { shard: settings.shard, number: arrival.number, refused };
        let waits = self.waiting.insert(arrival, now + settings.handshake_ns);
        let requests = self.supply.requests();
        if waits && requests.is_some_and(|requests| requests.ask(ticket).is_ok()) {
            return;
        }
        self.waiting.take(arrival.number);
        self.not_started(turn, arrival, Phase::Token, now);
    }

    /// Opens the connection of an arrival.
    fn connect(&mut self, turn: &mut Turn<'_, '_>, ready: Ready, now: ShardInstant) {
        let arrival = ready.arrival;
        match self.open(turn, ready, now) {
            Ok((id, flight)) => {
                count_started(turn, &arrival);
                if let Some(open) = turn.handshakes.flights.get(flight).filter(|open| open.is_polling) {
                    turn.common.sessions.begin(id, flight, open);
                }
            }
            Err((error, mut socket)) => match failure_of_error(&error) {
                FailureKind::Limit => {
                    turn.handshakes.flights.take(&mut socket.flight);
                    self.not_started(turn, arrival, Phase::Connect, now);
                }
                kind => {
                    count_started(turn, &arrival);
                    let now = turn.now();
                    turn.handshakes.fail(turn.common, &mut socket, kind, now, || error.to_string());
                }
            },
        }
    }

    fn open(
        &mut self,
        turn: &mut Turn<'_, '_>,
        ready: Ready,
        now: ShardInstant,
    ) -> Result<(SocketId, FlightId), (io::Error, Socket)> {
        let Ready { arrival, token, token_ns } = ready;
        let Turn { sockets, common, handshakes, .. } = turn;
        let credentials = Credentials { token, key: common.scratch.random.key() };
        let mut flight = Flight::new(arrival, credentials, token_ns, now, common.settings.handshake_ns);
        flight.is_polling = common.settings.spec.transport.polls();
        let connect_until = flight.deadline.min(now + common.settings.connect_ns);
        let target = &mut common.targets[usize::from(arrival.target)];
        let route = target.route(arrival.number);
        let mut socket = Socket::new(arrival.number, arrival.kind, arrival.target, connect_until);
        self.request.clear();
        if flight.is_polling {
            socket.connection = Connection::polling();
        } else if route.as_ref().is_some_and(|route| route.to.ip().is_loopback()) {
            // A loopback connection is established at once, so the request is sent with it.
            socket.connection.start(&target.profile, &flight.credentials, &mut self.request);
        }
        socket.flight = handshakes.flights.insert(flight);
        let id = socket.flight;
        let Some(route) = route else {
            return Err((ErrorKind::HostUnreachable.into(), socket));
        };
        let (request, counters) = (&self.request, &mut target.recorder.counters);
        let opened =
            sockets.connect_and_send(route, request, socket, Some(connect_until.as_ns()), |socket, connected_ns| {
                counters.sent_bytes += request.len() as u64;
                socket.tcp_connected(&mut handshakes.flights, ShardInstant::from_ns(connected_ns));
            })?;
        Ok((opened, id))
    }

    /// This machine reached a limit: a first attempt counts as not sent, a second one as failed.
    fn not_started(&mut self, turn: &mut Turn<'_, '_>, arrival: StartedArrival, phase: Phase, now: ShardInstant) {
        if arrival.is_retry {
            end_without_token(turn, arrival, Failure { phase, kind: FailureKind::Limit }, None, now);
        } else {
            self.not_sent(turn, arrival.target, phase, now);
        }
    }

    /// This machine reached a limit before the arrival was started.
    fn not_sent(&mut self, turn: &mut Turn<'_, '_>, target: u8, phase: Phase, now: ShardInstant) {
        turn.handshakes.remove();
        let recorder = turn.common.recorder(target);
        recorder.failure(Failure { phase, kind: FailureKind::Limit }, String::new);
        recorder.outcome(Outcome::NotSent);
        self.starts.pause_until(now.after_t0(turn.t0).unwrap_or_default() + LIMIT_PAUSE_NS);
    }

    /// Counts the answer to a request for a token. `arrival`: the one that asked, unless it has ended since.
    fn count_token(&self, counters: &mut Counters, answer: &Answer, arrival: Option<&StartedArrival>) {
        if answer.token_ns.is_some() {
            counters.token_requests += 1;
            counters.token_failures += u64::from(answer.result.is_err());
        }
        let (Some(arrival), true, Ok(_)) = (arrival, answer.made, &answer.result) else {
            return;
        };
        if arrival.is_retry {
            counters.refreshed_on_refusal += 1;
        } else if matches!(self.supply, Supply::Kept(..)) {
            counters.refreshed_ahead += 1;
        }
    }
}

/// Ends an arrival that has no token.
fn end_without_token(
    turn: &mut Turn<'_, '_>,
    arrival: StartedArrival,
    failure: Failure,
    token_ns: Option<u64>,
    now: ShardInstant,
) {
    let outcome = outcome_of(failure.kind);
    turn.handshakes.remove();
    count_started(turn, &arrival);
    let recorder = turn.common.recorder(arrival.target);
    recorder.failure(failure, String::new);
    if let Some(token_ns) = token_ns {
        recorder.phase(failure.phase, outcome, arrival.kind, token_ns);
    }
    recorder.outcome(outcome);
    turn.common.reporter.handshake(arrival.started, now);
}

/// Counts an arrival as started, once.
fn count_started(turn: &mut Turn<'_, '_>, arrival: &StartedArrival) {
    turn.common.recorder(arrival.target).counters.started += u64::from(!arrival.is_retry);
}
