//! Tokens made anew: for a user's next socket ahead of `exp`, and for an arrival whose token was refused.

use reactor::Io;

use crate::drive::engine::Engine;
use crate::drive::engine::flight::Begun;
use crate::drive::engine::socket::Socket;
use crate::ground::outcome::TokenKind;
use crate::ground::values::Token;
use crate::spec::Refresh;
use crate::tokens::{Answer, Supply, expires_unix_ns};

/// An arrival that is to try once more.
#[derive(Debug)]
pub struct Retry {
    begun: Begun,
    refused: Option<Token>,
}

impl Engine {
    /// Counts what came of a request for a token. `begun`: the arrival that asked, unless it has ended since.
    pub(super) fn count_token(&mut self, answer: &Answer, begun: Option<&Begun>) {
        let counters = &mut self.recorder.counters;
        if answer.token_ns.is_some() {
            counters.token_requests += 1;
            counters.token_failures += u64::from(answer.result.is_err());
        }
        let (Some(begun), true, Ok(_)) = (begun, answer.made, &answer.result) else {
            return;
        };
        if begun.retries {
            counters.refreshed_on_refusal += 1;
        } else if matches!(self.supply, Supply::Kept(..)) {
            counters.refreshed_ahead += 1;
        }
    }

    /// Whether an arrival whose token was refused gets another one and tries once more.
    pub(super) fn may_retry(&self, socket: &Socket) -> bool {
        let flight = self.flights.get(socket.flight);
        self.scenario.refresh == Refresh::OnRefusal
            && socket.kind == TokenKind::Valid
            && self.supply.requests().is_some()
            && !self.heard.stop
            && flight.is_some_and(|flight| !flight.begun.retries)
    }

    /// Lets an arrival whose token was refused begin once more, with another; the first refusal is counted by itself.
    pub(super) fn retry(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        self.turned_away(io, socket, now_ns, |engine, socket| {
            let Some(flight) = engine.flights.take(&mut socket.flight) else {
                return;
            };
            if flight.authenticated_ns.is_some() {
                // Its place had been given back: it takes one again.
                engine.in_flight += 1;
            }
            engine.recorder.counters.refused_first += 1;
            let begun = Begun {
                retries: true,
                spent_ns: now_ns.saturating_sub(flight.connecting_ns),
                token_ns_before: flight.token_ns,
                ..flight.begun
            };
            engine.retries.push(Retry { begun, refused: flight.credentials.token });
            engine.again = true;
        });
    }

    /// Asks for the new tokens of arrivals that are to try once more.
    pub(super) fn begin_retries(&mut self, now_ns: u64, t0_ns: u64) {
        let Some(requests) = self.supply.requests().cloned() else {
            return;
        };
        for Retry { begun, refused } in std::mem::take(&mut self.retries) {
            self.turn_to_arrival(begun.number);
            self.ask(&requests, begun, refused, now_ns, t0_ns);
        }
    }

    /// When a token ends, on the shard's clock.
    pub(super) fn expires_ns(&self, token: &str) -> Option<u64> {
        expires_unix_ns(token)?.checked_sub(self.clock_began_unix_ns)
    }
}
