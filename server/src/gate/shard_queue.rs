//! A queue that any thread may fill and one shard empties.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Mutex, OnceLock, PoisonError};

use reactor::Waker;

/// Items for one shard; a push wakes the shard, which takes the lock only when there are items.
pub(super) struct ShardQueue<T> {
    has_items: AtomicBool,
    items: Mutex<Vec<T>>,
    /// Set before the first shard runs.
    waker: OnceLock<Waker>,
}

impl<T> Default for ShardQueue<T> {
    fn default() -> Self {
        Self { has_items: AtomicBool::new(false), items: Mutex::default(), waker: OnceLock::new() }
    }
}

impl<T> ShardQueue<T> {
    /// Sets the shard's waker, once.
    pub(super) fn set_waker(&self, waker: Waker) {
        let _ = self.waker.set(waker);
    }

    pub(super) fn push(&self, item: T) {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).push(item);
        self.has_items.store(true, Release);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// Takes all items.
    pub(super) fn take(&self) -> Vec<T> {
        if !self.has_items.load(Acquire) {
            return Vec::new();
        }
        // Cleared before the items are taken, so that a concurrent push is not missed.
        self.has_items.store(false, Release);
        std::mem::take(&mut *self.items.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
