//! Connections on their way from one shard to another, of this process or not: a request for a session goes where the
//! session lives.

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

use super::courier::{Courier, Parcel};

/// A connection whose next request, unread, is for the shard that gets it.
pub(super) struct Moved {
    pub(super) loose: Loose,
    /// When its request must be there, on the clock that all shards share.
    pub(super) until_ns: u64,
    /// It had requests answered before.
    pub(super) served: bool,
    pub(super) way: Way,
}

/// How a connection came.
pub(super) enum Way {
    /// Within the process, its place with it, and its address where that is limited.
    Within(Option<IpAddr>),
    /// From another process, where it had its place; its address.
    Between(IpAddr),
}

/// The mailboxes of the shards of this process, and the way to those of others. Locks are taken only where there is
/// mail.
pub(super) struct Mailboxes {
    /// The number of the first of these shards among those of all processes.
    first: u16,
    boxes: Vec<Mailbox>,
    courier: Option<Courier>,
}

#[derive(Default)]
struct Mailbox {
    has_mail: AtomicBool,
    moved: Mutex<Vec<Moved>>,
    /// Set before the first shard runs.
    waker: OnceLock<Waker>,
}

impl Mailboxes {
    /// Empty ones for `shards` shards, numbered from `first`; others are reached by `courier`.
    pub(super) fn new(first: u16, shards: usize, courier: Option<Courier>) -> Self {
        Self {
            first,
            boxes: (0..shards).map(|_| Mailbox::default()).collect(),
            courier,
        }
    }

    /// Says how shard `shard` is woken.
    pub(super) fn wake_by(&self, shard: u16, waker: Waker) {
        if let Some(mailbox) = self.of(shard) {
            // It is said once.
            let _ = mailbox.waker.set(waker);
        }
    }

    /// Is shard `shard` one of this process?
    pub(super) fn has(&self, shard: u16) -> bool {
        self.of(shard).is_some()
    }

    /// Sends a connection to another process. Without any it is dropped, and closed by that.
    pub(super) fn send_abroad(&self, parcel: Parcel) {
        if let Some(courier) = &self.courier {
            courier.send(parcel);
        }
    }

    /// Sends a connection to shard `shard`. One for a shard that is not is dropped, and closed by that.
    pub(super) fn send(&self, shard: u16, moved: Moved) {
        let Some(mailbox) = self.of(shard) else {
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
        match self.of(shard) {
            Some(mailbox) if mailbox.has_mail.load(Acquire) => {
                // Before the mail is taken: what comes meanwhile is told anew.
                mailbox.has_mail.store(false, Release);
                let mut held = mailbox.moved.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *held)
            }
            _ => Vec::new(),
        }
    }

    fn of(&self, shard: u16) -> Option<&Mailbox> {
        self.boxes.get(usize::from(shard.checked_sub(self.first)?))
    }
}
