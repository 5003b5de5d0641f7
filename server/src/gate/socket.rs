//! The state of one connection of a shard.

use crate::gate::body::Posting;
use crate::session::Session;
use crate::session::engineio::Probe;
use crate::session::polling::Key;

/// The state of one connection, kept by value for each socket. `until_ns` is the deadline of the current request, `served`
/// whether an earlier request on the connection was answered.
#[derive(Debug)]
pub(super) enum Socket {
    /// The request is not complete. No head ends in the first `seen_bytes` of the input.
    Handshake { until_ns: u64, seen_bytes: u32, served: bool },
    /// The request is complete, and the user of its session is being looked up.
    AwaitingLookup { until_ns: u64, served: bool },
    /// The body of a polling session's POST is not complete.
    Posting { until_ns: u64, posting: Box<Posting> },
    /// A poll that is answered when its session has packets.
    WaitingPoll(Key),
    /// A WebSocket that may upgrade a polling session.
    Probing(Box<Probe>),
    /// A session over a WebSocket, authenticated or not.
    Session(Session),
    /// The connection moves to the shard that owns the session of its request.
    Forwarding(Destination),
    /// The connection's bytes are copied to and from the shard's socket with this id.
    Relay(u64),
    /// The outcome is counted; the connection is being closed.
    Ended,
    /// The connection was not admitted; it is being closed.
    Rejected,
}

/// The shard to which a connection moves, with the state of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub(super) shard: u16,
    pub(super) served: bool,
    pub(super) until_ns: u64,
}

impl Socket {
    /// Whether the first request is not complete, or its session is being looked up.
    pub(super) fn is_half_open(&self) -> bool {
        matches!(self, Self::Handshake { served: false, .. } | Self::AwaitingLookup { served: false, .. })
    }

    /// Whether this is a probe, or a WebSocket whose session is not connected yet.
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
    fn socket_state_takes_at_most_32_bytes() {
        // A gate may hold a million of them; rare states belong into a box.
        assert!(size_of::<Socket>() <= 32, "{} bytes", size_of::<Socket>());
    }
}
