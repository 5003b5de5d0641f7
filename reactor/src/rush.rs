//! Whether connections come densely, which decides when a shard is best told of them.
//!
//! In a rush that is with their first bytes (TCP_DEFER_ACCEPT), so that one wake serves for both. Where they come rarely the
//! shard sleeps between them, and a processor may take as long to wake as a client to send its request: woken by the
//! connection, the shard finds the request there by the time it reads, and its answer finds a client that is awake; woken by
//! the request, it finds the client asleep, and to wake that one costs more than what was saved. Measured beside a bare
//! server with client and server on a core each, medians of 9 rounds: at 3,000 handshakes a second deferring took 1.12 and
//! not deferring 0.90 times its processor time, at 4,000 1.07 and 0.93, at 5,000 1.02 and 1.05, at 6,000 0.86 and 0.98, at
//! 10,000 0.81 and 0.98.

/// How long connections are counted before it is known whether they come densely.
const WINDOW_NS: u64 = 20_000_000;

/// A rush begins with so many in a window, which is 5,000 a second, ...
const BEGINS_AT: u64 = 100;
/// ... and ends with fewer than so many, so that a rate near the one or the other does not switch each time.
const ENDS_BELOW: u64 = 80;

/// How densely connections have come of late. All times are of the shard's clock.
#[derive(Debug, Default)]
pub(crate) struct Rush {
    window_began_ns: u64,
    /// Connections in this window so far.
    count: u64,
    is_on: bool,
}

impl Rush {
    /// Whether there is one.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Counts connections that were accepted at `now_ns`. The answer is whether a rush has begun or ended with that.
    pub(crate) fn count(&mut self, now_ns: u64, accepted: u64) -> bool {
        self.count += accepted;
        let window_ns = now_ns.saturating_sub(self.window_began_ns);
        if window_ns < WINDOW_NS {
            return false;
        }
        let per_window = self.count.saturating_mul(WINDOW_NS) / window_ns;
        let is_on = match self.is_on {
            true => per_window >= ENDS_BELOW,
            false => per_window >= BEGINS_AT,
        };
        self.window_began_ns = now_ns;
        self.count = 0;
        std::mem::replace(&mut self.is_on, is_on) != is_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_rush_begins_above_one_rate_and_ends_below_another() {
        let mut rush = Rush::default();
        let mut now_ns = 0;
        for (per_s, seconds_over_ten, is_on, why) in [
            (4_900, 2, false, "not dense enough to begin"),
            (5_100, 2, true, "dense enough"),
            (4_100, 2, true, "still dense enough to go on"),
            (3_900, 2, false, "not any more"),
            (4_900, 2, false, "and not enough to begin anew"),
            (50_000, 1, true, "dense by far"),
            (1, 20, false, "one, a second later, tells that it is over"),
        ] {
            let gap_ns = 1_000 * MS / per_s;
            let until_ns = now_ns + seconds_over_ten * 100 * MS;
            while now_ns < until_ns {
                now_ns += gap_ns;
                rush.count(now_ns, 1);
            }
            assert_eq!(rush.is_on(), is_on, "{per_s}/s: {why}");
        }
    }

    #[test]
    fn a_change_is_told_once() {
        let mut rush = Rush::default();
        assert!(!rush.count(WINDOW_NS - 1, 1_000), "the window is not over");
        assert!(rush.count(WINDOW_NS, 1), "it begins");
        assert!(!rush.count(2 * WINDOW_NS, 1_000), "it goes on");
        assert!(rush.count(3 * WINDOW_NS, 1), "it ends");
    }
}
