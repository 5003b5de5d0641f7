//! The few words that a running engine listens to.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Stands for a T0 that is not set yet.
const NOT_SET: u64 = u64::MAX;

/// Steers all shards of a load from any thread. Each word holds until the load has ended, and is heard also by a shard
/// that starts after it was said.
#[derive(Debug)]
pub struct Control {
    t0_ns: AtomicU64,
    stop: AtomicBool,
    close: AtomicBool,
    listeners: Mutex<Vec<Listener>>,
}

/// What has been said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// T0, once it is set.
    pub t0_ns: Option<u64>,
    /// The run ends now.
    pub stop: bool,
    /// Every arrival of every shard is decided.
    pub close: bool,
}

struct Listener(Box<dyn Fn(Words) + Send>);

impl fmt::Debug for Listener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Listener")
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

impl Control {
    /// Nothing said yet: shards wait for [`start`](Self::start).
    pub fn new() -> Self {
        Self {
            t0_ns: AtomicU64::new(NOT_SET),
            stop: AtomicBool::new(false),
            close: AtomicBool::new(false),
            listeners: Mutex::default(),
        }
    }

    /// Sets T0, in nanoseconds of the clock that all shards share: every planned instant counts from it. Leave time
    /// for the shards to wake up.
    pub fn start(&self, t0_ns: u64) {
        self.t0_ns.store(t0_ns, Ordering::Release);
        self.wake();
    }

    /// After one load has ended, prepares for the next: its T0 and its close are still to come. A stop holds for all.
    pub fn again(&self) {
        self.t0_ns.store(NOT_SET, Ordering::Release);
        self.close.store(false, Ordering::Release);
        self.listeners().clear();
    }

    /// Ends the run now: no further arrivals, handshakes under way are interrupted, sockets are closed.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Every arrival of every shard is decided: what was held until the end is closed, and shards finish when their
    /// last socket is gone.
    pub fn close(&self) {
        self.close.store(true, Ordering::Release);
        self.wake();
    }

    /// T0, once it is set.
    pub(crate) fn t0_ns(&self) -> Option<u64> {
        let t0_ns = self.t0_ns.load(Ordering::Acquire);
        (t0_ns != NOT_SET).then_some(t0_ns)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.close.load(Ordering::Acquire)
    }

    /// From now on `listener` is called at every word, and must not wait; at once, too, for what was said before.
    pub(crate) fn register(&self, listener: impl Fn(Words) + Send + 'static) {
        // No word falls between the two: whoever says one waits for the lock after it.
        let mut listeners = self.listeners();
        listener(self.words());
        listeners.push(Listener(Box::new(listener)));
    }

    fn words(&self) -> Words {
        Words { t0_ns: self.t0_ns(), stop: self.is_stopped(), close: self.is_closing() }
    }

    fn wake(&self) {
        let listeners = self.listeners();
        let words = self.words();
        for listener in listeners.iter() {
            (listener.0)(words);
        }
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
