//! WebSocket frames and messages (RFC 6455 sections 5 to 7), without extensions.
//!
//! The [`Decoder`] unmasks in place and returns slices of the caller's buffer. An idle decoder takes 16 bytes; only a
//! fragmented message is collected on the heap, within the decoder's limit. UTF-8 is checked while it arrives.
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

/// The most bytes in front of a payload (section 5.2): two, a length of eight, a mask of four. A buffer of this plus the
/// longest message holds every frame that a decoder accepts.
pub const HEAD_BYTES_MAX: usize = 14;
