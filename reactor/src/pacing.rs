//! A wait that can end at an exact instant.
//!
//! A kernel timer fires late by the thread's timer slack (50 us unless changed) and by the wake-up itself (about as much
//! in a virtual machine). A thread that waits exactly therefore gives up its slack, sleeps until [`SPIN_NS`] before the
//! instant, and polls the epoll set with a timeout of zero from then on, so that sockets are served while it spins.

use std::io;

use crate::sys::{self, Clock, Descriptor, Event};

/// How long before an exact instant the loop stops sleeping: a little more than a wake-up takes.
pub(crate) const SPIN_NS: u64 = 60_000;

/// The most that one poll of the epoll set counts as spinning. One that takes longer was not running, or had the kernel
/// deliver packets.
const POLL_NS_MAX: u64 = 5_000;

/// Events taken from the kernel at once. More would make the first of a batch wait for the last; fewer cost a system
/// call each.
pub(crate) const EVENTS_MAX: usize = 256;

/// Waits for events: without end, or until an exact instant, ns, and then not much longer. `events` holds them afterwards,
/// none when the time was up or a signal came. Returns for how many ns it spun, which is no more than it did.
pub(crate) fn wait(
    exact_ns: Option<u64>,
    clock: &Clock,
    epoll: &Descriptor,
    events: &mut Vec<Event>,
) -> io::Result<u64> {
    let Some(exact_ns) = exact_ns else {
        sys::wait(epoll, events, None)?;
        return Ok(0);
    };
    let sleep_ns = exact_ns.saturating_sub(SPIN_NS).saturating_sub(clock.now_ns());
    sys::wait(epoll, events, Some(sleep_ns))?;
    let mut spun_ns = 0;
    if events.is_empty() {
        let mut now_ns = clock.now_ns();
        while events.is_empty() && now_ns < exact_ns {
            sys::wait(epoll, events, Some(0))?;
            let before_ns = std::mem::replace(&mut now_ns, clock.now_ns());
            spun_ns += (now_ns - before_ns).min(POLL_NS_MAX);
        }
    }
    Ok(spun_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_ends_early() {
        let clock = Clock::start();
        let epoll = sys::event_set().unwrap();
        let mut events = Vec::with_capacity(EVENTS_MAX);
        for (ahead_ns, why) in [(0, "now"), (500, "within the spin"), (3_000_000, "asleep, then the spin")] {
            let at_ns = clock.now_ns() + ahead_ns;
            wait(Some(at_ns), &clock, &epoll, &mut events).unwrap();
            assert!(clock.now_ns() >= at_ns, "{why}");
        }
        wait(Some(0), &clock, &epoll, &mut events).unwrap();
    }
}
