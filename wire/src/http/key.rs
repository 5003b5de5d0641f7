//! The handshake's key and the answer to it, which proves that the server speaks WebSocket.

use base64_simd::{AsOut, STANDARD};
use sha1::{Digest, Sha1};

/// `Sec-WebSocket-Accept` for a key: base64(SHA-1(key + GUID)), ASCII (RFC 6455 section 4.2.2).
pub fn accept_key(key: &str) -> [u8; 28] {
    /// RFC 6455 section 1.3.
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest: [u8; 20] = Sha1::new().chain_update(key).chain_update(GUID).finalize().into();
    let mut accept = [0; 28];
    let _written = STANDARD.encode(&digest, accept.as_mut_slice().as_out());
    accept
}

/// `Sec-WebSocket-Key` out of 16 random bytes: base64, ASCII (RFC 6455 section 4.1).
pub fn client_key(random: [u8; 16]) -> [u8; 24] {
    let mut key = [0; 24];
    let _written = STANDARD.encode(&random, key.as_mut_slice().as_out());
    key
}

/// 22 characters of base64 and two of padding are 16 bytes. Bits that the last character has to spare may be set:
/// RFC 4648 section 3.5 leaves that to the decoder, and only the text is ever used.
pub(super) fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==").map(str::as_bytes) else {
        return false;
    };
    // Without a way out, so that the compiler takes many at once.
    <&[u8; 22]>::try_from(digits).is_ok_and(|digits| digits.iter().fold(true, |so_far, byte| so_far & is_digit(*byte)))
}

/// Whether it is one of base64 (RFC 4648 section 4).
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | (byte == b'+') | (byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_key_is_the_example_of_the_rfc() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        assert_eq!(accept_key(key), *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "section 1.3");
        assert_eq!(client_key(*b"the sample nonce"), key.as_bytes(), "section 1.3");
    }

    #[test]
    fn valid_and_invalid_keys_are_distinguished() {
        for (key, good, why) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", true, "16 bytes"),
            ("+/+/+/+/+/+/+/+/+/+/+/==", true, "the other two digits, spare bits set"),
            ("dGhlIHNhbXBsZSBub25jZQ", false, "no padding"),
            ("dGhlIHNhbXBsZSBub25jZQo=", false, "17 bytes"),
            ("dGhlIHNhbXBsZSBub25jZ-==", false, "base64url"),
            ("dGhlIHNhbXBsZSBub25jZ===", false, "padded too much"),
            ("", false, "empty"),
        ] {
            assert_eq!(is_key(key), good, "{why}");
        }
    }
}
