//! WebSocket frames and messages (RFC 6455 sections 5 to 7), without extensions.
//!
//! The [`Decoder`] works on the caller's buffer: it unmasks in place and lends the payload. An idle connection costs
//! its 16 bytes; only a fragmented message, while it lasts, is collected on the heap, within the limit that the
//! decoder was made with. Text is checked as it arrives.
//!
//! ```
//! use wire::frame::{Decoder, Message, OpCode, Side, write_frame};
//!
//! let mut bytes = Vec::new();
//! write_frame(&mut bytes, OpCode::Text, b"hello", Some([1, 2, 3, 4]));
//!
//! let mut decoder = Decoder::new(Side::Client, 1_000_000);
//! let step = decoder.next(&mut bytes)?.expect("the frame is whole");
//! assert_eq!(step.message, Some(Message::Text("hello".into())));
//! # Ok::<(), wire::frame::ProtocolError>(())
//! ```

mod decode;

mod head;

mod message;

mod encode;

mod mask;

mod utf8;

pub use crate::error::ProtocolError;
pub use decode::{Decoder, Step};
pub use encode::{write_close, write_frame};
pub use message::Message;

/// The most payload bytes of a control frame (section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// The most bytes in front of a payload: two, eight of a length, four of a mask (section 5.2). A buffer of this and
/// the longest message holds every frame that a decoder takes.
pub const HEAD_BYTES_MAX: usize = 14;

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
    fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
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

    fn bits(self) -> u8 {
        match self {
            OpCode::Continuation => 0,
            OpCode::Text => 1,
            OpCode::Binary => 2,
            OpCode::Close => 8,
            OpCode::Ping => 9,
            OpCode::Pong => 10,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, OpCode::Close | OpCode::Ping | OpCode::Pong)
    }
}

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
/// In place of a length: the next two bytes are it.
const LENGTH_16: u8 = 126;
/// In place of a length: the next eight bytes are it.
const LENGTH_64: u8 = 127;
