//! A hand on the shoulder of a sleeping shard.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// Makes a shard's loop take a turn, from any thread. Wakes that come before the turn are one wake.
#[derive(Clone, Debug)]
pub struct Waker {
    eventfd: Arc<OwnedFd>,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        Ok(Self { eventfd: Arc::new(eventfd(0, flags)?) })
    }

    /// Wakes the shard. After its end this does nothing.
    pub fn wake(&self) {
        // The one possible error is a counter that is full, and then a wake is already on its way.
        let _ = rustix::io::write(&*self.eventfd, &1u64.to_ne_bytes());
    }

    /// Takes the wakes that have come, so that the next wait can sleep.
    pub(crate) fn clear(&self) {
        let mut wakes = [0; 8];
        let _ = rustix::io::read(&*self.eventfd, &mut wakes);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}
