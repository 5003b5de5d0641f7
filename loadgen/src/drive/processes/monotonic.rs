//! One clock for all processes of a machine.

use reactor::Clock;
use rustix::time::{ClockId, clock_gettime};

/// Translates between the machine's monotonic clock (clock_gettime(2), `CLOCK_MONOTONIC`), which all processes share,
/// and the clock of a run, which begins at zero in each.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic {
    /// What the machine's clock showed when the other showed zero.
    at_zero_ns: u64,
}

/// Readings of both clocks; the closest pair counts. Between two readings a process may be put aside.
const READINGS: usize = 16;

impl Monotonic {
    /// For this clock.
    pub fn of(clock: &Clock) -> Self {
        let reading = |_| {
            let (before_ns, ns, after_ns) = (clock.now_ns(), now_ns(), clock.now_ns());
            let apart_ns = after_ns - before_ns;
            (apart_ns, ns.saturating_sub(before_ns + apart_ns / 2))
        };
        let closest = (0..READINGS).map(reading).min();
        Self { at_zero_ns: closest.map_or(0, |(_, at_zero_ns)| at_zero_ns) }
    }

    /// An instant of the run's clock on the machine's.
    pub fn to_machine_ns(self, clock_ns: u64) -> u64 {
        self.at_zero_ns.saturating_add(clock_ns)
    }

    /// An instant of the machine's clock on the run's; zero for what was before it began.
    pub fn to_clock_ns(self, machine_ns: u64) -> u64 {
        machine_ns.saturating_sub(self.at_zero_ns)
    }
}

fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // The monotonic clock counts from boot, and is never below zero.
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_agree_on_an_instant() {
        let (one, other) = (Clock::start(), Clock::start());
        let (here, there) = (Monotonic::of(&one), Monotonic::of(&other));
        let instant_ns = one.now_ns() + 1_000_000_000;
        let seen_ns = there.to_clock_ns(here.to_machine_ns(instant_ns));
        let apart = other.epoch().duration_since(one.epoch()).as_nanos() as u64;
        let off_ns = (instant_ns - apart).abs_diff(seen_ns);
        assert!(off_ns < 1_000_000, "{off_ns} ns");
    }
}
