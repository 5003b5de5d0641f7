//! What a program gives the reactor: callbacks, and what it hears about the end of a socket.

use std::io;

use crate::fault::TlsError;
use crate::io::Io;
use crate::slab::SocketId;
use crate::sockets::{Loose, Sockets};

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

    /// A connection could not be accepted because descriptors or memory ran out (ours, not the peer's fault). The
    /// reactor leaves its listeners alone for 50 ms instead of spinning.
    fn accept_failed(&mut self, error: &io::Error) {
        let _ = error;
    }

    /// The TCP connection of a [`Sockets::connect`] is up. Under TLS its handshake starts now.
    fn connected(&mut self, io: &mut Io<'_>, socket: &mut Self::Socket) {
        let _ = (io, socket);
    }

    /// The TLS handshake is complete, on either side; `resumed`: it took up an earlier session.
    fn secured(&mut self, io: &mut Io<'_>, socket: &mut Self::Socket, resumed: bool) {
        let _ = (io, socket, resumed);
    }

    /// Bytes arrived (plaintext under TLS): `input` is what was not used before, then what is new; it may be changed in
    /// place. Answers how many bytes from its front were used. The rest is kept, and offered again when more arrives.
    fn received(&mut self, io: &mut Io<'_>, socket: &mut Self::Socket, input: &mut [u8]) -> usize;

    /// All that had waited to be sent has been sent. What a socket takes at once has not waited, nor has what it takes once
    /// it is [connected](Service::connected).
    fn drained(&mut self, io: &mut Io<'_>, socket: &mut Self::Socket) {
        let _ = (io, socket);
    }

    /// The socket's deadline has passed. It is cleared before the call, so it may be set again.
    fn deadline(&mut self, io: &mut Io<'_>, socket: &mut Self::Socket);

    /// The socket is gone, whoever closed it: the last call for it, made exactly once for each socket that `accepted`
    /// returned or that [`Sockets::connect`] took, also when the shard stops.
    fn closed(&mut self, now_ns: u64, id: SocketId, socket: Self::Socket, why: Closed);

    /// The socket has left the shard by [`Io::release`], in place of a call of `closed`. Dropping it closes it.
    fn released(&mut self, now_ns: u64, id: SocketId, loose: Loose, socket: Self::Socket) {
        let _ = (now_ns, id, loose, socket);
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

/// Why a socket is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// This side closed, finished or reset it, or the shard stopped.
    Local,
    /// The peer closed it: its FIN, or TLS's close_notify, was read.
    Peer,
    /// The peer reset it (RST). A socket that was accepted is also said to be reset when the kernel gave it up.
    Reset,
    /// Nobody listens there: ECONNREFUSED on connect.
    Refused,
    /// The kernel gave the connection up for another reason (unreachable, timed out).
    Failed(io::ErrorKind),
    /// TLS failed: a certificate that is not trusted, an alert, bytes that are no TLS.
    Tls(TlsError),
    /// The service left more input unused than [`Options::input_bytes_max`](crate::Options).
    InputTooLong,
    /// The peer read so slowly that more output waits than [`Options::output_bytes_max`](crate::Options).
    PeerTooSlow,
    /// The sockets together held more than [`Options::held_bytes_max`](crate::Options), and this one was among those with
    /// the most.
    Greediest,
}

impl Closed {
    /// The reason behind an error of a socket call or of `SO_ERROR`.
    pub(crate) fn from_errno(errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        match errno {
            Errno::CONNREFUSED => Self::Refused,
            // Writing after the peer's RST has been reported once fails with EPIPE.
            Errno::CONNRESET | Errno::PIPE => Self::Reset,
            other => Self::Failed(io::Error::from(other).kind()),
        }
    }
}
