//! Time: the clock that all shards of a process share, and a wait that can be exact.
//!
//! A kernel timer fires late by the thread's timer slack (50 us unless changed) and by the wake-up itself (about as much
//! in a virtual machine). A thread that waits exactly therefore gives up its slack, sleeps until [`SPIN_NS`] before the
//! instant, and polls the epoll set with a timeout of zero from then on, so that sockets are served while it spins.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{Timespec, epoll};

use crate::slice::ask_for_short_slices;

/// How long before an exact instant the loop stops sleeping: a little more than a wake-up takes.
pub(crate) const SPIN_NS: u64 = 60_000;

/// The most that one look at the epoll set counts as spinning. One that takes longer was not running, or had the kernel
/// deliver packets.
const LOOK_NS_MAX: u64 = 5_000;

/// Events taken from the kernel at once. More would make the first of a batch wait for the last; fewer cost a system
/// call each.
pub(crate) const EVENTS_MAX: usize = 256;

pub(crate) const NS_PER_S: u64 = 1_000_000_000;

/// Monotonic nanoseconds since one epoch that all shards of a process share.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    /// A clock whose epoch is now.
    pub fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    /// Nanoseconds since the epoch. It never goes back, and lasts 584 years.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The instant at which the clock reads zero.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }
}

/// Waits for events: without end, or until an exact instant, ns, and then not much longer. `events` holds them afterwards,
/// none when the time was up or a signal came. Returns for how many ns it spun, which is no more than it did.
pub(crate) fn wait(
    exact_ns: Option<u64>,
    clock: &Clock,
    epoll: &OwnedFd,
    events: &mut Vec<epoll::Event>,
) -> io::Result<u64> {
    let Some(exact_ns) = exact_ns else {
        poll(epoll, events, None)?;
        return Ok(0);
    };
    let sleep_ns = exact_ns.saturating_sub(SPIN_NS).saturating_sub(clock.now_ns());
    poll(epoll, events, Some(sleep_ns))?;
    let mut spun_ns = 0;
    if events.is_empty() {
        let mut now_ns = clock.now_ns();
        while events.is_empty() && now_ns < exact_ns {
            poll(epoll, events, Some(0))?;
            let before_ns = std::mem::replace(&mut now_ns, clock.now_ns());
            spun_ns += (now_ns - before_ns).min(LOOK_NS_MAX);
        }
    }
    Ok(spun_ns)
}

/// Gives up this thread's timer slack (prctl(2), PR_SET_TIMERSLACK), so that its timers fire late by the wake-up alone, and
/// asks for short slices, so that it runs when it is woken up.
pub(crate) fn become_punctual() {
    // Should either fail, exact instants are met less exactly, which the load engine measures and reports.
    let _ = rustix::thread::set_current_timer_slack(Some(NonZeroU64::MIN));
    let _ = ask_for_short_slices();
}

fn poll(epoll: &OwnedFd, events: &mut Vec<epoll::Event>, timeout_ns: Option<u64>) -> io::Result<()> {
    let timeout = timeout_ns
        .map(|ns| Timespec { tv_sec: i64::try_from(ns / NS_PER_S).unwrap_or(i64::MAX), tv_nsec: (ns % NS_PER_S) as _ });
    events.clear();
    match epoll::wait(epoll, rustix::buffer::spare_capacity(events), timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_ends_early() {
        let clock = Clock::start();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let mut events = Vec::with_capacity(EVENTS_MAX);
        for (ahead_ns, why) in [(0, "now"), (500, "within the spin"), (3_000_000, "asleep, then the spin")] {
            let at_ns = clock.now_ns() + ahead_ns;
            wait(Some(at_ns), &clock, &epoll, &mut events).unwrap();
            assert!(clock.now_ns() >= at_ns, "{why}");
        }
        wait(Some(0), &clock, &epoll, &mut events).unwrap();
    }
}
