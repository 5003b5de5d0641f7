//! When a process that is down is restarted: at once, then after waits that grow with each failure.

use std::time::Duration;

/// The wait before the second attempt; each further attempt doubles it. In this time, a file that is being written can be
/// completed.
const WAIT: Duration = Duration::from_millis(100);

/// The longest wait: once the fault is corrected, the process restarts within this time.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A process that served this long did not fail because of a fault at its start.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// Failed attempts at each process after which a gate without any process ends.
pub(super) const FAILED_MAX: u32 = 5;

/// The attempts at one process since it last served for long.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    planned: u32,
}

impl Attempts {
    /// Plans the next attempt at a process that is down after it `served` this long; returns the wait before the attempt.
    pub(super) fn next_after(&mut self, served: Duration) -> Duration {
        if served >= STEADY_AFTER {
            self.planned = 0;
        }
        let doublings = self.planned.checked_sub(1);
        self.planned = self.planned.saturating_add(1);
        let factor = doublings.map(|doublings| 2_u32.saturating_pow(doublings));
        factor.map_or(Duration::ZERO, |factor| WAIT.saturating_mul(factor).min(WAIT_MAX))
    }

    /// Whether [`FAILED_MAX`] attempts have failed, the planned one not counted.
    pub(super) fn are_exhausted(&self) -> bool {
        self.planned > FAILED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_doubles_with_each_failure_until_the_process_serves_for_long() {
        let mut attempts = Attempts::default();
        for (served_s, wait_ms, exhausted, why) in [
            (3600, 0, false, "the first attempt has no wait"),
            (0, 100, false, "the second attempt"),
            (59, 200, false, "served a second too short"),
            (0, 400, false, "the fourth attempt"),
            (0, 800, false, "the fifth attempt"),
            (0, 1600, true, "five have failed"),
            (0, 3200, true, "the seventh attempt"),
            (0, 6400, true, "the eighth attempt"),
            (0, 10_000, true, "the longest wait"),
            (0, 10_000, true, "the longest wait again"),
            (60, 0, false, "served for long"),
            (0, 100, false, "the second attempt again"),
        ] {
            let wait = attempts.next_after(Duration::from_secs(served_s));
            assert_eq!(wait, Duration::from_millis(wait_ms), "{why}");
            assert_eq!(attempts.are_exhausted(), exhausted, "{why}");
        }
        for _ in 0..100 {
            attempts.next_after(Duration::ZERO);
        }
        assert_eq!(attempts.next_after(Duration::ZERO), WAIT_MAX, "no overflow");
    }
}
