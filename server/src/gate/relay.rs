//! Relays: connections that cannot move to the process that owns their session. Under TLS the keys stay in this process,
//! and a message between processes has no room for many pipelined bytes. Their bytes are copied instead.
//!
//! ```text
//! client <-----> this shard <- a pair of Unix sockets -> the other process, which sees an ordinary connection
//! ```
//!
//! One end of the pair goes to the other process; the other end is a second socket of this shard. Bytes that come out of
//! one of the two sockets go into the other in the shard's next turn, and each ends with the other. A socket is not read
//! while many of its bytes wait for the other, so both ends run at the speed of the slower one.

use std::io;

use reactor::{DetachedSocket, Parts, Reading, SocketId, Sockets};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::gate::{handshake::HEAD_BYTES_MAX, socket::Socket};

/// Bytes that may wait for one socket before the other is not read, besides two reads that happen before that is known.
/// Neither then waits for a turn of the shard, and the kernel holds more for a connection.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// The work of relays that is done in the shard's next turn.
#[derive(Debug, Default)]
pub(super) struct Relays {
    /// Connections that are to be relayed.
    begun: Vec<SocketId>,
    /// Bytes for a socket.
    bytes: Vec<(SocketId, Vec<u8>)>,
    /// Sockets to read again: the other end has sent all its bytes.
    drained: Vec<SocketId>,
    /// Sockets whose other end is gone.
    over: Vec<SocketId>,
}

impl Relays {
    /// A connection's next request is for another process.
    pub(super) fn begin(&mut self, id: SocketId) {
        self.begun.push(id);
    }

    /// The connections that are to be relayed.
    pub(super) fn take_begun(&mut self) -> Vec<SocketId> {
        std::mem::take(&mut self.begun)
    }

    /// Keeps bytes for the socket `other`.
    pub(super) fn pass(&mut self, other: u64, bytes: &[u8]) {
        let other = SocketId::from_bits(other);
        match self.bytes.last_mut() {
            Some((last, held)) if *last == other => held.extend_from_slice(bytes),
            _ => self.bytes.push((other, bytes.to_vec())),
        }
    }

    /// All bytes that came from the socket `other` are sent.
    pub(super) fn drained(&mut self, other: u64) {
        self.drained.push(SocketId::from_bits(other));
    }

    /// The other end of the socket `other` is gone.
    pub(super) fn end(&mut self, other: u64) {
        self.over.push(SocketId::from_bits(other));
    }

    /// Copies the bytes that came, pauses and resumes reading, and ends sockets whose other end is gone.
    pub(super) fn run(&mut self, sockets: &mut Sockets<'_, Socket>) {
        for id in std::mem::take(&mut self.drained) {
            sockets.with(id, |io, _| io.set_reading(Reading::Always));
        }
        for (id, bytes) in std::mem::take(&mut self.bytes) {
            let mut paused = None;
            sockets.with(id, |io, socket| {
                io.write(&bytes);
                // These are bytes of earlier turns: the socket is sure to report when they are sent.
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
        // After the last bytes for them.
        for id in std::mem::take(&mut self.over) {
            sockets.with(id, |io, _| io.finish());
        }
    }
}

/// Opens the pair for the connection `id`: the end that stays here, as a socket of the shard, and the parts of the one that
/// goes to the other process, `input` included.
pub(super) fn open_pair(
    sockets: &mut Sockets<'_, Socket>,
    id: SocketId,
    mut input: Vec<u8>,
) -> io::Result<(SocketId, Parts)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // A message between processes has room for a head; the rest goes through the pair.
    let behind = input.split_off(input.len().min(HEAD_BYTES_MAX));
    let detached = DetachedSocket::from_parts(Parts { fd: ours, input: Vec::new(), output: behind });
    let adopted = sockets.adopt(detached.read_to_the_end(), Socket::Relay(id.to_bits()));
    let inner = adopted.map_err(|(error, _)| error)?;
    Ok((inner, Parts { fd: theirs, input, output: Vec::new() }))
}
