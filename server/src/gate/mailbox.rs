//! Connections on their way from one shard to another: a request for a session goes where the session lives.

use std::{
    net::IpAddr,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
};

use reactor::{Loose, Waker};

/// A connection whose next request, unread, is for the shard that gets it.
pub(super) struct Moved {
    pub(super) loose: Loose,
    /// When its client must be authenticated, on the clock that all shards share.
    pub(super) authenticate_by_ns: u64,
    /// It had requests answered before.
    pub(super) served: bool,
    /// Where it comes from, where that is limited.
    pub(super) address: Option<IpAddr>,
}

/// The mailboxes of all shards, by their numbers. Locks are taken only where there is mail.
pub(super) struct Mailboxes(Vec<Mailbox>);

#[derive(Default)]
struct Mailbox {
    has_mail: AtomicBool,
    moved: Mutex<Vec<Moved>>,
    /// Set before the first shard runs.
    waker: OnceLock<Waker>,
}

impl Mailboxes {
    /// Empty ones for `shards` shards.
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| Mailbox::default()).collect())
    }

    /// Says how shard `shard` is woken.
    pub(super) fn wake_by(&self, shard: usize, waker: Waker) {
        if let Some(mailbox) = self.0.get(shard) {
            // It is said once.
            let _ = mailbox.waker.set(waker);
        }
    }

    /// Sends a connection to shard `shard`. One for a shard that is not is dropped, and closed by that.
    pub(super) fn send(&self, shard: u16, moved: Moved) {
        let Some(mailbox) = self.0.get(usize::from(shard)) else {
            return;
        };
        let mut held = mailbox.moved.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(moved);
        drop(held);
        mailbox.has_mail.store(true, Release);
        if let Some(waker) = mailbox.waker.get() {
            waker.wake();
        }
    }

    /// What has come for shard `shard`.
    pub(super) fn take(&self, shard: u16) -> Vec<Moved> {
        match self.0.get(usize::from(shard)) {
            Some(mailbox) if mailbox.has_mail.load(Acquire) => {
                // Before the mail is taken: what comes meanwhile is told anew.
                mailbox.has_mail.store(false, Release);
                let mut held = mailbox.moved.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *held)
            }
            _ => Vec::new(),
        }
    }
}
