//! Writes frames. Each message is one final frame; a client's is masked.

use crate::frame::mask;
use crate::frame::opcode::{FINAL, LENGTH_16, LENGTH_64, MASKED, OpCode};
use crate::limits::CONTROL_BYTES_MAX;

/// Appends one final frame (RFC 6455 section 5.2). A client gives a new, unpredictable `mask` for every frame
/// (section 10.3), a server none. The payload of a control frame is cut after [`CONTROL_BYTES_MAX`].
pub fn write_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], mask: Option<[u8; 4]>) {
    let payload = if opcode.is_control() {
        debug_assert!(payload.len() <= CONTROL_BYTES_MAX, "a control frame is short");
        &payload[..payload.len().min(CONTROL_BYTES_MAX)]
    } else {
        payload
    };
    write_head(out, opcode, payload.len(), mask);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_from(out, start, mask);
}

/// Appends a close frame (section 5.5.1): `code`, then as many characters of `reason` as fit.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str, mask: Option<[u8; 4]>) {
    let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - size_of::<u16>())];
    write_head(out, OpCode::Close, size_of::<u16>() + reason.len(), mask);
    let start = out.len();
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    apply_from(out, start, mask);
}

fn write_head(out: &mut Vec<u8>, opcode: OpCode, bytes: usize, mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { MASKED } else { 0 };
    out.push(FINAL | opcode.bits());
    if bytes < usize::from(LENGTH_16) {
        out.push(masked | bytes as u8);
    } else if let Ok(short) = u16::try_from(bytes) {
        out.push(masked | LENGTH_16);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(masked | LENGTH_64);
        out.extend_from_slice(&(bytes as u64).to_be_bytes());
    }
    out.extend_from_slice(mask.as_ref().map_or(&[], <[u8; 4]>::as_slice));
}

fn apply_from(out: &mut [u8], start: usize, mask: Option<[u8; 4]>) {
    if let (Some(mask), Some(payload)) = (mask, out.get_mut(start..)) {
        mask::apply(payload, mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_frames_equal_the_examples_of_the_rfc() {
        let mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        for (opcode, payload, mask, head, why) in [
            (OpCode::Text, &b"Hello"[..], None, &[0x81, 5][..], "unmasked text"),
            (OpCode::Text, b"Hello", mask, &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d], "masked text"),
            (OpCode::Ping, b"Hello", None, &[0x89, 5], "a ping"),
            (OpCode::Binary, &[0; 256], None, &[0x82, 126, 1, 0], "256 bytes"),
            (OpCode::Binary, &[0; 65_536], None, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], "64 KiB"),
            (OpCode::Binary, &[0; 125], None, &[0x82, 125], "the longest one-byte length"),
            (OpCode::Binary, &[0; 126], None, &[0x82, 126, 0, 126], "the shortest two-byte length"),
            (OpCode::Binary, &[0; 65_535], None, &[0x82, 126, 255, 255], "the longest two-byte length"),
        ] {
            let mut out = Vec::new();
            write_frame(&mut out, opcode, payload, mask);
            assert_eq!(&out[..head.len()], head, "{why}");
            assert_eq!(out.len(), head.len() + payload.len(), "{why}");
        }
    }

    #[test]
    fn a_close_reason_is_cut_at_a_character() {
        for (reason, kept, why) in [
            ("", 0, "no reason"),
            ("going away", 10, "short"),
            (&"a".repeat(123), 123, "as long as fits"),
            (&"a".repeat(124), 123, "one byte too long"),
            (&"€".repeat(42), 123, "41 characters of three bytes"),
            (&("a".to_owned() + &"€".repeat(42)), 121, "no character is split"),
        ] {
            let mut out = Vec::new();
            write_close(&mut out, 1001, reason, None);
            assert_eq!(out[..4], [0x88, kept + 2, 0x03, 0xe9], "{why}");
            assert_eq!(&out[4..], &reason.as_bytes()[..usize::from(kept)], "{why}");
        }
    }

    #[test]
    fn writing_a_frame_allocates_nothing_beside_the_output() {
        let mut out = Vec::with_capacity(64);
        let before = out.as_ptr();
        write_frame(&mut out, OpCode::Text, &[b'a'; 58], Some([1, 2, 3, 4]));
        assert_eq!((out.as_ptr(), out.len()), (before, 64));
    }
}
