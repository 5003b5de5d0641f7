//! Starts, stops and closes the shards of a load from any thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::ground::time::ShardInstant;

/// Stands for a T0 that is not set yet.
const NOT_SET: u64 = u64::MAX;

/// Starts, stops and closes all shards of a load from any thread. A signal stays set until the load has ended: a shard
/// that starts later receives it as well.
#[derive(Debug)]
pub struct Control {
    t0_ns: AtomicU64,
    stop: AtomicBool,
    close: AtomicBool,
    listeners: Mutex<Vec<Listener>>,
}

/// The signals given so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// T0, once it is set.
    pub t0: Option<ShardInstant>,
    /// The run ends now.
    pub stop: bool,
    /// Every arrival of every shard has its outcome.
    pub close: bool,
}

struct Listener(Box<dyn Fn(Signals) + Send>);

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
    /// No signal is set: shards wait for [`start`](Self::start).
    pub fn new() -> Self {
        Self {
            t0_ns: AtomicU64::new(NOT_SET),
            stop: AtomicBool::new(false),
            close: AtomicBool::new(false),
            listeners: Mutex::default(),
        }
    }

    /// Sets T0 on the clock that all shards share: every planned instant counts from it. Leave time for the shards to
    /// wake up.
    pub fn start(&self, t0: ShardInstant) {
        self.t0_ns.store(t0.as_ns(), Ordering::Release);
        self.wake();
    }

    /// Clears T0 and the close signal for the next load. A stop signal stays set.
    pub fn reset(&self) {
        self.t0_ns.store(NOT_SET, Ordering::Release);
        self.close.store(false, Ordering::Release);
        self.listeners().clear();
    }

    /// Ends the run now: no further arrivals, handshakes under way are interrupted, sockets are closed.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Every arrival of every shard has its outcome: shards close the sockets that are held until the end of the load,
    /// and finish when their last socket is closed.
    pub fn close(&self) {
        self.close.store(true, Ordering::Release);
        self.wake();
    }

    /// T0, once it is set.
    pub(crate) fn t0(&self) -> Option<ShardInstant> {
        let t0_ns = self.t0_ns.load(Ordering::Acquire);
        (t0_ns != NOT_SET).then_some(ShardInstant::from_ns(t0_ns))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.close.load(Ordering::Acquire)
    }

    /// Calls `listener`, which must not block, at once and at every further signal.
    pub(crate) fn register(&self, listener: impl Fn(Signals) + Send + 'static) {
        // A signal is stored before its sender takes this lock, so the call or a later wake-up delivers it.
        let mut listeners = self.listeners();
        listener(self.signals());
        listeners.push(Listener(Box::new(listener)));
    }

    fn signals(&self) -> Signals {
        Signals { t0: self.t0(), stop: self.is_stopped(), close: self.is_closing() }
    }

    fn wake(&self) {
        let listeners = self.listeners();
        let signals = self.signals();
        for listener in listeners.iter() {
            (listener.0)(signals);
        }
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
