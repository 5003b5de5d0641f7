//! The payload of a message: a number by which its answer is known, padded to the length that was asked for.

use crate::spec::MESSAGE_BYTES_MIN;

/// Fills the payload behind its number; needs no escape in JSON.
const PADDING: u8 = b'.';

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends the payload of message `sequence`: 16 hexadecimal digits, then padding to `bytes` in all.
pub fn write_payload(out: &mut Vec<u8>, sequence: u64, bytes: usize) {
    let start = out.len();
    out.extend_from_slice(&digits(sequence));
    out.resize(start + bytes.max(MESSAGE_BYTES_MIN), PADDING);
}

/// Whether `answer` is exactly what [`write_payload`] wrote.
pub fn is_payload(answer: &[u8], sequence: u64, bytes: usize) -> bool {
    answer.len() == bytes.max(MESSAGE_BYTES_MIN)
        && answer.strip_prefix(&digits(sequence)).is_some_and(|rest| rest.iter().all(|byte| *byte == PADDING))
}

fn digits(sequence: u64) -> [u8; MESSAGE_BYTES_MIN] {
    std::array::from_fn(|place| HEX[(sequence >> (60 - 4 * place)) as usize & 15])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_payload_is_its_number_and_padding() {
        let mut out = b"x".to_vec();
        write_payload(&mut out, 0xab, 20);
        assert_eq!(out, b"x00000000000000ab....");
    }

    proptest! {
        #[test]
        fn only_the_same_payload_is_its_answer(
            sequence: u64,
            other: u64,
            bytes in 0..100_usize,
            other_bytes in 0..100_usize,
        ) {
            let mut out = Vec::new();
            write_payload(&mut out, sequence, bytes);
            prop_assert!(is_payload(&out, sequence, bytes));
            let same_bytes = bytes.max(MESSAGE_BYTES_MIN) == other_bytes.max(MESSAGE_BYTES_MIN);
            prop_assert_eq!(is_payload(&out, sequence, other_bytes), same_bytes);
            prop_assert_eq!(is_payload(&out, other, bytes), other == sequence);
        }
    }
}
