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

/// How long before an exact instant the loop stops sleeping: a little more than a wake-up takes.
pub(crate) const SPIN_NS: u64 = 60_000;

/// Events taken from the kernel at once. More would make the first of a batch wait for the last; fewer cost a system
/// call each.
pub(crate) const EVENTS_MAX: usize = 256;

const NS_PER_S: u64 = 1_000_000_000;

/// Monotonic nanoseconds since one epoch that all shards of a process share.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    /// A clock whose epoch is now.
    pub fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
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

/// How long one wait for events may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Sleep no longer than this instant, ns. `None`: until an event.
    sleep_until_ns: Option<u64>,
    /// Then spin until this instant, ns, unless events come.
    spin_until_ns: Option<u64>,
}

impl Plan {
    /// The wait that ends at the earlier of two instants: one where some lateness does no harm, and one where it does.
    pub(crate) fn until(coarse_ns: Option<u64>, exact_ns: Option<u64>) -> Self {
        let spin_from_ns = exact_ns.map(|at_ns| at_ns.saturating_sub(SPIN_NS));
        match (coarse_ns, spin_from_ns) {
            (Some(coarse), Some(spin_from)) if coarse < spin_from => Self {
                sleep_until_ns: Some(coarse),
                spin_until_ns: None,
            },
            (coarse, Some(spin_from)) => Self {
                sleep_until_ns: Some(spin_from),
                spin_until_ns: exact_ns.map(|exact| exact.min(coarse.unwrap_or(u64::MAX))),
            },
            (coarse, None) => Self {
                sleep_until_ns: coarse,
                spin_until_ns: None,
            },
        }
    }

    /// Waits for events as planned; `events` holds them afterwards, none when the time was up or a signal came.
    ///
    /// `seen_ns` is the last reading of the clock, which need not be fresh: without an exact instant the wait is counted
    /// from it, so that a busy loop reads the clock once per turn.
    pub(crate) fn wait(
        self,
        clock: &Clock,
        seen_ns: u64,
        epoll: &OwnedFd,
        events: &mut Vec<epoll::Event>,
    ) -> io::Result<()> {
        let timeout_ns = self.sleep_until_ns.map(|at_ns| {
            let now_ns = match self.spin_until_ns {
                None => seen_ns,
                Some(_) => clock.now_ns(),
            };
            at_ns.saturating_sub(now_ns)
        });
        poll(epoll, events, timeout_ns)?;
        if let Some(spin_until_ns) = self.spin_until_ns {
            while events.is_empty() && clock.now_ns() < spin_until_ns {
                poll(epoll, events, Some(0))?;
            }
        }
        Ok(())
    }
}

/// Gives up this thread's timer slack (prctl(2), PR_SET_TIMERSLACK): its timers then fire late by the wake-up alone.
pub(crate) fn give_up_timer_slack() {
    // Should it fail, exact instants are met less exactly, which the load engine measures and reports.
    let _ = rustix::thread::set_current_timer_slack(Some(NonZeroU64::MIN));
}

fn poll(
    epoll: &OwnedFd,
    events: &mut Vec<epoll::Event>,
    timeout_ns: Option<u64>,
) -> io::Result<()> {
    let timeout = timeout_ns.map(|ns| Timespec {
        tv_sec: i64::try_from(ns / NS_PER_S).unwrap_or(i64::MAX),
        tv_nsec: (ns % NS_PER_S) as _,
    });
    events.clear();
    match epoll::wait(
        epoll,
        rustix::buffer::spare_capacity(events),
        timeout.as_ref(),
    ) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_at_the_earlier_instant_and_spins_only_before_an_exact_one() {
        const MS: u64 = 1_000_000;
        for (coarse, exact, sleep, spin, why) in [
            (None, None, None, None, "nothing is due: until an event"),
            (Some(MS), None, Some(MS), None, "coarse alone never spins"),
            (None, Some(MS), Some(MS - SPIN_NS), Some(MS), "exact alone"),
            (
                Some(2 * MS),
                Some(MS),
                Some(MS - SPIN_NS),
                Some(MS),
                "exact first",
            ),
            (Some(MS), Some(2 * MS), Some(MS), None, "coarse well before"),
            (
                Some(MS - 1),
                Some(MS),
                Some(MS - SPIN_NS),
                Some(MS - 1),
                "coarse within the spin ends it",
            ),
            (
                None,
                Some(1),
                Some(0),
                Some(1),
                "an instant right after the epoch",
            ),
        ] {
            let plan = Plan::until(coarse, exact);
            assert_eq!(
                (plan.sleep_until_ns, plan.spin_until_ns),
                (sleep, spin),
                "{why}"
            );
        }
    }

    #[test]
    fn no_wait_ends_early() {
        let clock = Clock::start();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let mut events = Vec::with_capacity(EVENTS_MAX);
        for (ahead_ns, exact) in [
            (0, false),
            (3_000_000, false),
            (3_000_000, true),
            (500, true),
        ] {
            let at_ns = clock.now_ns() + ahead_ns;
            let plan = if exact {
                Plan::until(None, Some(at_ns))
            } else {
                Plan::until(Some(at_ns), None)
            };
            plan.wait(&clock, clock.now_ns(), &epoll, &mut events)
                .unwrap();
            assert!(clock.now_ns() >= at_ns, "{ahead_ns} exact {exact}");
        }
    }
}
