//! The types of packets.

/// The type of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0`: joins a namespace, or confirms that it was joined.
    Connect,
    /// `1`: leaves a namespace.
    Disconnect,
    /// `2`: an event, `["name", ...]`.
    Event,
    /// `3`: the answer to an event that carried an id, `[...]`.
    Ack,
    /// `4`: the namespace was refused. Any JSON in version 4 of the protocol, an object in version 5.
    ConnectError,
    /// `5`: an event with attachments.
    BinaryEvent,
    /// `6`: an acknowledgement with attachments.
    BinaryAck,
}

impl Kind {
    pub(super) fn from_digit(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Kind::Connect,
            b'1' => Kind::Disconnect,
            b'2' => Kind::Event,
            b'3' => Kind::Ack,
            b'4' => Kind::ConnectError,
            b'5' => Kind::BinaryEvent,
            b'6' => Kind::BinaryAck,
            _ => return None,
        })
    }

    pub(super) fn digit(self) -> u8 {
        match self {
            Kind::Connect => b'0',
            Kind::Disconnect => b'1',
            Kind::Event => b'2',
            Kind::Ack => b'3',
            Kind::ConnectError => b'4',
            Kind::BinaryEvent => b'5',
            Kind::BinaryAck => b'6',
        }
    }

    pub(super) fn is_binary(self) -> bool {
        matches!(self, Kind::BinaryEvent | Kind::BinaryAck)
    }
}
