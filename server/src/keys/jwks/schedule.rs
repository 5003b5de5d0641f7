//! When a set is fetched next: decided from what happened, without a clock.

use std::time::{Duration, Instant};

/// The limits between which a source is fetched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// A set is taken for fresh no shorter than this, whatever its Cache-Control says.
    pub lifetime_min: Duration,
    /// How long, when its Cache-Control says nothing.
    pub lifetime_usual: Duration,
    /// Nor longer than this: a key that was withdrawn must be forgotten some day.
    pub lifetime_max: Duration,
    /// Between the starts of two fetches that tokens asked for there is at least this, whatever came of the first.
    pub cooldown: Duration,
    /// After a failure the next fetch comes this much later, then twice as much, and so on.
    pub retry_min: Duration,
    /// But no later than this.
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
    due: Instant,
    /// The start of the last fetch.
    begun: Option<Instant>,
    /// Since the last success.
    failures: u32,
}

impl Schedule {
    /// The first fetch is due at once.
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        Self { pace, due: now, begun: None, failures: 0 }
    }

    /// When the next fetch is to begin.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// A fetch begins.
    pub(super) fn begun(&mut self, now: Instant) {
        self.begun = Some(now);
    }

    /// It brought a set that says how long it is fresh, or does not. The next comes ahead of the end, while this one
    /// is good still.
    pub(super) fn fetched(&mut self, now: Instant, lifetime: Option<Duration>) {
        self.failures = 0;
        let lifetime =
            lifetime.unwrap_or(self.pace.lifetime_usual).clamp(self.pace.lifetime_min, self.pace.lifetime_max);
        self.due = now + lifetime * 4 / 5;
    }

    /// It failed.
    pub(super) fn failed(&mut self, now: Instant) {
        let doubled = self.pace.retry_min.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.due = now + doubled.min(self.pace.retry_max);
    }

    /// A token named a key that is not in the set. Time alone decides when that counts: a source that has nothing, or
    /// fails, is asked no sooner than another.
    pub(super) fn wanted(&mut self, now: Instant) {
        let earliest = self.begun.map_or(now, |begun| begun + self.pace.cooldown);
        self.due = self.due.min(earliest.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Event {
        Begun,
        Fetched(Option<u64>),
        Failed,
        Wanted,
    }
    use Event::*;

    #[test]
    fn fetches_are_due_within_bounds() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Pace::default(), start);
        assert_eq!(schedule.due(), start, "the first at once");
        for (at_s, event, due_s, why) in [
            (0, Begun, 0, "under way"),
            (1, Fetched(None), 241, "four fifths of the usual five minutes"),
            (2, Wanted, 10, "an unknown key, after the cooldown"),
            (10, Begun, 10, "under way"),
            (10, Fetched(Some(0)), 34, "no shorter than half a minute"),
            (30, Wanted, 30, "the cooldown is over"),
            (30, Begun, 30, "under way"),
            (30, Fetched(Some(1_000_000)), 2910, "no longer than an hour"),
            (31, Wanted, 40, "the cooldown"),
            (32, Wanted, 40, "is not begun anew"),
            (40, Begun, 40, "under way"),
            (50, Failed, 51, "a second later"),
            (50, Wanted, 50, "sooner, if the cooldown allows"),
            (51, Begun, 50, "under way"),
            (51, Failed, 53, "then two"),
            (52, Wanted, 53, "the cooldown holds for failures too"),
            (53, Begun, 53, "under way"),
            (53, Failed, 57, "then four"),
            (57, Fetched(Some(100)), 137, "as it says"),
            (137, Failed, 138, "from the start again"),
        ] {
            let now = start + Duration::from_secs(at_s);
            match event {
                Begun => schedule.begun(now),
                Fetched(lifetime_s) => {
                    schedule.fetched(now, lifetime_s.map(Duration::from_secs));
                }
                Failed => schedule.failed(now),
                Wanted => schedule.wanted(now),
            }
            assert_eq!((schedule.due() - start).as_secs(), due_s, "{why}");
        }
        for _ in 0..100 {
            schedule.failed(start);
        }
        assert_eq!(schedule.due(), start + Duration::from_secs(60), "never later");
    }
}
