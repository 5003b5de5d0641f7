//! Whether connections come at a high rate, which decides when a shard is best woken for them.
//!
//! At a high rate that is when their first bytes are there (TCP_DEFER_ACCEPT), so that one wake serves for both. At a low
//! rate the shard sleeps between them, and a processor may take as long to wake as a client to send its request: woken by
//! the connection, the shard finds the request there by the time it reads, and its answer finds a client that is awake;
//! woken by the request, it finds the client asleep, and to wake that one costs more than what was saved. Measured beside a
//! bare server with client and server on a core each, medians of 9 rounds: at 3,000 handshakes a second deferring took 1.12
//! and not deferring 0.90 times its processor time, at 4,000 1.07 and 0.93, at 5,000 1.02 and 1.05, at 6,000 0.86 and 0.98,
//! at 10,000 0.81 and 0.98.

/// How long connections are counted before their rate is judged.
const WINDOW_NS: u64 = 20_000_000;

/// The rate becomes high with so many connections in a window, which is 5,000 a second, ...
const HIGH_FROM: u64 = 100;
/// ... and low with fewer than so many, so that a rate near the one or the other does not switch each time.
const LOW_BELOW: u64 = 80;

/// The rate at which connections have come lately. All times are of the shard's clock.
#[derive(Debug, Default)]
pub(crate) struct AcceptRate {
    window_began_ns: u64,
    /// Connections in this window so far.
    count: u64,
    is_high: bool,
}

impl AcceptRate {
    /// Whether it is high.
    pub(crate) fn is_high(&self) -> bool {
        self.is_high
    }

    /// Counts connections that were accepted at `now_ns`. Returns whether the rate has become high or low with that.
    pub(crate) fn count(&mut self, now_ns: u64, accepted: u64) -> bool {
        self.count += accepted;
        let window_ns = now_ns.saturating_sub(self.window_began_ns);
        if window_ns < WINDOW_NS {
            return false;
        }
        let per_window = self.count.saturating_mul(WINDOW_NS) / window_ns;
        let is_high = match self.is_high {
            true => per_window >= LOW_BELOW,
            false => per_window >= HIGH_FROM,
        };
        self.window_began_ns = now_ns;
        self.count = 0;
        std::mem::replace(&mut self.is_high, is_high) != is_high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn rate_becomes_high_above_one_limit_and_low_below_another() {
        let mut rate = AcceptRate::default();
        let mut now_ns = 0;
        for (per_s, seconds_over_ten, is_high, why) in [
            (4_900, 2, false, "not enough to become high"),
            (5_100, 2, true, "enough"),
            (4_100, 2, true, "still enough to stay high"),
            (3_900, 2, false, "not any more"),
            (4_900, 2, false, "and not enough to become high again"),
            (50_000, 1, true, "high by far"),
            (1, 20, false, "a single one, a second later, ends it"),
        ] {
            let gap_ns = 1_000 * MS / per_s;
            let until_ns = now_ns + seconds_over_ten * 100 * MS;
            while now_ns < until_ns {
                now_ns += gap_ns;
                rate.count(now_ns, 1);
            }
            assert_eq!(rate.is_high(), is_high, "{per_s}/s: {why}");
        }
    }

    #[test]
    fn change_is_reported_once() {
        let mut rate = AcceptRate::default();
        assert!(!rate.count(WINDOW_NS - 1, 1_000), "the window is not over");
        assert!(rate.count(WINDOW_NS, 1), "it becomes high");
        assert!(!rate.count(2 * WINDOW_NS, 1_000), "it stays high");
        assert!(rate.count(3 * WINDOW_NS, 1), "it becomes low");
    }
}
