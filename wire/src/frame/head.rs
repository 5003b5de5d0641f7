//! The head of a frame, in front of its payload (RFC 6455 section 5.2).

use crate::error::ProtocolError;
use crate::frame::opcode::{FINAL, LENGTH, LENGTH_16, LENGTH_64, MASKED, OPCODE, OpCode, RESERVED, Side};
use crate::limits::CONTROL_BYTES_MAX;

/// The head of one frame.
pub(super) struct Head {
    pub is_final: bool,
    pub opcode: OpCode,
    pub mask: Option<[u8; 4]>,
    /// 2 to 14.
    pub head_bytes: usize,
    pub payload_bytes: u64,
}

impl Head {
    /// Parses a head and checks the rules that need no other frame. `Ok(None)`: more bytes are needed.
    pub fn parse(buf: &[u8], from: Side) -> Result<Option<Self>, ProtocolError> {
        let [first, second, rest @ ..] = buf else {
            return Ok(None);
        };
        if first & RESERVED != 0 {
            return Err(ProtocolError::Reserved);
        }
        let is_final = first & FINAL != 0;
        let opcode = OpCode::from_bits(first & OPCODE)?;
        let is_masked = second & MASKED != 0;
        match from {
            Side::Client if !is_masked => return Err(ProtocolError::Unmasked),
            Side::Server if is_masked => return Err(ProtocolError::Masked),
            _ => {}
        }
        let length = second & LENGTH;
        if opcode.is_control() && !is_final {
            return Err(ProtocolError::FragmentedControl);
        }
        if opcode.is_control() && usize::from(length) > CONTROL_BYTES_MAX {
            return Err(ProtocolError::LongControl);
        }
        let Some((payload_bytes, rest)) = read_length(length, rest)? else {
            return Ok(None);
        };
        let (mask, rest) = match rest.split_first_chunk() {
            _ if !is_masked => (None, rest),
            Some((mask, rest)) => (Some(*mask), rest),
            None => return Ok(None),
        };
        Ok(Some(Self { is_final, opcode, mask, head_bytes: buf.len() - rest.len(), payload_bytes }))
    }
}

/// The payload's length and the bytes behind it. Section 5.2 forbids a length with the highest bit set; such a length is
/// above every limit, so it needs no check of its own.
fn read_length(length: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (bytes, rest, least) = match length {
        LENGTH_16 => match rest.split_first_chunk() {
            Some((bytes, rest)) => (u16::from_be_bytes(*bytes).into(), rest, LENGTH_16.into()),
            None => return Ok(None),
        },
        LENGTH_64 => match rest.split_first_chunk() {
            Some((bytes, rest)) => (u64::from_be_bytes(*bytes), rest, u64::from(u16::MAX) + 1),
            None => return Ok(None),
        },
        short => (short.into(), rest, 0),
    };
    if bytes < least {
        return Err(ProtocolError::LengthNotMinimal);
    }
    Ok(Some((bytes, rest)))
}
