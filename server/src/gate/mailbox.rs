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

use reactor::{DetachedSocket, Waker};

use crate::gate::courier::{Courier, Parcel};

/// A connection whose next request, unread, is for the shard that gets it.
pub(super) struct Moved {
    pub(super) loose: DetachedSocket,
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
    boxes: Vec<Mailbox<Moved>>,
    courier: Option<Courier>,
}

/// What has come for one shard, which is woken by it.
pub(super) struct Mailbox<T> {
    has_mail: AtomicBool,
    mail: Mutex<Vec<T>>,
    /// Set before the first shard runs.
    waker: OnceLock<Waker>,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { has_mail: AtomicBool::new(false), mail: Mutex::default(), waker: OnceLock::new() }
    }
}

impl<T> Mailbox<T> {
    /// Says, once, how its shard is woken.
    pub(super) fn wake_by(&self, waker: Waker) {
        let _ = self.waker.set(waker);
    }

    /// Puts something in, from any thread.
    pub(super) fn put(&self, one: T) {
        let mut held = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(one);
        drop(held);
        self.has_mail.store(true, Release);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// Takes out what is in it.
    pub(super) fn take(&self) -> Vec<T> {
        if !self.has_mail.load(Acquire) {
            return Vec::new();
        }
        // Before the mail is taken: what comes meanwhile is told anew.
        self.has_mail.store(false, Release);
        let mut held = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *held)
    }
}

impl Mailboxes {
    /// Empty ones for `shards` shards, numbered from `first`; others are reached by `courier`.
    pub(super) fn new(first: u16, shards: usize, courier: Option<Courier>) -> Self {
        Self { first, boxes: (0..shards).map(|_| Mailbox::default()).collect(), courier }
    }

    /// Says how shard `shard` is woken.
    pub(super) fn wake_by(&self, shard: u16, waker: Waker) {
        if let Some(mailbox) = self.of(shard) {
            mailbox.wake_by(waker);
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
        if let Some(mailbox) = self.of(shard) {
            mailbox.put(moved);
        }
    }

    /// What has come for shard `shard`.
    pub(super) fn take(&self, shard: u16) -> Vec<Moved> {
        self.of(shard).map_or_else(Vec::new, Mailbox::take)
    }

    fn of(&self, shard: u16) -> Option<&Mailbox<Moved>> {
        self.boxes.get(usize::from(shard.checked_sub(self.first)?))
    }
}
