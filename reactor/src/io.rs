//! What a callback may do with its socket.

use std::net::SocketAddr;

use crate::connection::{Closing, Connection, Reading};
use crate::driver::Driver;
use crate::socket_id::SocketId;
use crate::sys;

/// One socket, as a callback sees it. What is asked for here is carried out once the callback has returned.
pub struct Io<'a> {
    driver: &'a mut Driver,
    connection: &'a mut Connection,
    id: SocketId,
}

impl<'a> Io<'a> {
    pub(crate) fn new(driver: &'a mut Driver, connection: &'a mut Connection, id: SocketId) -> Self {
        Self { driver, connection, id }
    }
}

impl Io<'_> {
    /// The socket's name.
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// Whether TLS stands between the socket and its bytes.
    pub fn is_tls(&self) -> bool {
        self.connection.is_tls
    }

    /// The peer's address: a call of the kernel, which accepting spares. `None`: the peer is gone already.
    pub fn peer(&self) -> Option<SocketAddr> {
        sys::peer_address(&self.connection.descriptor)
    }

    /// The time of this event or of its batch, in nanoseconds of the shard's clock, as
    /// [`Options::time`](crate::Options) sets.
    pub fn now_ns(&self) -> u64 {
        self.driver.now_ns
    }

    /// The shard's output buffer, to which bytes for this socket may be appended (and nothing else be done).
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.driver.out
    }

    /// Appends bytes for this socket.
    pub fn write(&mut self, bytes: &[u8]) {
        self.driver.out.extend_from_slice(bytes);
    }

    /// Bytes of earlier callbacks that the socket has not taken yet. Reading pauses while they are many, unless
    /// [`Io::set_reading`] has set another mode.
    pub fn unsent_bytes(&self) -> usize {
        self.connection.unsent_bytes()
    }

    /// Sets when the socket is to be read from now on.
    pub fn set_reading(&mut self, reading: Reading) {
        self.connection.reading = reading;
    }

    /// Sets how much memory the service keeps for this socket beside its state, such as a message that is not complete:
    /// it counts among the socket's buffers.
    pub fn set_kept_bytes(&mut self, bytes: usize) {
        self.connection.set_kept_bytes(bytes);
    }

    /// Sets the socket's one deadline, in nanoseconds of the shard's clock: [`Service::deadline`](crate::Service) is
    /// called at the first whole millisecond that is not before it.
    pub fn set_deadline_ns(&mut self, at_ns: u64) {
        self.driver.set_deadline_ns(self.id, at_ns);
    }

    /// Clears the deadline, if there is one.
    pub fn clear_deadline(&mut self) {
        self.driver.wheel.cancel(self.id.index);
    }

    /// Sends what is written, then closes. The kernel turns that into a reset when bytes of the peer lie unread;
    /// [`Io::finish`] makes sure that the peer gets to read what was written last.
    pub fn close(&mut self) {
        self.end(Closing::Close);
    }

    /// Sends what is written and FIN, discards what still arrives until the peer's FIN, for a second at most, then
    /// closes. After a mebibyte nothing more is read, and the kernel resets the connection in the end.
    pub fn finish(&mut self) {
        self.end(Closing::Finish);
    }

    /// Closes with a reset; what is unsent is discarded.
    pub fn reset(&mut self) {
        self.connection.closing = Closing::Reset;
    }

    /// Takes the socket out of this shard, open, with the input that is not used and the output that is not sent yet:
    /// [`Service::released`](crate::Service::released) gets it once the callback has returned.
    pub fn release(&mut self) {
        self.end(Closing::Release);
    }

    fn end(&mut self, closing: Closing) {
        if self.connection.closing == Closing::No {
            self.connection.closing = closing;
        }
    }
}
