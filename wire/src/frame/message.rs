//! Whole messages, assembled from fragments if necessary, and control frames.

use std::borrow::Cow;

use crate::error::ProtocolError;
use crate::frame::mask;
use crate::frame::opcode::OpCode;
use crate::frame::utf8::Utf8;

/// A whole message or a control frame. It borrows from the buffer, unless it came in fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'b> {
    /// UTF-8.
    Text(Cow<'b, str>),
    /// Any bytes.
    Binary(Cow<'b, [u8]>),
    /// Asks for a pong with the same payload, at most 125 bytes.
    Ping(&'b [u8]),
    /// The answer to a ping, or a heartbeat that nobody asked for.
    Pong(&'b [u8]),
    /// The peer closes, or answers our close. Nothing may follow (section 5.5.1).
    Close {
        /// 1000 to 1003, 1007 to 1014 or 3000 to 4999; `None` when the frame was empty.
        code: Option<u16>,
        /// Empty when the frame has no reason.
        reason: &'b str,
    },
}

/// A message that has not arrived completely: its fragments before the last, or the beginning of a text frame.
#[derive(Debug)]
pub(super) struct Unfinished {
    is_text: bool,
    /// Whether its first fragment has arrived completely, so that others must follow.
    pub is_begun: bool,
    /// The payload of the complete fragments: never longer than the decoder's limit.
    payload: Vec<u8>,
    /// The UTF-8 check of a text message, up to the last byte that has arrived.
    text: Utf8,
    /// How many payload bytes of the arriving frame `text` has checked.
    checked_bytes: usize,
}

/// How many bytes of an arriving frame are unmasked at once for the UTF-8 check.
const CHECK_BYTES: usize = 512;

impl Unfinished {
    pub fn new(opcode: OpCode) -> Self {
        Self {
            is_text: opcode == OpCode::Text,
            is_begun: false,
            payload: Vec::new(),
            text: Utf8::default(),
            checked_bytes: 0,
        }
    }

    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// How many payload bytes the complete fragments have.
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    pub fn capacity_bytes(&self) -> usize {
        self.payload.capacity()
    }

    /// Checks the beginning of a text frame's payload while the rest is arriving. `front` is masked and is not changed.
    /// Each byte is checked once; a byte that cannot be part of UTF-8 is an error at once (section 8.1).
    pub fn check_front(&mut self, front: &[u8], mask: Option<[u8; 4]>) -> Result<(), ProtocolError> {
        let mut bytes = [0; CHECK_BYTES];
        let unchecked = front.get(self.checked_bytes..).unwrap_or_default();
        for masked in unchecked.chunks(CHECK_BYTES) {
            let bytes = &mut bytes[..masked.len()];
            bytes.copy_from_slice(masked);
            if let Some(mut key) = mask {
                key.rotate_left(self.checked_bytes % 4);
                mask::apply(bytes, key);
            }
            self.text.push(bytes)?;
            self.checked_bytes += bytes.len();
        }
        Ok(())
    }

    /// Adds a complete fragment. A character may be split between two fragments.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        self.is_begun = true;
        if self.is_text {
            self.text.push(payload.get(self.checked_bytes..).unwrap_or_default())?;
            self.checked_bytes = 0;
        }
        self.payload.extend_from_slice(payload);
        Ok(())
    }

    pub fn finish<'b>(self) -> Result<Message<'b>, ProtocolError> {
        if !self.is_text {
            return Ok(Message::Binary(Cow::Owned(self.payload)));
        }
        let text = String::from_utf8(self.payload).map_err(|_| ProtocolError::NotUtf8)?;
        Ok(Message::Text(Cow::Owned(text)))
    }
}

/// The payload of a text frame (section 8.1).
pub(super) fn text(payload: &[u8]) -> Result<&str, ProtocolError> {
    std::str::from_utf8(payload).map_err(|_| ProtocolError::NotUtf8)
}

/// The code and reason of a close frame (section 5.5.1).
pub(super) fn close(payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
    match payload.split_first_chunk() {
        None if payload.is_empty() => Ok(Message::Close { code: None, reason: "" }),
        None => Err(ProtocolError::CloseCutShort),
        Some((code, reason)) => {
            let code = u16::from_be_bytes(*code);
            if !may_be_sent(code) {
                return Err(ProtocolError::BadClose(code));
            }
            Ok(Message::Close { code: Some(code), reason: text(reason)? })
        }
    }
}

/// Whether a peer may send this close code (section 7.4 and IANA's registry). 1004 has no meaning; 1005, 1006 and 1015
/// are never sent; codes below 1000 and from 1016 to 2999 are reserved.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
