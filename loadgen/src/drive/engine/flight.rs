//! A flight: one handshake under way, with the instants of its phases, recorded once it has its outcome.
//!
//! Flights lie in a pool of their own, so that a held socket does not carry the instants of its handshake. The pool's
//! memory is reused: a handshake allocates nothing here.

use slab::Slab;

use crate::ground::outcome::{Outcome, Phase, TokenKind};
use crate::ground::recorder::Recorder;
use crate::ground::time::ShardInstant;
use crate::speak::connection::Credentials;

/// An arrival that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartedArrival {
    /// Its number in the whole run.
    pub number: u64,
    /// The index of its target.
    pub target: u8,
    /// The kind of its token.
    pub kind: TokenKind,
    /// Its planned instant; `None` in the closed model.
    pub planned: Option<ShardInstant>,
    /// When it was started, never before it was planned: with its token request, or with its connection.
    pub started: ShardInstant,
    /// It is the second attempt: the token of the first was refused.
    pub is_retry: bool,
    /// The duration of the first attempt's connection, up to the refusal.
    pub first_attempt_ns: u64,
    /// The duration of the first attempt's HTTP request for a token, where there was one.
    pub first_token_ns: Option<u64>,
}

/// A handshake under way. Each instant is at or after the one before.
#[derive(Clone, Debug)]
pub struct Flight {
    /// The arrival.
    pub arrival: StartedArrival,
    /// Its token and key.
    pub credentials: Credentials,
    /// The duration of the HTTP request for its token, where there was one.
    pub token_ns: Option<u64>,
    /// When its connection was started, once it had its token.
    pub connecting: ShardInstant,
    /// When it times out.
    pub deadline: ShardInstant,
    /// TCP was up.
    pub connected: Option<ShardInstant>,
    /// TLS was up; never set without TLS.
    pub secured: Option<ShardInstant>,
    /// The 101 was received; a session that polled had moved to its WebSocket.
    pub upgraded: Option<ShardInstant>,
    /// Engine.IO's open packet was received; never set on a raw WebSocket.
    pub opened: Option<ShardInstant>,
    /// It was accepted. On a raw WebSocket the outcome comes later, at the end of its grace.
    pub authenticated: Option<ShardInstant>,
    /// Its session begins by polling.
    pub is_polling: bool,
    /// The connection of the WebSocket that its session is to move to was started.
    pub moving: Option<ShardInstant>,
    /// The phase in which another connection of its session failed.
    pub failed_in: Option<Phase>,
    /// The durations of its first `polls_done` requests by polling.
    poll_ns: [u64; POLLS_TIMED_MAX],
    polls_done: usize,
}

/// Requests of one handshake that are timed: a GET that opens, a POST that joins, a GET for its answer, and one more of
/// each for a heartbeat in between. Later ones are counted no longer.
const POLLS_TIMED_MAX: usize = 5;

impl StartedArrival {
    /// How late it was started; `None` in the closed model.
    pub fn lag_ns(&self) -> Option<u64> {
        Some(self.started - self.planned?)
    }
}

impl Flight {
    /// The flight of an arrival whose connection is started at `now`.
    pub fn new(
        arrival: StartedArrival,
        credentials: Credentials,
        token_ns: Option<u64>,
        now: ShardInstant,
        timeout_ns: u64,
    ) -> Self {
        Self {
            arrival,
            credentials,
            token_ns,
            connecting: now,
            deadline: now + timeout_ns,
            connected: None,
            secured: None,
            upgraded: None,
            opened: None,
            authenticated: None,
            is_polling: false,
            moving: None,
            failed_in: None,
            poll_ns: [0; POLLS_TIMED_MAX],
            polls_done: 0,
        }
    }

    /// Stores the duration of a request by polling.
    pub fn poll_answered(&mut self, duration_ns: u64) {
        if let Some(slot) = self.poll_ns.get_mut(self.polls_done) {
            *slot = duration_ns;
            self.polls_done += 1;
        }
    }

    /// The phase that it is in.
    pub fn phase(&self, is_tls: bool, is_socketio: bool) -> Phase {
        let is_before_upgrade = match self.is_polling {
            true => self.authenticated.is_some(),
            false => self.upgraded.is_none(),
        };
        if let Some(phase) = self.failed_in {
            phase
        } else if self.connected.is_none() {
            Phase::Connect
        } else if is_tls && self.secured.is_none() {
            Phase::Tls
        } else if is_before_upgrade {
            Phase::Upgrade
        } else if is_socketio && self.opened.is_none() {
            Phase::Open
        } else {
            Phase::Auth
        }
    }

    /// Records its durations, as far as it came.
    ///
    /// ```text
    /// service  = end - connection's start       (without the token request; both connections of a retry)
    /// lag      = start - planned instant
    /// response = service + lag
    /// ```
    ///
    /// An interrupted handshake has no end: only its phases count.
    pub fn record(&self, recorder: &mut Recorder, outcome: Outcome, end: ShardInstant) {
        let kind = self.arrival.kind;
        let transport = self.secured.or(self.connected);
        let (upgrade, open) = match self.is_polling {
            true => (self.moving, transport),
            false => (transport, self.upgraded),
        };
        for poll_ns in &self.poll_ns[..self.polls_done] {
            recorder.phase(Phase::Poll, outcome, kind, *poll_ns);
        }
        let phases = [
            (Phase::Token, self.arrival.first_token_ns),
            (Phase::Token, self.token_ns),
            (Phase::Connect, between(Some(self.connecting), self.connected)),
            (Phase::Tls, between(self.connected, self.secured)),
            (Phase::Upgrade, between(upgrade, self.upgraded)),
            (Phase::Open, between(open, self.opened)),
            (Phase::Auth, between(self.opened, self.authenticated)),
        ];
        for (phase, duration_ns) in phases {
            if let Some(duration_ns) = duration_ns {
                recorder.phase(phase, outcome, kind, duration_ns);
            }
        }
        if outcome != Outcome::Interrupted {
            let service_ns = (end - self.connecting) + self.arrival.first_attempt_ns;
            recorder.handshake(outcome, kind, service_ns, self.arrival.lag_ns());
        }
    }
}

fn between(from: Option<ShardInstant>, to: Option<ShardInstant>) -> Option<u64> {
    Some(to? - from?)
}

/// The pool of a shard's flights.
#[derive(Debug, Default)]
pub struct Flights(Slab<Flight>);

/// The index of a flight in its pool; [`FlightId::NONE`] for a socket whose handshake has its outcome.
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
    /// Puts a flight into the pool. A process has fewer than 2^31 descriptors, so every index fits.
    pub fn insert(&mut self, flight: Flight) -> FlightId {
        FlightId(self.0.insert(flight) as u32)
    }

    /// A flight that is under way.
    pub fn get(&self, id: FlightId) -> Option<&Flight> {
        self.0.get(id.0 as usize)
    }

    /// The same, to change it.
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

    fn at(ns: u64) -> ShardInstant {
        ShardInstant::from_ns(ns)
    }

    /// Planned at 100, started at 130, its token received at 500 after 350 of HTTP.
    fn flight(planned_ns: Option<u64>) -> Flight {
        let arrival = StartedArrival {
            number: 0,
            target: 0,
            kind: TokenKind::Valid,
            planned: planned_ns.map(at),
            started: at(130),
            is_retry: false,
            first_attempt_ns: 0,
            first_token_ns: None,
        };
        let credentials = Credentials { token: Some("a.b.c".into()), key: [b'A'; 24] };
        Flight::new(arrival, credentials, Some(350), at(500), 10_000)
    }

    #[test]
    fn each_phase_is_the_time_between_its_stamps() {
        let mut flight = flight(Some(100));
        flight.connected = Some(at(510));
        flight.secured = Some(at(530));
        flight.upgraded = Some(at(570));
        flight.opened = Some(at(650));
        flight.authenticated = Some(at(810));
        let mut recorder = Recorder::new();
        flight.record(&mut recorder, Outcome::Established, at(810));
        for (metric, duration_ns, why) in [
            (Metric::Phase(Phase::Token), 350, "the HTTP request alone"),
            (Metric::Phase(Phase::Connect), 10, "from the connection's start"),
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
    fn phases_that_were_not_reached_are_not_recorded() {
        let mut recorder = Recorder::new();
        flight(None).record(&mut recorder, Outcome::Timeout, at(1_500));
        let metrics: Vec<_> = recorder.latencies().map(|(metric, ..)| metric).collect();
        let service = Metric::Handshake(Part::Service);
        assert_eq!(metrics, [Metric::Phase(Phase::Token), service], "no lag in a closed model");
        assert_eq!(recorder.latency(service, Outcome::Timeout).quantile_ns(1.0), 1_000);

        let mut recorder = Recorder::new();
        flight(Some(100)).record(&mut recorder, Outcome::Interrupted, at(600));
        assert!(recorder.latencies().all(|(metric, ..)| metric == Metric::Phase(Phase::Token)));
    }

    #[test]
    fn the_phase_follows_from_the_instants() {
        let mut flight = flight(None);
        assert_eq!(flight.phase(true, true), Phase::Connect);
        flight.connected = Some(at(1));
        assert_eq!(flight.phase(true, true), Phase::Tls);
        assert_eq!(flight.phase(false, true), Phase::Upgrade);
        flight.secured = Some(at(2));
        assert_eq!(flight.phase(true, true), Phase::Upgrade);
        flight.upgraded = Some(at(3));
        assert_eq!(flight.phase(true, true), Phase::Open);
        assert_eq!(flight.phase(true, false), Phase::Auth, "a raw WebSocket has no open packet");
        flight.opened = Some(at(4));
        assert_eq!(flight.phase(true, true), Phase::Auth);
    }

    #[test]
    fn a_flight_is_taken_once() {
        let mut flights = Flights::default();
        let mut id = flights.insert(flight(None));
        assert!(flights.get(id).is_some() && !id.is_none());
        assert!(flights.take(&mut id).is_some());
        assert!(id.is_none() && flights.get(id).is_none() && flights.is_empty());
        assert!(flights.take(&mut id).is_none());
    }
}
