//! What the engine keeps for each socket, and which of its instants comes next.

use reactor::Io;

use crate::drive::engine::flight::{FlightId, Flights};
use crate::ground::outcome::TokenKind;
use crate::speak::connection::Connection;

/// An instant that does not come.
pub const NEVER_NS: u64 = u64::MAX;

/// Bits of a message's number that count within its socket; above them stands the arrival.
const MESSAGE_BITS: u32 = 24;

/// One socket of a shard; what only its handshake needs lies in its flight.
#[derive(Debug)]
pub struct Socket {
    /// What it speaks.
    pub connection: Connection,
    /// Its arrival.
    pub number: u64,
    /// What its token deserves.
    pub kind: TokenKind,
    /// The place of its target.
    pub target: u8,
    /// Where it is in its life.
    pub life: Life,
    /// Its handshake, until that is decided.
    pub flight: FlightId,
    /// When this part of its life ends: see [`Life`].
    pub until_ns: u64,
    /// When its next heartbeat is due.
    pub beat_ns: u64,
    /// What it says.
    pub talk: Talk,
}

/// Where a socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Until TCP is up, within the connect timeout.
    Connecting,
    /// Until it is let in or not, within the handshake's timeout.
    Handshaking,
    /// A raw WebSocket that is let in, until its grace is over.
    Grace,
    /// Let in by polling, until it has moved to its WebSocket, within the handshake's timeout.
    Moving,
    /// Established, until its hold is over.
    Held,
    /// Established and held long enough, but a message is still to be answered.
    Overdue,
    /// Taking leave, until the peer has closed too or patience ends.
    Leaving,
    /// No socket of its own: brings the packets of a session that polls, until a POST is answered, or idle.
    Posting,
    /// No socket of its own yet: a WebSocket on trial for a session that polls, within the handshake's timeout.
    Probing,
}

/// A socket's messages: one on its way at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// Messages sent, the one on its way included.
    pub sent: u32,
    /// One is on its way.
    pub awaiting: bool,
    /// When the first one was due.
    pub began_ns: u64,
    /// When the last one was due, or the next one is.
    pub planned_ns: u64,
    /// When the last one was sent.
    pub sent_ns: u64,
}

impl Socket {
    /// One that begins to connect.
    pub fn new(number: u64, kind: TokenKind, target: u8, flight: FlightId, connect_by_ns: u64) -> Self {
        Self {
            connection: Connection::new(),
            number,
            kind,
            target,
            life: Life::Connecting,
            flight,
            until_ns: connect_by_ns,
            beat_ns: NEVER_NS,
            talk: Talk::default(),
        }
    }

    /// TCP has been up since `up_ns`: from here on the handshake's own deadline counts. `false`: its flight has ended.
    pub fn up(&mut self, flights: &mut Flights, up_ns: u64) -> bool {
        let Some(flight) = flights.get_mut(self.flight) else {
            return false;
        };
        flight.connected_ns = Some(up_ns);
        self.life = Life::Handshaking;
        self.until_ns = flight.deadline_ns;
        true
    }

    /// Whether it counts as open: let in, and neither side has taken leave.
    pub fn is_held(&self) -> bool {
        matches!(self.life, Life::Grace | Life::Moving | Life::Held | Life::Overdue)
    }

    /// The number of the next message: its arrival, then its place in the socket's talk, so that no two messages of a
    /// run that wait for an answer have the same.
    pub fn next_sequence(&self) -> u64 {
        self.sequence(self.talk.sent)
    }

    /// The number of the message that is on its way.
    pub fn awaited(&self) -> Option<u64> {
        self.talk.awaiting.then(|| self.sequence(self.talk.sent.wrapping_sub(1)))
    }

    /// Sets the reactor's one deadline to the earliest instant that matters; `message_ns` is that of its talk.
    pub fn arm(&self, io: &mut Io<'_>, message_ns: u64) {
        match self.until_ns.min(self.beat_ns).min(message_ns) {
            NEVER_NS => io.clear_deadline(),
            at_ns => io.set_deadline_ns(at_ns),
        }
    }

    fn sequence(&self, message: u32) -> u64 {
        let within = u64::from(message) & ((1 << MESSAGE_BITS) - 1);
        self.number << MESSAGE_BITS | within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_numbered_by_arrival_and_place() {
        let mut socket = Socket::new(3, TokenKind::Valid, 0, FlightId::NONE, 0);
        assert_eq!((socket.next_sequence(), socket.awaited()), (3 << 24, None));
        socket.talk.sent = 2;
        socket.talk.awaiting = true;
        assert_eq!(socket.awaited(), Some((3 << 24) + 1), "the second was sent last");
    }

    #[test]
    fn a_held_socket_stays_small() {
        assert!(size_of::<Socket>() <= 112, "{}", size_of::<Socket>());
    }
}
