//! When a process that is down is restarted: at once, then after waits that grow with each failure.

use std::time::Duration;

/// The wait before the second attempt, which each further one doubles. A file that was being written is complete by
/// then.
const WAIT: Duration = Duration::from_millis(100);

/// The longest wait: once the cause is fixed, the process is back within this time.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A process that served this long did not fail because of its start.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// Failed attempts at each process after which a gate without any process ends.
pub(super) const FAILED_MAX: u32 = 5;

/// The attempts at one process since it last served for long.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    planned: u32,
}

impl Attempts {
    /// Plans the next attempt at a process that is down and had `served` so long; how long it is to wait.
    pub(super) fn next_after(&mut self, served: Duration) -> Duration {
        if served >= STEADY_AFTER {
            self.planned = 0;
        }
        let doublings = self.planned.checked_sub(1);
        self.planned = self.planned.saturating_add(1);
        let factor = doublings.map(|doublings| 2_u32.saturating_pow(doublings));
        factor.map_or(Duration::ZERO, |factor| WAIT.saturating_mul(factor).min(WAIT_MAX))
    }

    /// Have as many failed as may, beside the one that is planned?
    pub(super) fn are_exhausted(&self) -> bool {
        self.planned > FAILED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_ever_later_until_one_serves_for_long() {
        let mut attempts = Attempts::default();
        for (served_s, wait_ms, exhausted, why) in [
            (3600, 0, false, "the first, at once"),
            (0, 100, false, "the second"),
            (59, 200, false, "not long enough"),
            (0, 400, false, "twice as long"),
            (0, 800, false, "the fifth"),
            (0, 1600, true, "five have failed"),
            (0, 3200, true, "and so on"),
            (0, 6400, true, "and so on"),
            (0, 10_000, true, "the longest"),
            (0, 10_000, true, "and no longer"),
            (60, 0, false, "it did well"),
            (0, 100, false, "from the beginning"),
        ] {
            let wait = attempts.next_after(Duration::from_secs(served_s));
            assert_eq!(wait, Duration::from_millis(wait_ms), "{why}");
            assert_eq!(attempts.are_exhausted(), exhausted, "{why}");
        }
        for _ in 0..100 {
            attempts.next_after(Duration::ZERO);
        }
        assert_eq!(attempts.next_after(Duration::ZERO), WAIT_MAX, "for ever");
    }
}
