//! Relays copy the bytes of connections that cannot move to the process of their session: under TLS, whose keys stay in
//! this process, and with more pipelined bytes than fit into one message.
//!
//! ```text
//! client <-----> this shard <- a pair of Unix sockets -> the other process, which sees an ordinary connection
//! ```
//!
//! One end of the pair goes to the other process; the other end is a second socket of this shard. The shard copies
//! received bytes from one of its two sockets to the other in its next turn, and closes each after the other. It stops
//! reading from a socket while many bytes wait to be sent on the other.

use std::io;

use reactor::{DetachedSocket, Parts, Reading, SocketId, Sockets};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::gate::{handshake::HEAD_BYTES_MAX, socket::Socket};

/// Unsent bytes of one socket above which the other is not read; up to two reads more may be buffered before that takes
/// effect. Enough that neither socket idles until the shard's next turn; the kernel buffers more for a connection.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// Deferred actions of relays, done in the shard's next turn.
#[derive(Debug, Default)]
pub(super) struct Relays {
    /// Connections for which a relay is to be opened.
    pub(super) begun: Vec<SocketId>,
    /// Bytes to send to each socket.
    bytes: Vec<(SocketId, Vec<u8>)>,
    /// Sockets to read again, because the other socket has sent all its bytes.
    drained: Vec<SocketId>,
    /// Sockets to close, because the other socket is closed.
    closed: Vec<SocketId>,
}

impl Relays {
    /// Stores bytes for the socket `other`.
    pub(super) fn copy(&mut self, other: u64, bytes: &[u8]) {
        let other = SocketId::from_bits(other);
        match self.bytes.last_mut() {
            Some((last, held)) if *last == other => held.extend_from_slice(bytes),
            _ => self.bytes.push((other, bytes.to_vec())),
        }
    }

    /// All bytes that were received from the socket `other` are sent.
    pub(super) fn drained(&mut self, other: u64) {
        self.drained.push(SocketId::from_bits(other));
    }

    /// The peer of the socket `other` in its relay is closed.
    pub(super) fn close(&mut self, other: u64) {
        self.closed.push(SocketId::from_bits(other));
    }

    /// Copies bytes, pauses and resumes reading, and closes sockets whose peer in the relay is closed.
    pub(super) fn run(&mut self, sockets: &mut Sockets<'_, Socket>) {
        for id in std::mem::take(&mut self.drained) {
            sockets.with(id, |io, _| io.set_reading(Reading::Always));
        }
        for (id, bytes) in std::mem::take(&mut self.bytes) {
            let mut paused = None;
            sockets.with(id, |io, socket| {
                io.write(&bytes);
                // Unsent bytes of earlier turns are registered with epoll: `drained` will be called.
                if let Socket::Relay(other) = *socket
                    && io.unsent_bytes() > WAITING_BYTES_MAX
                {
                    paused = Some(SocketId::from_bits(other));
                }
            });
            if let Some(other) = paused {
                sockets.with(other, |io, _| io.set_reading(Reading::Paused));
            }
        }
        // Last, so that the bytes above are sent before the close.
        for id in std::mem::take(&mut self.closed) {
            sockets.with(id, |io, _| io.finish());
        }
    }
}

/// Opens the pair for the connection `id`. Returns the end that stays, a socket of this shard, and the parts of the end for
/// the other process, with the `input`.
pub(super) fn open_pair(
    sockets: &mut Sockets<'_, Socket>,
    id: SocketId,
    mut input: Vec<u8>,
) -> io::Result<(SocketId, Parts)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // A message between processes has room for a head; the rest goes through the pair.
    let rest = input.split_off(input.len().min(HEAD_BYTES_MAX));
    let detached = DetachedSocket::from_parts(Parts { fd: ours, input: Vec::new(), output: rest });
    let adopted = sockets.adopt(detached.read_to_the_end(), Socket::Relay(id.to_bits()));
    let inner = adopted.map_err(|(error, _)| error)?;
    Ok((inner, Parts { fd: theirs, input, output: Vec::new() }))
}
