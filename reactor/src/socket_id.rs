//! The name of a socket.

/// Names a socket of one shard for as long as the process lives: its place in the shard's table, and a generation that
/// distinguishes it from those that had the place before. (The generation is one of 2^32 and counts all sockets of the
/// shard.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    /// Below 2^31: no process has more descriptors.
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl SocketId {
    /// The name as a number: what epoll carries with each event of this socket, and what a part of the program may keep that
    /// knows nothing of sockets.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The name behind such a number. One that never was a name is the name of no socket.
    pub fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}
