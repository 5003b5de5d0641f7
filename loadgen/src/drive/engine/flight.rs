//! A handshake under way: its stamps, and what they come to once it is decided.
//!
//! Flights lie in a pool of their own, apart from the sockets, so that a held socket does not carry the stamps of a
//! handshake that is long over. The pool's memory is reused: a handshake allocates nothing here.

use slab::Slab;

use crate::ground::outcome::{Outcome, Phase, TokenKind};
use crate::ground::recorder::Recorder;
use crate::speak::connection::Credentials;

/// An arrival that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its number in the whole run.
    pub number: u64,
    /// What its token deserves.
    pub kind: TokenKind,
    /// When it was due; `None` in the closed model.
    pub planned_ns: Option<u64>,
    /// When it began, never before it was due: with its token request, or with its connection.
    pub started_ns: u64,
    /// It tries once more: its first token was refused.
    pub retries: bool,
    /// What the connection took on which that was, up to the refusal.
    pub spent_ns: u64,
    /// What the HTTP request for that token took, where there was one.
    pub token_ns_before: Option<u64>,
}

/// A handshake under way. All instants are of the shard's clock, each at or after the one before.
#[derive(Clone, Debug)]
pub struct Flight {
    /// The arrival.
    pub begun: Begun,
    /// What it shows.
    pub credentials: Credentials,
    /// What the HTTP request for its token took, where there was one.
    pub token_ns: Option<u64>,
    /// When its connection was begun, once it had its token.
    pub connecting_ns: u64,
    /// When it times out.
    pub deadline_ns: u64,
    /// TCP was up.
    pub connected_ns: Option<u64>,
    /// TLS was up; never set without TLS.
    pub secured_ns: Option<u64>,
    /// The 101 was there; of a session that polled, it had moved to its WebSocket.
    pub upgraded_ns: Option<u64>,
    /// Engine.IO's open packet was there; never set on a raw WebSocket.
    pub opened_ns: Option<u64>,
    /// It was let in. On a raw WebSocket the verdict comes later, when its grace is over.
    pub authenticated_ns: Option<u64>,
    /// It began by polling.
    pub polls: bool,
    /// The connection of the WebSocket that it is to move to was begun.
    pub moving_ns: Option<u64>,
    /// The phase in which another connection of it broke.
    pub broke_in: Option<Phase>,
    /// What its requests by polling took, the first `polls_done` of them.
    poll_ns: [u64; POLLS_TIMED_MAX],
    polls_done: usize,
}

/// Requests of one handshake that are timed: a GET that opens, a POST that joins, a GET for its answer, and one more of
/// each where a heartbeat comes between. What comes beyond them is no handshake's any more.
const POLLS_TIMED_MAX: usize = 5;

impl Begun {
    /// How late it began; `None` in the closed model.
    pub fn lag_ns(&self) -> Option<u64> {
        Some(self.started_ns.saturating_sub(self.planned_ns?))
    }
}

impl Flight {
    /// One that begins to connect now.
    pub fn new(begun: Begun, credentials: Credentials, token_ns: Option<u64>, now_ns: u64, timeout_ns: u64) -> Self {
        Self {
            begun,
            credentials,
            token_ns,
            connecting_ns: now_ns,
            deadline_ns: now_ns.saturating_add(timeout_ns),
            connected_ns: None,
            secured_ns: None,
            upgraded_ns: None,
            opened_ns: None,
            authenticated_ns: None,
            polls: false,
            moving_ns: None,
            broke_in: None,
            poll_ns: [0; POLLS_TIMED_MAX],
            polls_done: 0,
        }
    }

    /// A request by polling was answered.
    pub fn polled(&mut self, took_ns: u64) {
        if let Some(place) = self.poll_ns.get_mut(self.polls_done) {
            *place = took_ns;
            self.polls_done += 1;
        }
    }

    /// The phase that it is in.
    pub fn phase(&self, tls: bool, socketio: bool) -> Phase {
        if let Some(phase) = self.broke_in {
            phase
        } else if self.connected_ns.is_none() {
            Phase::Connect
        } else if tls && self.secured_ns.is_none() {
            Phase::Tls
        } else if self.polls && self.authenticated_ns.is_some() || !self.polls && self.upgraded_ns.is_none() {
            Phase::Upgrade
        } else if socketio && self.opened_ns.is_none() {
            Phase::Open
        } else {
            Phase::Auth
        }
    }

    /// Records what it took, as far as it came.
    ///
    /// ```text
    /// service  = end - connection's begin       (end - start, less what the token took; both connections of a retry)
    /// lag      = start - planned instant
    /// response = service + lag                  (end - planned instant, less what the token took)
    /// ```
    ///
    /// An interrupted handshake was not timed to any end: only its phases count.
    pub fn record(&self, recorder: &mut Recorder, outcome: Outcome, end_ns: u64) {
        let kind = self.begun.kind;
        let transport_ns = self.secured_ns.or(self.connected_ns);
        let (upgrade_ns, open_ns) = match self.polls {
            true => (self.moving_ns, transport_ns),
            false => (transport_ns, self.upgraded_ns),
        };
        for poll_ns in &self.poll_ns[..self.polls_done] {
            recorder.phase(Phase::Poll, outcome, kind, *poll_ns);
        }
        let phases = [
            (Phase::Token, self.begun.token_ns_before),
            (Phase::Token, self.token_ns),
            (Phase::Connect, between(Some(self.connecting_ns), self.connected_ns)),
            (Phase::Tls, between(self.connected_ns, self.secured_ns)),
            (Phase::Upgrade, between(upgrade_ns, self.upgraded_ns)),
            (Phase::Open, between(open_ns, self.opened_ns)),
            (Phase::Auth, between(self.opened_ns, self.authenticated_ns)),
        ];
        for (phase, duration_ns) in phases {
            if let Some(duration_ns) = duration_ns {
                recorder.phase(phase, outcome, kind, duration_ns);
            }
        }
        if outcome != Outcome::Interrupted {
            let service_ns = end_ns.saturating_sub(self.connecting_ns) + self.begun.spent_ns;
            recorder.handshake(outcome, kind, service_ns, self.begun.lag_ns());
        }
    }
}

fn between(from_ns: Option<u64>, to_ns: Option<u64>) -> Option<u64> {
    Some(to_ns?.saturating_sub(from_ns?))
}

/// The handshakes under way of one shard.
#[derive(Debug, Default)]
pub struct Flights(Slab<Flight>);

/// The place of a flight in its pool; [`FlightId::NONE`] for a socket whose handshake is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlightId(u32);

impl FlightId {
    /// No flight.
    pub const NONE: Self = Self(u32::MAX);

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl Flights {
    /// Puts a flight into the pool. A process has fewer than 2^31 descriptors, so every place has an id.
    pub fn insert(&mut self, flight: Flight) -> FlightId {
        FlightId(self.0.insert(flight) as u32)
    }

    /// A flight that is still under way.
    pub fn get(&self, id: FlightId) -> Option<&Flight> {
        self.0.get(id.0 as usize)
    }

    /// The same, to stamp it.
    pub fn get_mut(&mut self, id: FlightId) -> Option<&mut Flight> {
        self.0.get_mut(id.0 as usize)
    }

    /// Takes a flight out of the pool and out of its socket.
    pub fn take(&mut self, id: &mut FlightId) -> Option<Flight> {
        let taken = std::mem::replace(id, FlightId::NONE);
        self.0.try_remove(taken.0 as usize)
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::recorder::{Metric, Part};

    /// Due at 100, begun at 130, its token there at 500 after 350 of HTTP.
    fn flight(planned_ns: Option<u64>) -> Flight {
        let begun = Begun {
            number: 0,
            kind: TokenKind::Valid,
            planned_ns,
            started_ns: 130,
            retries: false,
            spent_ns: 0,
            token_ns_before: None,
        };
        let credentials = Credentials { token: Some("a.b.c".into()), key: [b'A'; 24] };
        Flight::new(begun, credentials, Some(350), 500, 10_000)
    }

    #[test]
    fn each_phase_is_the_time_between_its_stamps() {
        let mut flight = flight(Some(100));
        flight.connected_ns = Some(510);
        flight.secured_ns = Some(530);
        flight.upgraded_ns = Some(570);
        flight.opened_ns = Some(650);
        flight.authenticated_ns = Some(810);
        let mut recorder = Recorder::new();
        flight.record(&mut recorder, Outcome::Established, 810);
        for (metric, duration_ns, why) in [
            (Metric::Phase(Phase::Token), 350, "the HTTP request alone"),
            (Metric::Phase(Phase::Connect), 10, "from the connection's begin"),
            (Metric::Phase(Phase::Tls), 20, "from TCP"),
            (Metric::Phase(Phase::Upgrade), 40, "from TLS"),
            (Metric::Phase(Phase::Open), 80, "from the 101"),
            (Metric::Phase(Phase::Auth), 160, "from the open packet"),
            (Metric::Handshake(Part::Lag), 30, "130 - 100"),
            (Metric::Handshake(Part::Service), 310, "810 - 130, less the 370 that the token took"),
            (Metric::Handshake(Part::Response), 340, "810 - 100, less the 370 that the token took"),
        ] {
            let held = recorder.latency(metric, Outcome::Established);
            assert_eq!((held.count(), held.max_ns()), (1, duration_ns), "{why}");
        }
    }

    #[test]
    fn what_was_not_reached_is_not_recorded() {
        let mut recorder = Recorder::new();
        flight(None).record(&mut recorder, Outcome::Timeout, 1_500);
        let metrics: Vec<_> = recorder.latencies().map(|(metric, ..)| metric).collect();
        let service = Metric::Handshake(Part::Service);
        assert_eq!(metrics, [Metric::Phase(Phase::Token), service], "no lag in a closed model");
        assert_eq!(recorder.latency(service, Outcome::Timeout).quantile_ns(1.0), 1_000);

        let mut recorder = Recorder::new();
        flight(Some(100)).record(&mut recorder, Outcome::Interrupted, 600);
        assert!(recorder.latencies().all(|(metric, ..)| metric == Metric::Phase(Phase::Token)));
    }

    #[test]
    fn stamps_tell_the_phase() {
        let mut flight = flight(None);
        assert_eq!(flight.phase(true, true), Phase::Connect);
        flight.connected_ns = Some(1);
        assert_eq!(flight.phase(true, true), Phase::Tls);
        assert_eq!(flight.phase(false, true), Phase::Upgrade);
        flight.secured_ns = Some(2);
        assert_eq!(flight.phase(true, true), Phase::Upgrade);
        flight.upgraded_ns = Some(3);
        assert_eq!(flight.phase(true, true), Phase::Open);
        assert_eq!(flight.phase(true, false), Phase::Auth, "a raw WebSocket has no open packet");
        flight.opened_ns = Some(4);
        assert_eq!(flight.phase(true, true), Phase::Auth);
    }

    #[test]
    fn a_decided_socket_has_no_flight() {
        let mut flights = Flights::default();
        let mut id = flights.insert(flight(None));
        assert!(flights.get(id).is_some() && !id.is_none());
        assert!(flights.take(&mut id).is_some());
        assert!(id.is_none() && flights.get(id).is_none() && flights.is_empty());
        assert!(flights.take(&mut id).is_none());
    }
}
