//! The time of day of one shard.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A shard uses one reading of the wall clock at most this long, because the clock may be set at any time.
const READING_NS_MAX: u64 = 100_000_000;

/// A source of the time of day, in nanoseconds since 1970. Clones read the same clock.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl WallClock {
    pub fn new(unix_ns: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(unix_ns))
    }

    /// The system's clock. A time before 1970 is wrong and reads as 0, so that every token with a time is refused.
    pub fn system() -> Self {
        Self::new(|| {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
            since_1970.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
        })
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock(..)")
    }
}

/// The time of day of one shard. Between two readings of the wall clock it advances with the shard's own clock.
#[derive(Debug)]
pub(super) struct TimeOfDay {
    clock: WallClock,
    reading: Option<Reading>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    /// The time of the reading on the shard's clock.
    read_at_ns: u64,
    unix_ns: u64,
}

impl TimeOfDay {
    pub(super) fn new(clock: WallClock) -> Self {
        Self { clock, reading: None }
    }

    /// Nanoseconds since 1970 when the shard's clock shows `now_ns`.
    pub(super) fn unix_ns(&mut self, now_ns: u64) -> u64 {
        let age_ns = |reading: &Reading| now_ns.saturating_sub(reading.read_at_ns);
        let recent = self.reading.filter(|reading| age_ns(reading) < READING_NS_MAX);
        let reading = recent.unwrap_or_else(|| Reading { read_at_ns: now_ns, unix_ns: (self.clock.0)() });
        self.reading = Some(reading);
        reading.unix_ns.saturating_add(age_ns(&reading))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[test]
    fn the_clock_is_read_again_after_100_ms() {
        let wall_ns = Arc::new(AtomicU64::new(5_000));
        let source = Arc::clone(&wall_ns);
        let mut time = TimeOfDay::new(WallClock::new(move || source.load(Relaxed)));
        assert_eq!(time.unix_ns(1_000), 5_000, "the first reading");
        wall_ns.store(9_000_000_000, Relaxed);
        assert_eq!(time.unix_ns(1_000 + READING_NS_MAX - 1), 5_000 + READING_NS_MAX - 1, "by the shard's clock");
        assert_eq!(time.unix_ns(1_000 + READING_NS_MAX), 9_000_000_000, "the second reading");
    }
}
