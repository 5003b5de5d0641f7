//! What a frame is, who sends it, and the bits of its first two bytes (RFC 6455 section 5.2).

use crate::error::ProtocolError;

/// Who sends the frames: clients mask, servers do not (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Opened the connection.
    Client,
    /// Accepted it.
    Server,
}

/// What a frame is (section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpCode {
    /// Another fragment of the message that an earlier frame started.
    Continuation,
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
    /// The end of the connection, or the answer to it.
    Close,
    /// Wants a pong with the same payload.
    Ping,
    /// The answer to a ping, or a heartbeat of its own accord.
    Pong,
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
        match self {
            OpCode::Continuation => 0,
            OpCode::Text => 1,
            OpCode::Binary => 2,
            OpCode::Close => 8,
            OpCode::Ping => 9,
            OpCode::Pong => 10,
        }
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
/// In place of a length: the next two bytes are it.
pub(super) const LENGTH_16: u8 = 126;
/// In place of a length: the next eight bytes are it.
pub(super) const LENGTH_64: u8 = 127;
