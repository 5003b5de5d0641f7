//! From the planned instant to the begun connection: tokens, sockets, and what this machine may lack.

use std::io::{self, ErrorKind};

use reactor::{Connect, Sockets};
use rustix::io::Errno;

use crate::drive::engine::flight::{Begun, Flight, FlightId};
use crate::drive::engine::handshake::outcome_of;
use crate::drive::engine::socket::{NEVER_NS, Socket};
use crate::drive::engine::starts::Start;
use crate::drive::engine::{Engine, LIMIT_REST_NS, STARTS_PER_TURN};
use crate::ground::outcome::{Failure, FailureKind, Outcome, Phase, TokenKind};
use crate::ground::values::Token;
use crate::speak::connection::{Connection, Credentials};
use crate::tokens::{Answer, Requests, Supply, Ticket};

/// What an arrival has when its connection begins.
struct Ready {
    begun: Begun,
    /// `None`: it shows none.
    token: Option<Token>,
    /// What the HTTP request for the token took, where there was one.
    token_ns: Option<u64>,
}

impl Engine {
    /// Begins the arrivals that are due, as many as one turn may.
    pub(super) fn begin_due(&mut self, sockets: &mut Sockets<'_, Socket>, t0_ns: u64) {
        for _ in 0..STARTS_PER_TURN {
            let now_ns = sockets.now_ns();
            let Some(offset_ns) = now_ns.checked_sub(t0_ns) else {
                return;
            };
            let Some(start) = self.starts.take(offset_ns, self.in_flight) else {
                return;
            };
            self.begin(sockets, start, now_ns, t0_ns);
        }
    }

    /// Takes the tokens that have come in, and goes on with their arrivals.
    pub(super) fn take_answers(&mut self, sockets: &mut Sockets<'_, Socket>, t0_ns: u64) {
        while let Ok(answer) = self.answers.try_recv() {
            // An arrival that is not there any more has ended otherwise: timed out or interrupted.
            let begun = self.waiting.take(answer.number);
            self.turn_to_arrival(answer.number);
            self.count_token(&answer, begun.as_ref());
            let Some(begun) = begun else {
                continue;
            };
            let Answer { result, token_ns, .. } = answer;
            match result {
                Ok(token) => {
                    let now_ns = sockets.now_ns();
                    self.connect(sockets, Ready { begun, token: Some(token), token_ns }, now_ns, t0_ns);
                }
                Err(failure) => {
                    let now_ns = sockets.now_ns();
                    self.lost_token(begun, failure, token_ns, now_ns);
                }
            }
        }
    }

    /// Gives up arrivals whose token has not come within the handshake's timeout.
    pub(super) fn give_up_waiting(&mut self, now_ns: u64) {
        while let Some(begun) = self.waiting.take_late(now_ns) {
            self.turn_to_arrival(begun.number);
            let late = Failure { phase: Phase::Token, kind: FailureKind::Timeout };
            self.lost_token(begun, late, None, now_ns);
        }
    }

    /// Ends what is under way: nothing more begins, and what has begun is interrupted.
    pub(super) fn interrupt(&mut self, now_ns: u64, t0_ns: u64) {
        let due = self.starts.stop(now_ns.saturating_sub(t0_ns));
        for number in due {
            self.turn_to_arrival(number);
            self.recorder.counters.planned += 1;
            self.recorder.outcome(Outcome::NotSent);
        }
        while let Some(begun) = self.waiting.take_late(NEVER_NS) {
            self.turn_to_arrival(begun.number);
            self.count_started(&begun);
            self.in_flight -= 1;
            self.recorder.outcome(Outcome::Interrupted);
        }
    }

    fn begin(&mut self, sockets: &mut Sockets<'_, Socket>, start: Start, now_ns: u64, t0_ns: u64) {
        self.turn_to_arrival(start.number);
        self.recorder.counters.planned += 1;
        self.in_flight += 1;
        let begun = Begun {
            number: start.number,
            kind: self.kind_of(start.number),
            planned_ns: start.planned_ns.map(|offset_ns| t0_ns.saturating_add(offset_ns)),
            started_ns: now_ns,
            retries: false,
            spent_ns: 0,
            token_ns_before: None,
        };
        let token = match (begun.kind, &self.supply) {
            (TokenKind::Missing, _) => None,
            (TokenKind::Replayed, _) => self.replay.clone(),
            (TokenKind::Valid, Supply::OnDemand(requests)) => {
                let requests = requests.clone();
                return self.ask(&requests, begun, None, now_ns, t0_ns);
            }
            (TokenKind::Valid, Supply::Kept(kept, requests)) => {
                let unix_ns = self.clock_began_unix_ns.saturating_add(now_ns);
                let fresh = kept.fresh(begun.number, unix_ns);
                if fresh.is_none() {
                    let requests = requests.clone();
                    return self.ask(&requests, begun, None, now_ns, t0_ns);
                }
                fresh
            }
            (TokenKind::Valid, Supply::Ready(tokens)) => {
                let place = (begun.number % (tokens.len() as u64).max(1)) as usize;
                tokens.get(place).cloned()
            }
            (bad, _) => self.bad.get(bad, begun.number).cloned(),
        };
        if token.is_none() && begun.kind != TokenKind::Missing {
            return self.not_sent(Phase::Token, now_ns, t0_ns);
        }
        let ready = Ready { begun, token, token_ns: None };
        self.connect(sockets, ready, now_ns, t0_ns);
    }

    /// What an arrival shows. Before any was let in there is nothing to replay: until then a valid token is shown, and
    /// counted as one.
    fn kind_of(&self, number: u64) -> TokenKind {
        match self.scenario.mix.kind_of(number) {
            TokenKind::Replayed if self.replay.is_none() => TokenKind::Valid,
            kind => kind,
        }
    }

    /// Asks for an arrival's token, in place of the one that was `refused`.
    pub(super) fn ask(&mut self, requests: &Requests, begun: Begun, refused: Option<Token>, now_ns: u64, t0_ns: u64) {
        let ticket = Ticket { shard: self.shard, number: begun.number, refused };
        let deadline_ns = now_ns.saturating_add(self.limits.handshake_ns);
        let waits = self.waiting.insert(begun, deadline_ns);
        if waits && requests.ask(ticket).is_ok() {
            return;
        }
        self.waiting.take(begun.number);
        self.not_begun(begun, Phase::Token, now_ns, t0_ns);
    }

    /// Something ran out on this side: a first try was never begun, a second one has failed.
    fn not_begun(&mut self, begun: Begun, phase: Phase, now_ns: u64, t0_ns: u64) {
        let kind = FailureKind::Limit;
        if begun.retries {
            self.lost_token(begun, Failure { phase, kind }, None, now_ns);
        } else {
            self.not_sent(phase, now_ns, t0_ns);
        }
    }

    /// Opens the connection of an arrival that has its token.
    fn connect(&mut self, sockets: &mut Sockets<'_, Socket>, ready: Ready, now_ns: u64, t0_ns: u64) {
        let Ready { begun, token, token_ns } = ready;
        let credentials = Credentials { token, key: self.tools.random.key() };
        let mut flight = Flight::new(begun, credentials, token_ns, now_ns, self.limits.handshake_ns);
        let deadline_ns = flight.deadline_ns.min(now_ns.saturating_add(self.limits.connect_ns));
        let polls = self.scenario.transport.polls();
        flight.polls = polls;
        let route = self.target.route(begun.number);
        let mut socket = Socket::new(begun.number, begun.kind, self.facing, FlightId::NONE, deadline_ns);
        self.first.clear();
        if polls {
            socket.connection = Connection::polling();
        } else if route.is_some_and(|(to, _)| to.ip().is_loopback()) {
            // The connection will be up at once, so the request can go out with it.
            socket.connection.start(&self.tools, &flight.credentials, &mut self.first);
        }
        let id = self.flights.insert(flight);
        socket.flight = id;
        let connecting = match route {
            Some((to, from)) => {
                let to = Connect { to, from, tls: self.tls.clone() };
                let (flights, counters) = (&mut self.flights, &mut self.recorder.counters);
                sockets.connect_saying(to, &self.first, socket, Some(deadline_ns), |socket, up_ns| {
                    counters.sent_bytes += self.first.len() as u64;
                    socket.up(flights, up_ns);
                })
            }
            None => Err((ErrorKind::HostUnreachable.into(), socket)),
        };
        match connecting {
            Ok(main) => {
                self.count_started(&begun);
                if polls {
                    self.begin_polling(main, id);
                }
            }
            Err((error, mut socket)) => match kind_of(&error) {
                FailureKind::Limit => {
                    self.flights.take(&mut socket.flight);
                    self.not_begun(begun, Phase::Connect, now_ns, t0_ns);
                }
                kind => {
                    self.count_started(&begun);
                    self.fail(&mut socket, sockets.now_ns(), kind);
                }
            },
        }
    }

    fn lost_token(&mut self, begun: Begun, failure: Failure, token_ns: Option<u64>, now_ns: u64) {
        let outcome = outcome_of(failure.kind);
        self.in_flight -= 1;
        self.count_started(&begun);
        self.recorder.failure(failure);
        if let Some(token_ns) = token_ns {
            self.recorder.phase(failure.phase, outcome, begun.kind, token_ns);
        }
        self.recorder.outcome(outcome);
        self.reporter.handshake(begun.started_ns, now_ns);
    }

    /// An arrival was begun, which its second try is not once more.
    fn count_started(&mut self, begun: &Begun) {
        self.recorder.counters.started += u64::from(!begun.retries);
    }

    /// Something ran out on this side: the arrival was never begun.
    fn not_sent(&mut self, phase: Phase, now_ns: u64, t0_ns: u64) {
        self.in_flight -= 1;
        self.recorder.failure(Failure { phase, kind: FailureKind::Limit });
        self.recorder.outcome(Outcome::NotSent);
        let offset_ns = now_ns.saturating_sub(t0_ns);
        self.starts.rest_until(offset_ns.saturating_add(LIMIT_REST_NS));
    }
}

/// What a socket call's error means: [`FailureKind::Limit`] where this machine has run out of something.
pub(super) fn kind_of(error: &io::Error) -> FailureKind {
    let of_this_machine =
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::NOSPC, Errno::ADDRNOTAVAIL, Errno::AGAIN];
    if Errno::from_io_error(error).is_some_and(|errno| of_this_machine.contains(&errno)) {
        return FailureKind::Limit;
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => FailureKind::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => FailureKind::Reset,
        ErrorKind::TimedOut => FailureKind::Timeout,
        ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => FailureKind::Limit,
        // An unusable TLS configuration.
        ErrorKind::InvalidInput => FailureKind::Tls,
        _ => FailureKind::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_this_machine_is_a_limit_and_one_of_the_way_is_not() {
        for (errno, kind) in [
            (Errno::MFILE, FailureKind::Limit),
            (Errno::NFILE, FailureKind::Limit),
            (Errno::ADDRNOTAVAIL, FailureKind::Limit),
            (Errno::NOMEM, FailureKind::Limit),
            (Errno::CONNREFUSED, FailureKind::Refused),
            (Errno::CONNRESET, FailureKind::Reset),
            (Errno::PIPE, FailureKind::Reset),
            (Errno::TIMEDOUT, FailureKind::Timeout),
            (Errno::NETUNREACH, FailureKind::Unreachable),
            (Errno::HOSTUNREACH, FailureKind::Unreachable),
            (Errno::INVAL, FailureKind::Tls),
        ] {
            assert_eq!(kind_of(&errno.into()), kind, "{errno:?}");
        }
    }
}
