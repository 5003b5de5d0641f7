//! A shard's listeners, which pause when descriptors or memory run out.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use crate::sys::{self, Descriptor, EventFlags};

/// How long listeners pause after an accept that lacked descriptors or memory. Being level-triggered they would otherwise
/// report the waiting connection at once, again and again.
pub(crate) const PAUSE_NS: u64 = 50_000_000;

/// Event data from here on belong to listeners, counted downwards; a socket's index lies below 2^31.
const EVENT_DATA_FIRST: u64 = u32::MAX as u64 - 1;

/// The listeners of one shard.
#[derive(Default)]
pub(crate) struct Listeners {
    listeners: Vec<Listener>,
    /// Out of the epoll set until this instant, ns.
    paused_until_ns: Option<u64>,
}

struct Listener {
    descriptor: Descriptor,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// A connection that was accepted.
pub(crate) struct Accepted {
    pub(crate) descriptor: Descriptor,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

impl Listeners {
    pub(crate) fn add(
        &mut self,
        epoll: &Descriptor,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> io::Result<()> {
        let descriptor = sys::prepare_listener(listener)?;
        if self.paused_until_ns.is_none() {
            watch(epoll, self.listeners.len(), &descriptor)?;
        }
        self.listeners.push(Listener { descriptor, tls });
        Ok(())
    }

    /// Sets TCP_DEFER_ACCEPT, in seconds; zero: a connection is reported as soon as it is up.
    pub(crate) fn defer_accept(&self, seconds: u32) -> io::Result<()> {
        self.listeners.iter().try_for_each(|listener| sys::defer_accept(&listener.descriptor, seconds))
    }

    /// Which listener an event belongs to, if any.
    pub(crate) fn at(&self, data: u64) -> Option<usize> {
        let place = usize::try_from(EVENT_DATA_FIRST.checked_sub(data)?).ok()?;
        (place < self.listeners.len()).then_some(place)
    }

    /// Accepts one connection. `Ok(None)`: there is none, or the one there was has already gone.
    pub(crate) fn accept(&self, place: usize) -> io::Result<Option<Accepted>> {
        let Some(listener) = self.listeners.get(place) else {
            return Ok(None);
        };
        let accepted = sys::accept(&listener.descriptor)?;
        Ok(accepted.map(|descriptor| Accepted { descriptor, tls: listener.tls.clone() }))
    }

    /// Takes the listeners out of the epoll set for [`PAUSE_NS`].
    pub(crate) fn pause(&mut self, epoll: &Descriptor, now_ns: u64) -> io::Result<()> {
        if self.paused_until_ns.replace(now_ns + PAUSE_NS).is_none() {
            for listener in &self.listeners {
                sys::unwatch(epoll, &listener.descriptor)?;
            }
        }
        Ok(())
    }

    /// When the pause ends, ns.
    pub(crate) fn paused_until_ns(&self) -> Option<u64> {
        self.paused_until_ns
    }

    /// Ends the pause when its time has come.
    pub(crate) fn resume(&mut self, epoll: &Descriptor, now_ns: u64) -> io::Result<()> {
        if self.paused_until_ns.is_some_and(|until_ns| until_ns <= now_ns) {
            self.paused_until_ns = None;
            for (place, listener) in self.listeners.iter().enumerate() {
                watch(epoll, place, &listener.descriptor)?;
            }
        }
        Ok(())
    }

    /// Closes them all. Connections that wait in the queue of one that no other process or shard holds are reset by the
    /// kernel.
    pub(crate) fn close(&mut self, epoll: &Descriptor) {
        for listener in self.listeners.drain(..) {
            // Closing alone would leave one that others hold in the set, which would be woken in their place. It fails for
            // one that is paused.
            let _ = sys::unwatch(epoll, &listener.descriptor);
        }
        self.paused_until_ns = None;
    }
}

/// Watches a listener. Where several shards have one and the same, a connection wakes one of them, not all.
fn watch(epoll: &Descriptor, place: usize, descriptor: &Descriptor) -> io::Result<()> {
    sys::watch(epoll, descriptor, EVENT_DATA_FIRST - place as u64, EventFlags::IN | EventFlags::EXCLUSIVE)
}
