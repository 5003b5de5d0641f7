//! Frames of either side. The first byte says which side sends and in what pieces the rest arrives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::frame::{Decoder, HEAD_BYTES_MAX, ProtocolError, Side};

const MESSAGE_BYTES_MAX: u32 = 1_000;

fuzz_target!(|input: &[u8]| {
    let Some((options, frames)) = input.split_first() else {
        return;
    };
    let from = if options & 1 == 0 {
        Side::Client
    } else {
        Side::Server
    };
    let piece = usize::from(options >> 1) + 1;
    let whole = decode(from, frames, frames.len().max(1));
    assert_eq!(decode(from, frames, piece), whole);
});

/// The messages as text, and how it ended.
fn decode(from: Side, frames: &[u8], piece: usize) -> (Vec<String>, Option<ProtocolError>) {
    let mut decoder = Decoder::new(from, MESSAGE_BYTES_MAX);
    let mut pieces = frames.chunks(piece);
    let (mut buf, mut seen) = (Vec::new(), Vec::new());
    loop {
        match decoder.next(&mut buf) {
            Ok(Some(step)) => {
                seen.extend(step.message.map(|message| format!("{message:?}")));
                let used = step.used;
                buf.drain(..used);
            }
            Ok(None) => {
                assert!(buf.len() < MESSAGE_BYTES_MAX as usize + HEAD_BYTES_MAX);
                let Some(piece) = pieces.next() else {
                    return (seen, None);
                };
                buf.extend_from_slice(piece);
            }
            Err(error) => return (seen, Some(error)),
        }
    }
}
