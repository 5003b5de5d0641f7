//! What a program gives the reactor: callbacks over its sockets.

use std::io;

use crate::closed::Closed;
use crate::detached::DetachedSocket;
use crate::io::Io;
use crate::socket_id::SocketId;
use crate::sockets::Sockets;

/// A shard's program: callbacks over its sockets, run on the shard's thread, one at a time.
///
/// A callback may write, set the socket's deadline and close it through its [`Io`]; what it wrote is sent, and a close
/// carried out, after it has returned. No callback is ever called from within another.
pub trait Service {
    /// What is kept for each socket. It lies in the slab by value, so its size is the cost of a parked socket.
    type Socket;

    /// A peer connected to one of the shard's listeners. `None` drops it at once, unsent bytes with it; to answer and
    /// close, write, close and return `Some`. When bytes already wait, [`Service::received`] follows straight after.
    fn accepted(&mut self, io: &mut Io<'_>) -> Option<Self::Socket> {
        let _ = io;
        None
    }

    /// A connection could not be accepted because descriptors or memory ran out, on this side. The listeners pause for
    /// 50 ms, so that the loop does not spin.
    fn accept_failed(&mut self, error: &io::Error) {
        let _ = error;
    }

    /// The TCP connection of a [`Sockets::connect`] is up. Under TLS its handshake starts now.
    fn connected(&mut self, io: &mut Io<'_>, socket: &mut Self::Socket) {
        let _ = (io, socket);
    }

    /// The TLS handshake is complete, on either side; `resumed`: it resumed an earlier session.
    fn secured(&mut self, io: &mut Io<'_>, socket: &mut Self::Socket, resumed: bool) {
        let _ = (io, socket, resumed);
    }

    /// Bytes arrived (plaintext under TLS): `input` is what was not used before, then what is new; it may be changed in
    /// place. Returns how many bytes from its front were used. The rest is kept, and offered again when more arrives.
    fn received(&mut self, io: &mut Io<'_>, socket: &mut Self::Socket, input: &mut [u8]) -> usize;

    /// All output that had to wait has been sent. What a socket takes at once has not waited, nor has what it takes as soon
    /// as it is [connected](Service::connected).
    fn drained(&mut self, io: &mut Io<'_>, socket: &mut Self::Socket) {
        let _ = (io, socket);
    }

    /// The socket's deadline has passed. It is cleared before the call, so it may be set again.
    fn deadline(&mut self, io: &mut Io<'_>, socket: &mut Self::Socket);

    /// The socket is gone, whoever closed it: the last call for it, made exactly once for each socket that `accepted`
    /// returned or that [`Sockets::connect`] took, also when the shard stops.
    fn closed(&mut self, now_ns: u64, id: SocketId, socket: Self::Socket, why: Closed);

    /// The socket has left the shard by [`Io::release`], in place of a call of `closed`. Dropping it closes it.
    fn released(&mut self, now_ns: u64, id: SocketId, detached: DetachedSocket, socket: Self::Socket) {
        let _ = (now_ns, id, detached, socket);
    }

    /// Once per turn of the loop, after its events and deadlines: mailboxes, new connections, draining. It also comes
    /// first of all, before the first wait. It must be cheap when there is nothing to do.
    fn turn(&mut self, sockets: &mut Sockets<'_, Self::Socket>) -> Next;
}

/// When [`Service::turn`] wants to be called again if nothing else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After the next event, deadline or wake.
    WhenNeeded,
    /// At this instant of the shard's [`Clock`](crate::Clock), in nanoseconds; a kernel timer's accuracy, 50-100 us late.
    At(u64),
    /// At this instant, in nanoseconds: the loop sleeps until shortly before and then spins, so it costs processor time.
    AtExactly(u64),
    /// Never: the shard closes its sockets and [`Shard::run`](crate::Shard::run) returns.
    Stop,
}
