//! Checks UTF-8 while the text arrives in pieces (RFC 6455 section 8.1).

use crate::error::ProtocolError;

/// The bytes of the longest character.
const CHARACTER_BYTES_MAX: usize = 4;

/// The check of a text that has not arrived completely. So far the text can still become valid UTF-8.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The first bytes of a character that has not arrived completely.
    cut: [u8; CHARACTER_BYTES_MAX],
    /// How many bytes `cut` holds, at most 3.
    cut_bytes: usize,
}

impl Utf8 {
    /// Checks the next bytes of the text. It is not called again after an error.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), ProtocolError> {
        while self.cut_bytes > 0
            && let Some((first, rest)) = bytes.split_first()
        {
            bytes = rest;
            // `cut_bytes` is at most 3, because a fourth byte completes every character.
            self.cut[self.cut_bytes] = *first;
            let known = self.cut_bytes + 1;
            self.cut_bytes = if cut_of(&self.cut[..known])? == 0 { 0 } else { known };
        }
        let cut_bytes = cut_of(bytes)?;
        if cut_bytes > 0 {
            self.cut[..cut_bytes].copy_from_slice(&bytes[bytes.len() - cut_bytes..]);
            self.cut_bytes = cut_bytes;
        }
        Ok(())
    }
}

/// How many bytes at the end belong to an incomplete character, 0 to 3.
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
