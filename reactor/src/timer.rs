//! The one kernel timer of a shard, for what need not be met exactly: deadlines, and the instants that turns ask for.
//!
//! A wait with a time-out sets a timer and clears it again, which in a virtual machine may leave the machine twice; a
//! server that sleeps between two handshakes would pay it for each. Deadlines are mostly moved before they come (a
//! handshake's by the session it becomes), so the timer is only ever moved forward: when it fires for a deadline that is
//! gone, the shard looks at the wheel once for nothing.

use std::io;

use crate::sys::{self, Descriptor, EventFlags};

/// A timer in the epoll set.
pub(crate) struct Timer {
    descriptor: Descriptor,
    /// When it fires, ns of the shard's clock; `None` once it has.
    fires_at_ns: Option<u64>,
}

impl Timer {
    /// One that is not set. Its event in the set carries `data`.
    pub(crate) fn new(epoll: &Descriptor, data: u64) -> io::Result<Self> {
        let descriptor = sys::timer()?;
        // Edge-triggered, so that it need not be read once it has fired: setting it anew clears that.
        sys::watch(epoll, &descriptor, data, EventFlags::IN | EventFlags::ET)?;
        Ok(Self { descriptor, fires_at_ns: None })
    }

    /// Makes sure that it fires at `at_ns` or before; `now_ns`, the clock's last reading, lies before that.
    pub(crate) fn fire_by(&mut self, at_ns: u64, now_ns: u64) -> io::Result<()> {
        if self.fires_at_ns.is_some_and(|fires_at_ns| fires_at_ns <= at_ns) {
            return Ok(());
        }
        sys::set_timer(&self.descriptor, at_ns.saturating_sub(now_ns))?;
        self.fires_at_ns = Some(at_ns);
        Ok(())
    }

    /// Its event has come.
    pub(crate) fn has_fired(&mut self) {
        self.fires_at_ns = None;
    }
}
