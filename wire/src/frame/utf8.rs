//! UTF-8 checked as it arrives (RFC 6455 section 8.1), however the text is cut.

use crate::error::ProtocolError;

/// The longest character.
const CHARACTER_BYTES_MAX: usize = 4;

/// The state of a text that has not arrived completely: so far it can still become UTF-8.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The first bytes of a character whose other bytes have not arrived.
    cut: [u8; CHARACTER_BYTES_MAX],
    /// How many those are, at most 3.
    cut_bytes: usize,
}

impl Utf8 {
    /// Checks the next bytes of the text. After an error there is nothing more to check.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), ProtocolError> {
        while self.cut_bytes > 0
            && let Some((first, rest)) = bytes.split_first()
        {
            bytes = rest;
            // Of 3 at most: a fourth decides about every character.
            self.cut[self.cut_bytes] = *first;
            let known = self.cut_bytes + 1;
            self.cut_bytes = match cut_of(&self.cut[..known])? {
                0 => 0,
                _ => known,
            };
        }
        let cut_bytes = cut_of(bytes)?;
        if cut_bytes > 0 {
            self.cut[..cut_bytes].copy_from_slice(&bytes[bytes.len() - cut_bytes..]);
            self.cut_bytes = cut_bytes;
        }
        Ok(())
    }
}

/// How many bytes at the end belong to a character that is cut, 0 to 3.
fn cut_of(bytes: &[u8]) -> Result<usize, ProtocolError> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(0),
        Err(error) if error.error_len().is_none() => Ok(bytes.len() - error.valid_up_to()),
        Err(_) => Err(ProtocolError::NotUtf8),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether `text` can still become UTF-8, according to the standard library.
    fn may_become_utf8(text: &[u8]) -> bool {
        std::str::from_utf8(text).map_or_else(|error| error.error_len().is_none(), |_| true)
    }

    proptest! {
        #[test]
        fn check_fails_at_the_byte_that_breaks_the_text(
            text in prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                prop::collection::vec(prop::sample::select(b"a\xe2\x82\xac\xf0\x9f\x9a\xaa\xed\xa0\xc0\xf4\x90".to_vec()), 0..12),
            ],
            pieces in prop::collection::vec(1..6_usize, 1..12),
        ) {
            let mut seen = Utf8::default();
            let mut from = 0;
            for piece in pieces {
                let to = (from + piece).min(text.len());
                let pushed = seen.push(&text[from..to]);
                prop_assert_eq!(pushed.is_ok(), may_become_utf8(&text[..to]), "{:x?}", &text[..to]);
                if pushed.is_err() {
                    break;
                }
                from = to;
            }
        }
    }
}
