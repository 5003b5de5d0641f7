//! The instant of the next fetch, decided from events without a clock.

use std::time::{Duration, Instant};

/// The limits on how often a source is fetched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The shortest lifetime of a set, whatever its Cache-Control says.
    pub lifetime_min: Duration,
    /// The lifetime of a set whose Cache-Control has none.
    pub lifetime_usual: Duration,
    /// The longest lifetime, after which a key that was withdrawn is no longer used.
    pub lifetime_max: Duration,
    /// The shortest time between the starts of two fetches that tokens triggered, whether the first succeeded or not.
    pub cooldown: Duration,
    /// The time from a failure to the next fetch; each further failure doubles it.
    pub retry_min: Duration,
    /// The longest time from a failure to the next fetch.
    pub retry_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lifetime_min: Duration::from_secs(30),
            lifetime_usual: Duration::from_secs(300),
            lifetime_max: Duration::from_secs(3600),
            cooldown: Duration::from_secs(10),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
        }
    }
}

/// The plan for one source.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    /// The instant of the next fetch.
    pub due: Instant,
    /// The start of the last fetch.
    started: Option<Instant>,
    /// Failures since the last success.
    failures: u32,
}

impl Schedule {
    /// The first fetch is due at once.
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        Self { pace, due: now, started: None, failures: 0 }
    }

    /// A fetch starts.
    pub(super) fn started(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// The fetch succeeded. The next one is due after four fifths of the lifetime of the set.
    pub(super) fn fetched(&mut self, now: Instant, lifetime: Option<Duration>) {
        self.failures = 0;
        let Pace { lifetime_min, lifetime_usual, lifetime_max, .. } = self.pace;
        self.due = now + lifetime.unwrap_or(lifetime_usual).clamp(lifetime_min, lifetime_max) * 4 / 5;
    }

    /// The fetch failed.
    pub(super) fn failed(&mut self, now: Instant) {
        let doubled = self.pace.retry_min.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.due = now + doubled.min(self.pace.retry_max);
    }

    /// A token named a key that is not in the set. The fetch is due after the cooldown, whether the last one failed or
    /// not.
    pub(super) fn requested(&mut self, now: Instant) {
        let earliest = self.started.map_or(now, |started| started + self.pace.cooldown);
        self.due = self.due.min(earliest.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Event {
        Started,
        Fetched(Option<u64>),
        Failed,
        Requested,
    }
    use Event::*;

    #[test]
    fn fetches_are_due_within_the_limits() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Pace::default(), start);
        assert_eq!(schedule.due, start, "the first fetch is due at once");
        for (at_s, event, due_s, why) in [
            (0, Started, 0, "a start changes nothing"),
            (1, Fetched(None), 241, "four fifths of the usual five minutes"),
            (2, Requested, 10, "an unknown key, after the cooldown"),
            (10, Started, 10, "a start changes nothing"),
            (10, Fetched(Some(0)), 34, "no shorter than half a minute"),
            (30, Requested, 30, "the cooldown is over"),
            (30, Started, 30, "a start changes nothing"),
            (30, Fetched(Some(1_000_000)), 2910, "no longer than an hour"),
            (31, Requested, 40, "the cooldown"),
            (32, Requested, 40, "a second request does not prolong the cooldown"),
            (40, Started, 40, "a start changes nothing"),
            (50, Failed, 51, "a second after the first failure"),
            (50, Requested, 50, "a request is sooner, after the cooldown"),
            (51, Started, 50, "a start changes nothing"),
            (51, Failed, 53, "two seconds after the second failure"),
            (52, Requested, 53, "the cooldown holds for failures too"),
            (53, Started, 53, "a start changes nothing"),
            (53, Failed, 57, "four seconds after the third"),
            (57, Fetched(Some(100)), 137, "four fifths of its lifetime"),
            (137, Failed, 138, "a success resets the waits"),
        ] {
            let now = start + Duration::from_secs(at_s);
            match event {
                Started => schedule.started(now),
                Fetched(lifetime_s) => schedule.fetched(now, lifetime_s.map(Duration::from_secs)),
                Failed => schedule.failed(now),
                Requested => schedule.requested(now),
            }
            assert_eq!((schedule.due - start).as_secs(), due_s, "{why}");
        }
        for _ in 0..100 {
            schedule.failed(start);
        }
        assert_eq!(schedule.due, start + Duration::from_secs(60), "the longest wait after a failure");
    }
}
