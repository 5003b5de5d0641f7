//! A queue into one shard, which any thread may fill.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Mutex, OnceLock, PoisonError};

use reactor::Waker;

/// Items for one shard; a push wakes it. The lock is taken only where there are items.
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
    /// Sets, once, how the shard is woken.
    pub(super) fn set_waker(&self, waker: Waker) {
        let _ = self.waker.set(waker);
    }

    /// Appends an item.
    pub(super) fn push(&self, item: T) {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.push(item);
        drop(items);
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
        // Cleared before the items are taken: a push in between sets it again.
        self.has_items.store(false, Release);
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *items)
    }
}
