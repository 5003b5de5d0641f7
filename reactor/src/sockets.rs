//! What a turn of the loop may do with all sockets of its shard.

use std::io;
use std::os::fd::OwnedFd;

use crate::connect::{self, Connect};
use crate::deliver::offer;
use crate::driver::{Driver, send};
use crate::io::Io;
use crate::link::{Delay, Link, Stage};
use crate::listen::Listeners;
use crate::slab::{SocketId, Table};
use crate::tls::Tls;

/// The sockets of a shard, in the hands of [`Service::turn`](crate::Service::turn).
pub struct Sockets<'a, T> {
    table: &'a mut Table<T>,
    driver: &'a mut Driver,
    listeners: &'a mut Listeners,
}

/// An open socket between two shards: its descriptor, its TLS, its input that was not used and its output that was not
/// sent. [`Io::release`] lets go of one, [`Sockets::adopt`] takes it in.
pub struct Loose {
    link: Link,
}

/// What a socket without TLS consists of: all that another process needs to go on with it.
#[derive(Debug)]
pub struct Parts {
    /// The descriptor, which does not block.
    pub fd: OwnedFd,
    /// What has arrived and was not used.
    pub input: Vec<u8>,
    /// What was written and is not sent.
    pub output: Vec<u8>,
}

impl Loose {
    pub(crate) fn new(link: Link) -> Self {
        Self { link }
    }

    /// Takes a socket apart that is to leave the process; `Err` gives one under TLS back, whose keys cannot leave.
    pub fn into_parts(mut self) -> Result<Parts, Self> {
        if self.link.tls_mut().is_some() {
            return Err(self);
        }
        Ok(Parts { input: self.link.take_input(), output: self.link.unsent().to_vec(), fd: self.link.fd })
    }

    /// Puts a socket together that a peer had opened to another process.
    pub fn from_parts(parts: Parts) -> Self {
        // The shard that adopts it gives it its name.
        let mut link = Link::new(parts.fd, SocketId::from_bits(0), Stage::Open, None);
        link.keep_input(parts.input);
        link.keep_unsent(&parts.output);
        Self { link }
    }

    /// Has all that was sent be read before the peer's end counts. A Unix socket hangs up (EPOLLHUP) as soon as its other
    /// end is closed, with bytes unread, where one of TCP does so after a reset.
    #[must_use]
    pub fn read_to_the_end(mut self) -> Self {
        self.link.inbound = false;
        self
    }
}

impl<'a, T> Sockets<'a, T> {
    pub(crate) fn new(table: &'a mut Table<T>, driver: &'a mut Driver, listeners: &'a mut Listeners) -> Self {
        Self { table, driver, listeners }
    }
}

impl<T> Sockets<'_, T> {
    /// The time now, in nanoseconds of the shard's clock, read afresh.
    pub fn now_ns(&self) -> u64 {
        self.driver.clock.now_ns()
    }

    /// How long the shard has spun before exact instants ([`Next::AtExactly`](crate::Next::AtExactly)) so far, in
    /// nanoseconds: processor time that was waiting, not work.
    pub fn spun_ns(&self) -> u64 {
        self.driver.spun_ns
    }

    /// How many sockets the shard has, in whatever state.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the shard has no socket.
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// How many sockets hold a buffer: input that was not used or is not whole, output that was not sent, or a
    /// TLS handshake under way.
    pub fn buffered(&self) -> usize {
        self.driver.buffered
    }

    /// The memory of those buffers, with what TLS keeps beside its keys.
    pub fn held_bytes(&self) -> usize {
        self.driver.held_bytes
    }

    /// Starts to connect. [`Service::connected`](crate::Service::connected) or
    /// [`Service::closed`](crate::Service::closed) follows, or [`Service::deadline`](crate::Service::deadline) if
    /// `deadline_ns` comes first.
    ///
    /// Fails, giving the state back, for local reasons: no descriptor, port or memory is left, no such local address, an
    /// unusable TLS configuration.
    pub fn connect(&mut self, to: Connect, socket: T, deadline_ns: Option<u64>) -> Result<SocketId, (io::Error, T)> {
        self.connect_saying(to, &[], socket, deadline_ns, |_, _| ())
    }

    /// The same with something to say first: where the connection is up at once, as one within a machine is, that is sent
    /// here, and `up` is called with the instant (nanoseconds of the shard's clock) in place of `connected`. It saves an
    /// event and two system calls. Under TLS nothing is sent yet.
    ///
    /// Fails also where the peer has refused at once.
    pub fn connect_saying(
        &mut self,
        to: Connect,
        first: &[u8],
        mut socket: T,
        deadline_ns: Option<u64>,
        up: impl FnOnce(&mut T, u64),
    ) -> Result<SocketId, (io::Error, T)> {
        let held_bytes_max = self.driver.options.output_bytes_max;
        let tls = match to.tls.map(|tls| Tls::client(&tls, held_bytes_max)) {
            None => None,
            Some(Ok(tls)) => Some(tls),
            Some(Err(error)) => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, error);
                return Err((error, socket));
            }
        };
        let first = if tls.is_none() { first } else { &[] };
        let fd = match connect::open(to.to, to.from) {
            Ok(fd) => fd,
            Err(error) => return Err((error, socket)),
        };
        let id = self.table.next_id();
        let mut link = Link::new(fd, id, Stage::Connecting, tls);
        if !first.is_empty() {
            let up_ns = self.now_ns();
            match send(&link.fd, first) {
                // Not up yet. (Nothing else can be in the way of a socket's first bytes.)
                Ok(0) => {}
                Ok(sent) => {
                    link.stage = Stage::Open;
                    link.delay = Delay::Later;
                    link.keep_unsent(&first[sent..]);
                    up(&mut socket, up_ns);
                }
                Err(errno) => return Err((errno.into(), socket)),
            }
        }
        if let Err(error) = self.driver.watch(id, &mut link) {
            return Err((error, socket));
        }
        self.table.insert(link, socket);
        if let Some(at_ns) = deadline_ns {
            self.driver.set_deadline_ns(id, at_ns);
        }
        Ok(id)
    }

    /// Takes in a socket that another shard has released. Whether input came along is for
    /// [`Sockets::with_input`] to tell: what has arrived since is reported as ever.
    ///
    /// Fails, giving the state back, when memory for watching it is short.
    pub fn adopt(&mut self, loose: Loose, socket: T) -> Result<SocketId, (io::Error, T)> {
        let mut link = loose.link;
        let id = self.table.next_id();
        link.renew(id);
        match self.driver.watch(id, &mut link) {
            Ok(()) => {
                self.table.insert(link, socket);
                Ok(id)
            }
            Err(error) => Err((error, socket)),
        }
    }

    /// Acts on one socket and the input that it has not used yet, like [`Service::received`](crate::Service::received):
    /// the answer is how many bytes of it were used. `false`: it is gone, or about to be, and nothing was done.
    pub fn with_input(&mut self, id: SocketId, act: impl FnOnce(&mut Io<'_>, &mut T, &mut [u8]) -> usize) -> bool {
        let Some(entry) = self.table.get_mut(id) else {
            return false;
        };
        let (link, socket) = (&mut entry.link, &mut entry.socket);
        if !link.is_live() {
            return false;
        }
        self.driver.stamp();
        offer(self.driver, id, link, &mut [], |io, input| act(io, socket, input));
        self.driver.settle(id, link);
        true
    }

    /// Acts on one socket. `false`: it is gone, or about to be, and nothing was done.
    pub fn with(&mut self, id: SocketId, act: impl FnOnce(&mut Io<'_>, &mut T)) -> bool {
        let Some(entry) = self.table.get_mut(id) else {
            return false;
        };
        if !entry.link.is_live() {
            return false;
        }
        self.driver.stamp();
        act(&mut Io::new(self.driver, &mut entry.link, id), &mut entry.socket);
        self.driver.settle(id, &mut entry.link);
        true
    }

    /// Acts on each socket that is not about to be gone, those that still connect included.
    pub fn for_each(&mut self, mut act: impl FnMut(&mut Io<'_>, &mut T)) {
        self.driver.stamp();
        for (id, entry) in self.table.iter_mut() {
            if entry.link.is_live() {
                act(&mut Io::new(self.driver, &mut entry.link, id), &mut entry.socket);
                self.driver.settle(id, &mut entry.link);
            }
        }
    }

    /// Closes the shard's listeners. Connections that wait in the queue of one that nobody else holds are reset by the
    /// kernel.
    pub fn stop_listening(&mut self) {
        self.listeners.close(&self.driver.epoll);
    }
}
