//! The one kernel timer of a shard, for what need not be met exactly: deadlines, and whatever a turn asks to wait for.
//!
//! A wait with a time-out sets a timer and clears it again, which in a virtual machine may leave the machine twice; a
//! server that sleeps between two handshakes would pay it for each. Deadlines are mostly moved before they come (a
//! handshake's by the session it becomes), so the alarm is only ever moved forward: one that rings for a deadline that is
//! gone costs a look at the wheel.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use crate::pacing::NS_PER_S;

/// A timer in the epoll set.
pub(crate) struct Alarm {
    timerfd: OwnedFd,
    /// When it rings, ns of the shard's clock, unless it has rung.
    rings_at_ns: Option<u64>,
}

impl Alarm {
    /// One that is not set. Its event in the set carries `data`.
    pub(crate) fn new(epoll: &OwnedFd, data: u64) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timerfd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Edge-triggered, so that nobody need read it once it has rung: setting it anew forgets that it has.
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(epoll, &timerfd, EventData::new_u64(data), flags)?;
        Ok(Self { timerfd, rings_at_ns: None })
    }

    /// Makes sure that it rings at `at_ns` or before; `now_ns`, the clock's last reading, lies before that.
    pub(crate) fn ring_by(&mut self, at_ns: u64, now_ns: u64) -> io::Result<()> {
        if self.rings_at_ns.is_some_and(|rings| rings <= at_ns) {
            return Ok(());
        }
        // A time of zero would clear it.
        let ahead_ns = at_ns.saturating_sub(now_ns).max(1);
        let value = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(ahead_ns / NS_PER_S).unwrap_or(i64::MAX),
                tv_nsec: (ahead_ns % NS_PER_S) as _,
            },
        };
        timerfd_settime(&self.timerfd, TimerfdTimerFlags::empty(), &value)?;
        self.rings_at_ns = Some(at_ns);
        Ok(())
    }

    /// Its event has come.
    pub(crate) fn has_rung(&mut self) {
        self.rings_at_ns = None;
    }
}
