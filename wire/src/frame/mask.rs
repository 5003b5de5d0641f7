//! Masking (RFC 6455 section 5.3). Applying a mask twice gives the payload again.

/// Applies `mask` to `payload` in place: byte `i` is xored with `mask[i % 4]`, eight bytes at a time.
pub(super) fn apply(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_masked_by_its_key() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..70 {
            let payload: Vec<u8> = (0..length).collect();
            let mut masked = payload.clone();
            apply(&mut masked, mask);
            for (i, byte) in masked.iter().enumerate() {
                assert_eq!(*byte, payload[i] ^ mask[i % 4], "byte {i} of {length}");
            }
            apply(&mut masked, mask);
            assert_eq!(masked, payload, "masked twice");
        }
    }

    #[test]
    fn example_of_the_rfc_is_masked() {
        let mut payload = *b"Hello";
        apply(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58], "section 5.7");
    }
}
