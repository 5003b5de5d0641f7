//! What the engine keeps for each socket.

use crate::drive::engine::flight::{FlightId, Flights};
use crate::ground::outcome::TokenKind;
use crate::ground::time::ShardInstant;
use crate::speak::connection::Connection;

/// Bits of a message's number that count within its socket; above them stands the arrival.
const MESSAGE_BITS: u32 = 24;

/// One socket of a shard; what only its handshake needs lies in its flight.
#[derive(Debug)]
pub struct Socket {
    /// The protocol's state.
    pub connection: Connection,
    /// Its arrival.
    pub number: u64,
    /// The kind of its token.
    pub kind: TokenKind,
    /// The index of its target.
    pub target: u8,
    /// What it is doing.
    pub state: State,
    /// Its handshake, until that has its outcome.
    pub flight: FlightId,
    /// When this state ends: see [`State`].
    pub state_ends: ShardInstant,
    /// When its next heartbeat is due.
    pub heartbeat_due: ShardInstant,
    /// Its messages.
    pub messages: Messages,
}

/// What a socket is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// TCP is not up yet; ends by the connect timeout.
    Connecting,
    /// It is not accepted yet; ends by the handshake's timeout.
    Handshaking,
    /// An accepted raw WebSocket, until its grace ends.
    Grace,
    /// Accepted by polling, until it has moved to its WebSocket; ends by the handshake's timeout.
    Moving,
    /// Established, until its hold ends.
    Held,
    /// Established, its hold is over, and messages are still to be sent or answered.
    Finishing,
    /// This side has closed or was closed, until the peer has closed too; ends by [`CLOSE_NS_MAX`].
    Closing,
    /// A connection for the POSTs of a session that polls; ends by the timeout of a POST, never while idle.
    Posting,
    /// A WebSocket that a session may move to; ends by the handshake's timeout.
    Probing,
}

/// How long the peer may take to close after this side has, or to hang up after it has refused. A close handshake takes
/// one round trip.
pub const CLOSE_NS_MAX: u64 = 2_000_000_000;

/// A socket's messages: at most one awaits its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// How many were sent.
    pub sent: u32,
    /// The last one is not answered yet.
    pub is_awaiting: bool,
    /// The planned instant of the first.
    pub first_planned: ShardInstant,
    /// The planned instant of the one that is awaited, or of the next.
    pub planned: ShardInstant,
    /// When the last one was sent.
    pub last_sent: ShardInstant,
}

impl Socket {
    /// A socket that begins to connect.
    pub fn new(number: u64, kind: TokenKind, target: u8, connect_until: ShardInstant) -> Self {
        Self {
            connection: Connection::new(),
            number,
            kind,
            target,
            state: State::Connecting,
            flight: FlightId::NONE,
            state_ends: connect_until,
            heartbeat_due: ShardInstant::NEVER,
            messages: Messages::default(),
        }
    }

    /// TCP is up since `instant`: from here on the handshake's deadline counts. `false`: its flight has ended.
    pub fn tcp_connected(&mut self, flights: &mut Flights, instant: ShardInstant) -> bool {
        let Some(flight) = flights.get_mut(self.flight) else {
            return false;
        };
        flight.connected = Some(instant);
        self.state = State::Handshaking;
        self.state_ends = flight.deadline;
        true
    }

    /// Waits for the peer's close.
    pub fn start_closing(&mut self, now: ShardInstant) {
        self.state = State::Closing;
        self.state_ends = now + CLOSE_NS_MAX;
        self.heartbeat_due = ShardInstant::NEVER;
    }

    /// Whether it counts as open: accepted, and closed by neither side.
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Grace | State::Moving | State::Held | State::Finishing)
    }

    /// Whether it serves a session that polls beside the session's own socket.
    pub fn is_helper(&self) -> bool {
        matches!(self.state, State::Posting | State::Probing)
    }

    /// Plans the next heartbeat, if this side sends any.
    pub fn plan_heartbeat(&mut self, now: ShardInstant) {
        let interval_ms = self.connection.heartbeat_ms();
        self.heartbeat_due = interval_ms.map_or(ShardInstant::NEVER, |ms| now + u64::from(ms) * 1_000_000);
    }

    /// The number of the next message: its arrival, then its place among the socket's messages. No two messages of a run
    /// that wait for an answer have the same.
    pub fn next_sequence(&self) -> u64 {
        self.sequence(self.messages.sent)
    }

    /// The number of the message that awaits its answer.
    pub fn awaited_sequence(&self) -> Option<u64> {
        self.messages.is_awaiting.then(|| self.sequence(self.messages.sent.wrapping_sub(1)))
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
        let mut socket = Socket::new(3, TokenKind::Valid, 0, ShardInstant::NEVER);
        assert_eq!((socket.next_sequence(), socket.awaited_sequence()), (3 << 24, None));
        socket.messages.sent = 2;
        socket.messages.is_awaiting = true;
        assert_eq!(socket.awaited_sequence(), Some((3 << 24) + 1), "the second was sent last");
    }

    #[test]
    fn a_held_socket_stays_small() {
        assert!(size_of::<Socket>() <= 112, "{}", size_of::<Socket>());
    }
}
