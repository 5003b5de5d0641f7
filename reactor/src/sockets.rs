//! What a turn of the loop may do with all sockets of its shard.

use std::io;

use crate::connect::Connect;
use crate::connection::{Connection, Delay, Stage};
use crate::detached::DetachedSocket;
use crate::driver::Driver;
use crate::input::offer_input;
use crate::io::Io;
use crate::listeners::Listeners;
use crate::socket_id::SocketId;
use crate::sys;
use crate::table::Table;
use crate::tls::Tls;

/// The sockets of a shard, as [`Service::turn`](crate::Service::turn) sees them.
pub struct Sockets<'a, T> {
    table: &'a mut Table<T>,
    driver: &'a mut Driver,
    listeners: &'a mut Listeners,
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
        self.connect_and_send(to, &[], socket, deadline_ns, |_, _| ())
    }

    /// The same with bytes to send first. Where the connection is up at once, as one within a machine is, they are sent
    /// here, and `up` is called with the instant (nanoseconds of the shard's clock) in place of `connected`. It saves an
    /// event and two system calls. Otherwise, and under TLS, nothing is sent yet.
    ///
    /// Fails also where the peer has refused at once.
    pub fn connect_and_send(
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
        let descriptor = match sys::connect(to.to, to.from) {
            Ok(descriptor) => descriptor,
            Err(error) => return Err((error, socket)),
        };
        let id = self.table.next_id();
        let mut connection = Connection::new(descriptor, id, Stage::Connecting, tls);
        if !first.is_empty() {
            let up_ns = self.now_ns();
            match sys::send(&connection.descriptor, first) {
                // Not up yet: nothing else keeps a socket from taking its first bytes.
                Ok(0) => {}
                Ok(sent) => {
                    connection.stage = Stage::Open;
                    connection.delay = Delay::Later;
                    connection.keep_unsent(&first[sent..]);
                    up(&mut socket, up_ns);
                }
                Err(error) => return Err((error, socket)),
            }
        }
        if let Err(error) = self.driver.watch(id, &mut connection) {
            return Err((error, socket));
        }
        self.table.insert(connection, socket);
        if let Some(at_ns) = deadline_ns {
            self.driver.set_deadline_ns(id, at_ns);
        }
        Ok(id)
    }

    /// Takes in a socket that another shard has released. The input that came along is offered by
    /// [`Sockets::with_input`]; what has arrived since is reported as usual.
    ///
    /// Fails, giving the state back, when memory for watching it is short.
    pub fn adopt(&mut self, detached: DetachedSocket, socket: T) -> Result<SocketId, (io::Error, T)> {
        let mut connection = detached.connection;
        let id = self.table.next_id();
        connection.renew(id);
        match self.driver.watch(id, &mut connection) {
            Ok(()) => {
                self.table.insert(connection, socket);
                Ok(id)
            }
            Err(error) => Err((error, socket)),
        }
    }

    /// Acts on one socket and the input that it has not used yet, like [`Service::received`](crate::Service::received):
    /// it returns how many bytes of it were used. `false`: it is gone, or about to be, and nothing was done.
    pub fn with_input(&mut self, id: SocketId, act: impl FnOnce(&mut Io<'_>, &mut T, &mut [u8]) -> usize) -> bool {
        let Some(entry) = self.table.get_mut(id) else {
            return false;
        };
        let (connection, socket) = (&mut entry.connection, &mut entry.socket);
        if !connection.is_live() {
            return false;
        }
        self.driver.update_time();
        offer_input(self.driver, id, connection, &mut [], |io, input| act(io, socket, input));
        self.driver.after_callback(id, connection);
        true
    }

    /// Acts on one socket. `false`: it is gone, or about to be, and nothing was done.
    pub fn with(&mut self, id: SocketId, act: impl FnOnce(&mut Io<'_>, &mut T)) -> bool {
        let Some(entry) = self.table.get_mut(id) else {
            return false;
        };
        if !entry.connection.is_live() {
            return false;
        }
        self.driver.update_time();
        act(&mut Io::new(self.driver, &mut entry.connection, id), &mut entry.socket);
        self.driver.after_callback(id, &mut entry.connection);
        true
    }

    /// Acts on each socket that is not about to be gone, those that still connect included.
    pub fn for_each(&mut self, mut act: impl FnMut(&mut Io<'_>, &mut T)) {
        self.driver.update_time();
        for (id, entry) in self.table.iter_mut() {
            if entry.connection.is_live() {
                act(&mut Io::new(self.driver, &mut entry.connection, id), &mut entry.socket);
                self.driver.after_callback(id, &mut entry.connection);
            }
        }
    }

    /// Closes the shard's listeners. Connections that wait in the queue of one that no other process or shard holds are
    /// reset by the kernel.
    pub fn stop_listening(&mut self) {
        self.listeners.close(&self.driver.epoll);
    }
}
