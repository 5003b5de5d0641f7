//! The state of one connection of a shard.

use crate::gate::body::Posting;
use crate::session::Session;
use crate::session::engineio::Probe;
use crate::session::polling::Key;

/// The state of one connection, kept by value for each socket.
#[derive(Debug)]
pub(super) enum Socket {
    /// Its request is not complete.
    Handshake {
        /// When its request must be complete.
        until_ns: u64,
        /// Bytes of the head that were looked at.
        seen_bytes: u32,
        /// It had requests answered before.
        served: bool,
    },
    /// Its request is complete, and the frontend is asked for the user of its session.
    AwaitingLookup {
        /// When it must be answered.
        until_ns: u64,
        /// As in `Handshake`.
        served: bool,
    },
    /// The body of a polling session's POST is not complete.
    Posting {
        /// When it must be complete.
        until_ns: u64,
        /// What is known of it.
        posting: Box<Posting>,
    },
    /// A poll that is answered when its session has packets.
    Waiting(Key),
    /// A WebSocket that may take over a polling session.
    Probing(Box<Probe>),
    /// A session, authenticated or about to be.
    Session(Session),
    /// It moves to the shard that owns the session it asks for.
    Leaving(Leaving),
    /// Its bytes are relayed to and from another of the shard's sockets, named here.
    Relay(u64),
    /// Its outcome is counted; it is being closed.
    Ended,
    /// There was no place for it; it is being closed.
    Rejected,
}

/// Where a connection moves, and what goes with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// The number of the shard that receives it.
    pub(super) shard: u16,
    /// As in [`Socket::Handshake`].
    pub(super) served: bool,
    /// As in [`Socket::Handshake`].
    pub(super) until_ns: u64,
}

impl Socket {
    /// Is its first request not complete, or looked up?
    pub(super) fn is_half_open(&self) -> bool {
        matches!(self, Self::Handshake { served: false, .. } | Self::AwaitingLookup { served: false, .. })
    }

    /// Is it a WebSocket whose session is not connected yet, or still to move there?
    pub(super) fn is_unconnected(&self) -> bool {
        match self {
            Self::Probing(_) => true,
            Self::Session(session) => !session.is_settled(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_socket_takes_at_most_32_bytes() {
        // A million sockets hold as many of these; rare states belong behind a box.
        assert!(size_of::<Socket>() <= 32, "{} bytes", size_of::<Socket>());
    }
}
