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

mod opcode;

pub use crate::error::ProtocolError;
pub use crate::limits::CONTROL_BYTES_MAX;
pub use decode::{Decoder, Step};
pub use encode::{write_close, write_frame};
pub use message::Message;
pub use opcode::{OpCode, Side};

/// The most bytes in front of a payload: two, eight of a length, four of a mask (section 5.2). A buffer of this and
/// the longest message holds every frame that a decoder takes.
pub const HEAD_BYTES_MAX: usize = 14;
