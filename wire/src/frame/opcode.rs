//! The opcode of a frame, the side that sends it, and the bits of its first two bytes (RFC 6455 section 5.2).

use crate::error::ProtocolError;

/// The side that sends the frames: a client masks them, a server does not (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The side that opened the connection.
    Client,
    /// The side that accepted the connection.
    Server,
}

/// The kind of a frame (section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpCode {
    /// A further fragment of the message that an earlier frame began.
    Continuation = 0,
    /// UTF-8.
    Text = 1,
    /// Any bytes.
    Binary = 2,
    /// The end of the connection, or the answer to it.
    Close = 8,
    /// Asks for a pong with the same payload.
    Ping = 9,
    /// The answer to a ping, or a heartbeat that nobody asked for.
    Pong = 10,
}

impl OpCode {
    pub(super) fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
        match bits {
            0 => Ok(OpCode::Continuation),
            1 => Ok(OpCode::Text),
            2 => Ok(OpCode::Binary),
            8 => Ok(OpCode::Close),
            9 => Ok(OpCode::Ping),
            10 => Ok(OpCode::Pong),
            unknown => Err(ProtocolError::UnknownOpcode(unknown)),
        }
    }

    pub(super) fn bits(self) -> u8 {
        self as u8
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, OpCode::Close | OpCode::Ping | OpCode::Pong)
    }
}

pub(super) const FINAL: u8 = 0x80;
pub(super) const RESERVED: u8 = 0x70;
pub(super) const OPCODE: u8 = 0x0f;
pub(super) const MASKED: u8 = 0x80;
pub(super) const LENGTH: u8 = 0x7f;
/// Stands in place of a length that the next two bytes give.
pub(super) const LENGTH_16: u8 = 126;
/// Stands in place of a length that the next eight bytes give.
pub(super) const LENGTH_64: u8 = 127;
