//! Counters of key loads, fetches and swaps, for the metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counters of the keys in use and of their sources. Only the [`KeyReloader`](crate::keys::KeyReloader) writes them.
#[derive(Debug, Default)]
pub struct KeyCounters(Mutex<KeyCounts>);

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KeyCounts {
    /// Keys on the ring in use.
    pub keys: u64,
    /// Rings that replaced another.
    pub swaps: u64,
    /// Changes of key files that were applied.
    pub files_read: u64,
    /// Changes of key files that could not be read or used; the old keys stayed in use.
    pub files_failed: u64,
    /// Sets that were fetched, changed or not.
    pub fetches: u64,
    /// Sets that could not be fetched or used; the old keys stayed in use.
    pub fetches_failed: u64,
}

impl KeyCounters {
    /// The counters now.
    pub fn counts(&self) -> KeyCounts {
        *self.lock()
    }

    pub(super) fn set_keys(&self, keys: usize) {
        self.lock().keys = keys as u64;
    }

    pub(super) fn count_swap(&self, keys: usize) {
        let mut counts = self.lock();
        counts.keys = keys as u64;
        counts.swaps += 1;
    }

    pub(super) fn count_file(&self, is_usable: bool) {
        let mut counts = self.lock();
        *if is_usable { &mut counts.files_read } else { &mut counts.files_failed } += 1;
    }

    pub(super) fn count_fetch(&self, is_usable: bool) {
        let mut counts = self.lock();
        *if is_usable { &mut counts.fetches } else { &mut counts.fetches_failed } += 1;
    }

    fn lock(&self) -> MutexGuard<'_, KeyCounts> {
        // No code panics while it holds this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
