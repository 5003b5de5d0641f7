//! Wakes a shard from another thread (eventfd).

use std::io;
use std::sync::Arc;

use crate::sys::{self, Descriptor, EventFlags};

/// Makes a shard's loop take a turn, from any thread. Wakes that come before the turn are one wake.
#[derive(Clone, Debug)]
pub struct Waker {
    counter: Arc<Descriptor>,
}

impl Waker {
    /// One whose event in the epoll set carries `data`.
    pub(crate) fn new(epoll: &Descriptor, data: u64) -> io::Result<Self> {
        let counter = sys::event_counter()?;
        sys::watch(epoll, &counter, data, EventFlags::IN)?;
        Ok(Self { counter: Arc::new(counter) })
    }

    /// Wakes the shard. After its end this does nothing.
    pub fn wake(&self) {
        sys::raise_counter(&self.counter);
    }

    /// Clears the wakes that have come, so that the next wait can sleep.
    pub(crate) fn clear(&self) {
        sys::clear_counter(&self.counter);
    }
}
