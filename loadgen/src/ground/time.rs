//! The four clocks of a run as four types, so that instants of different clocks cannot be mixed up.
//!
//! | type | counts from |
//! |---|---|
//! | [`ShardInstant`] | the start of the run's [`Clock`], which all shards of a process share |
//! | [`RunInstant`] | T0, the instant from which arrivals are planned |
//! | [`UnixInstant`] | 1970 (`exp` of tokens) |
//! | [`MachineInstant`] | the boot of the machine (`CLOCK_MONOTONIC`), the same for all of its processes |
//!
//! All are whole nanoseconds. The difference of two instants of one clock is a duration in nanoseconds, a plain `u64`.
//! An instant moves to another clock only with the offset between the two: T0, or a [`ClockOffset`].

use std::ops::{Add, Sub};
use std::time::{SystemTime, UNIX_EPOCH};

use reactor::Clock;
use rustix::time::{ClockId, Timespec, clock_gettime};

macro_rules! instant {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(u64);

        impl $name {
            /// Later than every instant of a run.
            pub const NEVER: Self = Self(u64::MAX);

            /// The instant this many nanoseconds after the clock's zero.
            pub const fn from_ns(ns: u64) -> Self {
                Self(ns)
            }

            /// Nanoseconds after the clock's zero.
            pub const fn as_ns(self) -> u64 {
                self.0
            }
        }

        /// The instant a duration in nanoseconds later, at most [`Self::NEVER`].
        impl Add<u64> for $name {
            type Output = Self;

            fn add(self, duration_ns: u64) -> Self {
                Self(self.0.saturating_add(duration_ns))
            }
        }

        /// The nanoseconds since an earlier instant; zero since a later one.
        impl Sub for $name {
            type Output = u64;

            fn sub(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }
    };
}

instant!(
    /// An instant of the run's [`Clock`].
    ShardInstant
);
instant!(
    /// An instant after T0.
    RunInstant
);
instant!(
    /// An instant since 1970, without leap seconds.
    UnixInstant
);
instant!(
    /// An instant of the machine's monotonic clock.
    MachineInstant
);

impl ShardInstant {
    /// Reads the run's clock.
    pub fn now(clock: &Clock) -> Self {
        Self(clock.now_ns())
    }

    /// The same instant after `t0`; `None` before it.
    pub fn after_t0(self, t0: Self) -> Option<RunInstant> {
        self.0.checked_sub(t0.0).map(RunInstant)
    }
}

impl RunInstant {
    /// The same instant of the run's clock.
    pub fn on_shard_clock(self, t0: ShardInstant) -> ShardInstant {
        t0 + self.0
    }
}

impl UnixInstant {
    /// Reads the machine's calendar clock; a clock before 1970 counts as zero.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl MachineInstant {
    /// Reads the machine's monotonic clock (clock_gettime(2)).
    pub fn now() -> Self {
        Self(timespec_ns(clock_gettime(ClockId::Monotonic)))
    }
}

/// A time of the kernel in nanoseconds; times below zero count as zero.
pub fn timespec_ns(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

/// What another clock showed when the run's clock showed zero.
#[derive(Clone, Copy, Debug)]
pub struct ClockOffset<I>(I);

/// Pairs of readings, of which the closest counts: between two readings the kernel may run another process.
const READINGS: usize = 16;

impl ClockOffset<UnixInstant> {
    /// Reads both clocks once; `exp` is in seconds.
    pub fn to_unix(clock: &Clock) -> Self {
        let shard_ns = clock.now_ns();
        Self(UnixInstant(UnixInstant::now().0.saturating_sub(shard_ns)))
    }

    /// An instant of the run's clock since 1970.
    pub fn unix(self, instant: ShardInstant) -> UnixInstant {
        self.0 + instant.0
    }

    /// An instant since 1970 on the run's clock; `None` before the clock's start.
    pub fn from_unix(self, instant: UnixInstant) -> Option<ShardInstant> {
        instant.0.checked_sub(self.0.0).map(ShardInstant)
    }
}

impl ClockOffset<MachineInstant> {
    /// Reads both clocks several times; the error is below a microsecond as a rule.
    pub fn to_machine(clock: &Clock) -> Self {
        let reading = |_| {
            let (before, machine, after) = (clock.now_ns(), MachineInstant::now(), clock.now_ns());
            let gap_ns = after - before;
            (gap_ns, machine.0.saturating_sub(before + gap_ns / 2))
        };
        let closest = (0..READINGS).map(reading).min();
        Self(MachineInstant(closest.map_or(0, |(_, at_zero_ns)| at_zero_ns)))
    }

    /// An instant of the run's clock on the machine's.
    pub fn machine(self, instant: ShardInstant) -> MachineInstant {
        self.0 + instant.0
    }

    /// An instant of the machine's clock on the run's; zero for those before the clock's start.
    pub fn from_machine(self, instant: MachineInstant) -> ShardInstant {
        ShardInstant(instant - self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_zero_and_at_never() {
        let (one, two) = (ShardInstant::from_ns(1), ShardInstant::from_ns(2));
        assert_eq!((two - one, one - two), (1, 0));
        assert_eq!(two + u64::MAX, ShardInstant::NEVER);
        assert_eq!(two.after_t0(one), Some(RunInstant::from_ns(1)));
        assert_eq!(one.after_t0(two), None, "T0 has not come");
        assert_eq!(RunInstant::from_ns(1).on_shard_clock(one), two);
    }

    #[test]
    fn two_clocks_of_one_machine_agree_on_an_instant() {
        let (one, other) = (Clock::start(), Clock::start());
        let (here, there) = (ClockOffset::to_machine(&one), ClockOffset::to_machine(&other));
        let instant = ShardInstant::now(&one) + 1_000_000_000;
        let seen = there.from_machine(here.machine(instant));
        let apart_ns = other.epoch().duration_since(one.epoch()).as_nanos() as u64;
        let error_ns = (instant.as_ns() - apart_ns).abs_diff(seen.as_ns());
        assert!(error_ns < 1_000_000, "{error_ns} ns");
    }

    #[test]
    fn an_instant_since_1970_is_found_on_the_run_clock() {
        let offset = ClockOffset(UnixInstant::from_ns(100));
        assert_eq!(offset.unix(ShardInstant::from_ns(5)), UnixInstant::from_ns(105));
        assert_eq!(offset.from_unix(UnixInstant::from_ns(105)), Some(ShardInstant::from_ns(5)));
        assert_eq!(offset.from_unix(UnixInstant::from_ns(99)), None);
    }
}
