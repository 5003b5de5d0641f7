//! What a turn of the loop may do with all sockets of its shard.

use std::io;

use crate::connect::{self, Connect};
use crate::driver::Driver;
use crate::io::Io;
use crate::listen::Listeners;
use crate::slab::{Link, SocketId, Stage, Table};
use crate::tls::Tls;

/// The sockets of a shard, in the hands of [`Service::turn`](crate::Service::turn).
pub struct Sockets<'a, T> {
    table: &'a mut Table<T>,
    driver: &'a mut Driver,
    listeners: &'a mut Listeners,
}

impl<'a, T> Sockets<'a, T> {
    pub(crate) fn new(
        table: &'a mut Table<T>,
        driver: &'a mut Driver,
        listeners: &'a mut Listeners,
    ) -> Self {
        Self {
            table,
            driver,
            listeners,
        }
    }
}

impl<T> Sockets<'_, T> {
    /// The time now, in nanoseconds of the shard's clock, read afresh.
    pub fn now_ns(&self) -> u64 {
        self.driver.clock.now_ns()
    }

    /// How many sockets the shard has, in whatever state.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the shard has no socket.
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Starts to connect. [`Service::connected`](crate::Service::connected) or
    /// [`Service::closed`](crate::Service::closed) follows, or [`Service::deadline`](crate::Service::deadline) if
    /// `deadline_ns` comes first.
    ///
    /// Fails, giving the state back, for local reasons: no descriptor, port or memory is left, no such local address, an
    /// unusable TLS configuration.
    pub fn connect(
        &mut self,
        to: Connect,
        socket: T,
        deadline_ns: Option<u64>,
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
        let fd = match connect::open(to.to, to.from) {
            Ok(fd) => fd,
            Err(error) => return Err((error, socket)),
        };
        let id = self.table.next_id();
        let mut link = Link::new(fd, id, Stage::Connecting, tls);
        if let Err(error) = self.driver.watch(id, &mut link) {
            return Err((error, socket));
        }
        self.table.insert(link, socket);
        if let Some(at_ns) = deadline_ns {
            self.driver.set_deadline_ns(id, at_ns);
        }
        Ok(id)
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
        act(
            &mut Io::new(self.driver, &mut entry.link, id),
            &mut entry.socket,
        );
        self.driver.settle(id, &mut entry.link);
        true
    }

    /// Acts on each socket that is not about to be gone, those that still connect included.
    pub fn for_each(&mut self, mut act: impl FnMut(&mut Io<'_>, &mut T)) {
        self.driver.stamp();
        for (id, entry) in self.table.iter_mut() {
            if entry.link.is_live() {
                act(
                    &mut Io::new(self.driver, &mut entry.link, id),
                    &mut entry.socket,
                );
                self.driver.settle(id, &mut entry.link);
            }
        }
    }

    /// Closes the shard's listeners. Connections that wait in their queues are reset by the kernel.
    pub fn stop_listening(&mut self) {
        self.listeners.close();
    }
}
