//! Counters of key loads, fetches and swaps, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of the keys in use and of their sources. Written by the [`KeyReloader`](crate::keys::KeyReloader) alone.
#[derive(Debug, Default)]
pub struct KeyCounters {
    keys: AtomicU64,
    swaps: AtomicU64,
    files_read: AtomicU64,
    files_failed: AtomicU64,
    fetches: AtomicU64,
    fetches_failed: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KeyCounts {
    /// Keys on the ring in use.
    pub keys: u64,
    /// Rings put into use after the first.
    pub swaps: u64,
    /// Changes of key files that were applied.
    pub files_read: u64,
    /// Changes of key files that could not be read or used: the old keys stayed.
    pub files_failed: u64,
    /// Sets fetched, changed or not.
    pub fetches: u64,
    /// Sets that could not be fetched or used: the old keys stayed.
    pub fetches_failed: u64,
}

impl KeyCounters {
    /// The counters now.
    pub fn counts(&self) -> KeyCounts {
        KeyCounts {
            keys: self.keys.load(Relaxed),
            swaps: self.swaps.load(Relaxed),
            files_read: self.files_read.load(Relaxed),
            files_failed: self.files_failed.load(Relaxed),
            fetches: self.fetches.load(Relaxed),
            fetches_failed: self.fetches_failed.load(Relaxed),
        }
    }

    pub(super) fn set_keys(&self, keys: usize) {
        self.keys.store(keys as u64, Relaxed);
    }

    pub(super) fn count_swap(&self, keys: usize) {
        self.set_keys(keys);
        self.swaps.fetch_add(1, Relaxed);
    }

    pub(super) fn count_file(&self, is_good: bool) {
        let counter = if is_good { &self.files_read } else { &self.files_failed };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn count_fetch(&self, is_good: bool) {
        let counter = if is_good { &self.fetches } else { &self.fetches_failed };
        counter.fetch_add(1, Relaxed);
    }
}
