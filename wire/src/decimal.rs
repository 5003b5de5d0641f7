//! Writes numbers on hot paths, where `write!` would be too slow.

/// Appends `number` in decimal digits, with no allocation beyond `out`.
pub fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; DIGITS_MAX];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        start -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// The digits of `u64::MAX`.
const DIGITS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_full() {
        for (number, why) in [
            (0, "zero has a digit"),
            (9, "the last of one digit"),
            (10, "the first of two digits"),
            (101, "a zero in the middle"),
            (65_535, "a body's length"),
            (u64::MAX, "the most digits"),
        ] {
            let mut out = b"x".to_vec();
            write_decimal(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{number}"), "{why}");
        }
    }
}
