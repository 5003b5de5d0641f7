//! Listeners: opening one, and a shard's own, which rest when descriptors or memory run out.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::{libc, setsockopt_impl, sockopt_impl};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// Connections that wait in the kernel until they are accepted: a storm of reconnects arrives faster than it is taken.
/// The kernel cuts it to `net.core.somaxconn`, 4096 by default.
const BACKLOG: i32 = 4096;

/// How long listeners rest after an accept that lacked descriptors or memory. Being level-triggered they would otherwise
/// report the waiting connection at once, again and again.
pub(crate) const REST_NS: u64 = 50_000_000;

/// Event data from here on belong to listeners, counted downwards; a socket's index lies below 2^31.
const EVENT_DATA_FIRST: u64 = u32::MAX as u64 - 1;

/// Opens a listener whose sockets inherit TCP_NODELAY, so that no accept needs a call for it.
///
/// `shared` sets SO_REUSEPORT, which lets each shard have a listener of its own at one address and the kernel deal the
/// connections; a second process that also sets it succeeds in silence.
///
/// Fails when the address is in use, is not one of this machine, or its port may not be bound.
pub fn bind(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let family = match addr {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, shared)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::bind(&socket, &addr)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

sockopt_impl!(
    /// TCP_DEFER_ACCEPT in seconds, for which no crate has a name and std's is not stable yet.
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    i32
);

/// The listeners of one shard.
#[derive(Default)]
pub(crate) struct Listeners {
    listeners: Vec<Listener>,
    /// Out of the epoll set until this instant, ns.
    resting_until_ns: Option<u64>,
}

struct Listener {
    fd: OwnedFd,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// A connection that was accepted.
pub(crate) struct Accepted {
    pub(crate) fd: OwnedFd,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

impl Listeners {
    pub(crate) fn add(
        &mut self,
        epoll: &OwnedFd,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let fd = OwnedFd::from(listener);
        sockopt::set_tcp_nodelay(&fd, true)?;
        if self.resting_until_ns.is_none() {
            watch(epoll, self.listeners.len(), &fd)?;
        }
        self.listeners.push(Listener { fd, tls });
        Ok(())
    }

    /// Sets TCP_DEFER_ACCEPT, in seconds; zero: a connection is reported as soon as it is up.
    pub(crate) fn defer_accept(&self, seconds: u32) -> io::Result<()> {
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        for listener in &self.listeners {
            nix::sys::socket::setsockopt(&listener.fd, DeferAccept, &seconds)?;
        }
        Ok(())
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
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match rustix::net::accept_with(&listener.fd, flags) {
            Ok(fd) => Ok(Some(Accepted { fd, tls: listener.tls.clone() })),
            Err(errno) if is_of_one_connection(errno) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes the listeners out of the epoll set for [`REST_NS`].
    pub(crate) fn rest(&mut self, epoll: &OwnedFd, now_ns: u64) -> io::Result<()> {
        if self.resting_until_ns.replace(now_ns + REST_NS).is_none() {
            for listener in &self.listeners {
                epoll::delete(epoll, &listener.fd)?;
            }
        }
        Ok(())
    }

    /// When the rest ends, ns.
    pub(crate) fn resting_until_ns(&self) -> Option<u64> {
        self.resting_until_ns
    }

    /// Ends the rest when its time has come.
    pub(crate) fn resume(&mut self, epoll: &OwnedFd, now_ns: u64) -> io::Result<()> {
        if self.resting_until_ns.is_some_and(|until_ns| until_ns <= now_ns) {
            self.resting_until_ns = None;
            for (place, listener) in self.listeners.iter().enumerate() {
                watch(epoll, place, &listener.fd)?;
            }
        }
        Ok(())
    }

    /// Closes them all. What waits in the queue of one that nobody else holds is reset by the kernel.
    pub(crate) fn close(&mut self, epoll: &OwnedFd) {
        for listener in self.listeners.drain(..) {
            // Closing alone would leave one that others hold in the set, which would be woken in their place. It fails for
            // one that rests.
            let _ = epoll::delete(epoll, &listener.fd);
        }
        self.resting_until_ns = None;
    }
}

/// Watches a listener. Where several shards have one and the same, a connection wakes one of them, not all.
fn watch(epoll: &OwnedFd, place: usize, fd: &OwnedFd) -> io::Result<()> {
    let data = EventData::new_u64(EVENT_DATA_FIRST - place as u64);
    let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
    Ok(epoll::add(epoll, fd, data, flags)?)
}

/// Errors that concern one connection, not the listener: accept(2) passes on what happened to it while it waited.
fn is_of_one_connection(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::AGAIN
            | Errno::INTR
            | Errno::CONNABORTED
            | Errno::NETDOWN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
            | Errno::PERM
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_opened_as_asked() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = bind(any, true).unwrap();
        let addr = first.local_addr().unwrap();
        assert!(sockopt::tcp_nodelay(&first).unwrap());
        assert!(bind(addr, true).is_ok(), "shared with another that shares");
        let refused = bind(addr, false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn shortage_is_told_from_a_connection_that_went_away() {
        for (errno, of_one_connection) in [
            (Errno::AGAIN, true),
            (Errno::CONNABORTED, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
        ] {
            assert_eq!(is_of_one_connection(errno), of_one_connection, "{errno:?}");
        }
    }
}
