//! What frames come to: whole messages, put together from fragments where they must be, and control frames.

use std::borrow::Cow;

use super::{OpCode, ProtocolError};

/// A whole message or a control frame. Borrows from the buffer, unless it came in fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'b> {
    /// UTF-8.
    Text(Cow<'b, str>),
    /// Any bytes.
    Binary(Cow<'b, [u8]>),
    /// To be answered by a pong with the same payload, at most 125 bytes.
    Ping(&'b [u8]),
    /// The answer to a ping, or a heartbeat of its own accord.
    Pong(&'b [u8]),
    /// The peer closes, or answers our close. Nothing may follow (section 5.5.1).
    Close {
        /// One that may be sent: 1000 to 1003, 1007 to 1014 or 3000 to 4999; none when the frame was empty.
        code: Option<u16>,
        /// Empty when there was none.
        reason: &'b str,
    },
}

/// A message of which some fragments are here.
#[derive(Debug)]
pub(super) struct Unfinished {
    is_text: bool,
    /// Never longer than the decoder's limit.
    payload: Vec<u8>,
    /// So many bytes of a text are known to be UTF-8, whole characters all.
    checked_bytes: usize,
}

impl Unfinished {
    pub fn new(opcode: OpCode) -> Self {
        Self {
            is_text: opcode == OpCode::Text,
            payload: Vec::new(),
            checked_bytes: 0,
        }
    }

    /// How many payload bytes are here.
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// Adds a fragment. Text that can no longer become UTF-8 fails at once (section 8.1), so that it is not
    /// collected to the end; a character may be cut between fragments.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        self.payload.extend_from_slice(payload);
        if self.is_text {
            let unchecked = self.payload.get(self.checked_bytes..).unwrap_or_default();
            match std::str::from_utf8(unchecked) {
                Ok(_) => self.checked_bytes = self.payload.len(),
                Err(error) if error.error_len().is_none() => {
                    self.checked_bytes += error.valid_up_to();
                }
                Err(_) => return Err(ProtocolError::NotUtf8),
            }
        }
        Ok(())
    }

    pub fn finish<'b>(self) -> Result<Message<'b>, ProtocolError> {
        if self.is_text {
            String::from_utf8(self.payload)
                .map(|text| Message::Text(Cow::Owned(text)))
                .map_err(|_| ProtocolError::NotUtf8)
        } else {
            Ok(Message::Binary(Cow::Owned(self.payload)))
        }
    }
}

/// A text frame's payload (section 8.1).
pub(super) fn text(payload: &[u8]) -> Result<&str, ProtocolError> {
    std::str::from_utf8(payload).map_err(|_| ProtocolError::NotUtf8)
}

/// A close frame's code and reason (section 5.5.1).
pub(super) fn close(payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
    match payload.split_first_chunk() {
        None if payload.is_empty() => Ok(Message::Close {
            code: None,
            reason: "",
        }),
        None => Err(ProtocolError::CloseCutShort),
        Some((code, reason)) => {
            let code = u16::from_be_bytes(*code);
            if !may_be_sent(code) {
                return Err(ProtocolError::BadClose(code));
            }
            Ok(Message::Close {
                code: Some(code),
                reason: text(reason)?,
            })
        }
    }
}

/// Section 7.4 and IANA's registry: 1004 has no meaning, 1005, 1006 and 1015 are never sent, 1016 to 2999 are kept
/// for later, below 1000 nothing is used.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
