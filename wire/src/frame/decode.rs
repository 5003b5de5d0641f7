//! Reads one frame at a time from the front of a buffer and assembles fragmented messages.

use std::borrow::Cow;

use crate::error::ProtocolError;
use crate::frame::head::Head;
use crate::frame::mask;
use crate::frame::message::{Message, Unfinished, close, text};
use crate::frame::opcode::{OpCode, Side};

/// Reads the frames of one direction of one connection.
///
/// An idle decoder takes 16 bytes. A fragmented message and the UTF-8 check of an incomplete text frame are on the heap.
/// After an error the caller closes the connection; what the decoder returns after that has no meaning.
#[derive(Debug)]
pub struct Decoder {
    /// The message that has not arrived completely.
    unfinished: Option<Box<Unfinished>>,
    /// The most payload bytes of a message, in one frame or in several.
    message_bytes_max: u32,
    /// The side that sends these frames.
    from: Side,
}

/// One decoded frame.
#[derive(Debug, PartialEq)]
pub struct Step<'b> {
    /// How many bytes at the front of the buffer the frame occupies.
    pub used: usize,
    /// The message that the frame completes; `None` for a fragment that is not the last.
    pub message: Option<Message<'b>>,
}

impl Decoder {
    /// A decoder of the frames of `from`. It refuses messages of more than `message_bytes_max` payload bytes.
    pub fn new(from: Side, message_bytes_max: u32) -> Self {
        Self { unfinished: None, message_bytes_max, from }
    }

    /// The memory of a message whose fragments have not all arrived, in bytes.
    pub fn unfinished_bytes(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| unfinished.capacity_bytes())
    }

    /// Decodes the next whole frame at the front of `buf` and unmasks it in place. `Ok(None)`: more bytes are needed, and
    /// the buffer is not changed.
    ///
    /// Call it again with the buffer from [`Step::used`] on, until it returns `None`. An invalid head is an error before
    /// the payload has arrived, and invalid UTF-8 as soon as the first invalid byte has.
    pub fn next<'b>(&mut self, buf: &'b mut [u8]) -> Result<Option<Step<'b>>, ProtocolError> {
        let Some(head) = Head::parse(buf, self.from)? else {
            return Ok(None);
        };
        self.check_sequence(&head)?;
        let end = head.head_bytes.saturating_add(head.payload_bytes as usize);
        if buf.len() < end {
            self.check_front(&head, &buf[head.head_bytes..])?;
            return Ok(None);
        }
        let payload = &mut buf[head.head_bytes..end];
        if let Some(key) = head.mask {
            mask::apply(payload, key);
        }
        let message = match head.opcode {
            OpCode::Ping => Some(Message::Ping(payload)),
            OpCode::Pong => Some(Message::Pong(payload)),
            OpCode::Close => Some(close(payload)?),
            OpCode::Text if head.is_final => {
                // The UTF-8 check of the beginning of this frame.
                self.unfinished = None;
                Some(Message::Text(Cow::Borrowed(text(payload)?)))
            }
            OpCode::Binary if head.is_final => Some(Message::Binary(Cow::Borrowed(payload))),
            OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                self.take_fragment(head.opcode, head.is_final, payload)?
            }
        };
        Ok(Some(Step { used: end, message }))
    }

    /// Checks that this frame may follow the frames before it, and that its message is not too long.
    fn check_sequence(&self, head: &Head) -> Result<(), ProtocolError> {
        let begun = self.unfinished.as_ref().filter(|message| message.is_begun);
        let before = match (head.opcode, begun) {
            (opcode, _) if opcode.is_control() => return Ok(()),
            (OpCode::Continuation, None) => return Err(ProtocolError::NoMessageToContinue),
            (OpCode::Continuation, Some(unfinished)) => unfinished.bytes() as u64,
            (_, Some(_)) => return Err(ProtocolError::MessageUnfinished),
            (_, None) => 0,
        };
        let limit = self.message_bytes_max;
        if head.payload_bytes > u64::from(limit).saturating_sub(before) {
            return Err(ProtocolError::TooLong { limit });
        }
        Ok(())
    }

    /// Checks the UTF-8 of an incomplete text frame.
    fn check_front(&mut self, head: &Head, front: &[u8]) -> Result<(), ProtocolError> {
        let is_text = match (head.opcode, &self.unfinished) {
            (OpCode::Continuation, Some(message)) => message.is_text(),
            (opcode, _) => opcode == OpCode::Text,
        };
        if !is_text || front.is_empty() {
            return Ok(());
        }
        self.unfinished.get_or_insert_with(|| Box::new(Unfinished::new(OpCode::Text))).check_front(front, head.mask)
    }

    fn take_fragment<'b>(
        &mut self,
        opcode: OpCode,
        is_final: bool,
        payload: &[u8],
    ) -> Result<Option<Message<'b>>, ProtocolError> {
        let mut message = self.unfinished.take().unwrap_or_else(|| Box::new(Unfinished::new(opcode)));
        message.push(payload)?;
        if is_final {
            return message.finish().map(Some);
        }
        self.unfinished = Some(message);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_decoder_is_small_and_holds_nothing() {
        assert!(size_of::<Decoder>() <= 24, "every socket has one");
        let mut decoder = Decoder::new(Side::Server, 10);
        for (frame, idle, why) in [
            (&b"\x81\x03a"[..], false, "the check of an incomplete text frame"),
            (b"\x81\x01a", true, "the frame is whole"),
            (b"\x82\x03a", true, "binary needs no check"),
            (b"\x01\x01a", false, "a fragment is kept"),
            (b"\x89\0", false, "a ping between fragments changes nothing"),
            (b"\x80\0", true, "the last fragment completes the message"),
        ] {
            decoder.next(&mut frame.to_vec()).unwrap();
            assert_eq!(decoder.unfinished.is_none(), idle, "{why}");
        }
    }
}
