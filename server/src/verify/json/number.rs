//! Numbers (RFC 8259 section 6): their end, whether an `f64` holds them, and their value as times.

use crate::verify::json::JsonError;

/// The digits of the smallest number that is rounded to infinity, 2^1024 - 2^970. The first digit has the power
/// [`POWER_MAX`].
const INFINITY_DIGITS: &[u8] =
    b"17976931348623158079372897140530341507993413271003782693617377898044496829276475094664901797\
    75872070963302864166928879109465555478519404026306574886715058206819089020007083836762738548458177115317644757\
    30270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497792";

/// The power of ten of the first digit of [`INFINITY_DIGITS`].
const POWER_MAX: i64 = 308;

/// The position after the number at `start`. A number beyond the range of `f64` is malformed.
#[inline]
pub(super) fn end_of_number(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let whole = start + usize::from(bytes.get(start) == Some(&b'-'));
    let point = end_of_digits(bytes, whole);
    let has_leading_zero = point > whole + 1 && bytes.get(whole) == Some(&b'0');
    if point == whole || has_leading_zero {
        return Err(JsonError::Malformed);
    }
    if let Some(b'.' | b'e' | b'E') = bytes.get(point) {
        return end_of_fraction(bytes, whole, point);
    }
    let is_f64 = is_small(point - whole, 0) || is_finite(bytes, whole, point, 0);
    if is_f64 { Ok(point) } else { Err(JsonError::Malformed) }
}

/// The position after a number with a fraction or an exponent, whose integer part is between `whole` and `point`.
#[inline]
fn end_of_fraction(bytes: &[u8], whole: usize, point: usize) -> Result<usize, JsonError> {
    let mut mantissa_end = point;
    if bytes.get(point) == Some(&b'.') {
        mantissa_end = end_of_digits(bytes, point + 1);
        if mantissa_end == point + 1 {
            return Err(JsonError::Malformed);
        }
    }
    let (end, exponent) = match bytes.get(mantissa_end) {
        Some(b'e' | b'E') => exponent(bytes, mantissa_end + 1).ok_or(JsonError::Malformed)?,
        _ => (mantissa_end, 0),
    };
    let is_f64 = is_small(point - whole, exponent) || is_finite(bytes, whole, mantissa_end, exponent);
    if is_f64 { Ok(end) } else { Err(JsonError::Malformed) }
}

#[inline(always)]
fn end_of_digits(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The position after the exponent whose sign or first digit is at `at`, and its value.
#[inline(always)]
fn exponent(bytes: &[u8], mut at: usize) -> Option<(usize, i64)> {
    let sign = bytes.get(at).filter(|sign| matches!(sign, b'+' | b'-'));
    at += usize::from(sign.is_some());
    let start = at;
    let mut value: i64 = 0;
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        value = (10 * value + i64::from(digit - b'0')).min(EXPONENT_MAX);
        at += 1;
    }
    let value = if sign == Some(&b'-') { -value } else { value };
    (at > start).then_some((at, value))
}

/// Larger exponents count as this one: no token has enough digits to balance it.
const EXPONENT_MAX: i64 = 1 << 32;

/// Whether every number with this many digits before its point, and this exponent, is at most 10^[`POWER_MAX`].
#[inline(always)]
fn is_small(digits: usize, exponent: i64) -> bool {
    digits as i64 + exponent <= POWER_MAX
}

/// Whether the number with this mantissa and exponent is in the range of `f64`. The digits are compared, so that a long
/// number takes no longer than to read it.
#[cold]
fn is_finite(bytes: &[u8], start: usize, end: usize, exponent: i64) -> bool {
    let mantissa = bytes.get(start..end).unwrap_or_default();
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let point = point.unwrap_or(mantissa.len()) as i64;
    let is_significant = |byte: &u8| !matches!(byte, b'0' | b'.');
    let Some(first) = mantissa.iter().position(is_significant) else {
        // Zero with any exponent.
        return true;
    };
    let place = first as i64;
    let power = point - place - i64::from(place < point);
    let digits = mantissa.get(first..).unwrap_or_default();
    match (power + exponent).cmp(&POWER_MAX) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => digits.iter().filter(|byte| **byte != b'.').lt(INFINITY_DIGITS),
    }
}

/// The most digits of a number that an `f64` holds exactly: below 2^53.
const DIGITS_EXACT: usize = 15;

/// Powers of ten that an `f64` holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The `f64` nearest to `number`, which is valid and has no sign; for a number above 10^22 any `f64` above it.
///
/// The usual case is one multiplication or division of two exact numbers, which is rounded once (Clinger 1990). The
/// standard library parses other numbers.
pub(in crate::verify) fn to_f64(number: &str) -> Option<f64> {
    exact(number.as_bytes()).or_else(|| number.parse().ok())
}

#[inline]
fn exact(number: &[u8]) -> Option<f64> {
    let (mut mantissa, mut digits, mut fraction, mut at) = (0_u64, 0, 0, 0);
    let mut has_point = false;
    loop {
        match number.get(at) {
            Some(digit @ b'0'..=b'9') => {
                mantissa = 10 * mantissa + u64::from(digit - b'0');
                digits += 1;
                fraction += i64::from(has_point);
            }
            Some(b'.') => has_point = true,
            _ => break,
        }
        at += 1;
        if digits > DIGITS_EXACT {
            return None;
        }
    }
    let exponent = match number.get(at) {
        Some(_) => exponent(number, at + 1)?.1,
        None => 0,
    };
    let power = exponent - fraction;
    let factor = POWERS.get(power.unsigned_abs() as usize);
    match (factor, mantissa) {
        (_, 0) => Some(0.0),
        (Some(factor), _) if power < 0 => Some(mantissa as f64 / factor),
        (Some(factor), _) => Some(mantissa as f64 * factor),
        (None, _) if power > 0 => Some(f64::MAX),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_smallest_infinite_number_is_refused_and_the_one_below_accepted() {
        let infinite = str::from_utf8(INFINITY_DIGITS).unwrap();
        assert_eq!(infinite.len() as i64, POWER_MAX + 1);
        assert_eq!(infinite.parse(), Ok(f64::INFINITY));
        let below = format!("{}1", &infinite[..infinite.len() - 1]);
        assert_eq!(below.parse(), Ok(f64::MAX));
        for (number, is_f64) in [(infinite, false), (&below, true)] {
            let (first, rest) = number.split_at(1);
            for spelling in [
                number.to_owned(),
                format!("{first}.{rest}e308"),
                format!("{first}.{rest}0e+308"),
                format!("0.000{number}e312"),
                format!("{number}000e-0003"),
                format!("-{number}.0"),
            ] {
                let found = end_of_number(spelling.as_bytes(), 0).ok();
                assert_eq!(found, is_f64.then_some(spelling.len()), "{spelling}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_end_of_a_number_is_that_of_another_parser(
            text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?0{0,2}[0-9]{1,3})?",
        ) {
            let is_finite = serde_json::from_str::<f64>(&text).is_ok() && text.parse::<f64>().unwrap().is_finite();
            prop_assert_eq!(end_of_number(text.as_bytes(), 0).ok(), is_finite.then_some(text.len()));
        }

        #[test]
        fn numbers_near_the_limit_are_classified_as_by_another_parser(
            digits in "17976931348623157(0[0-9]{0,9}|[5-9][0-9]{0,9}|8079372897140[0-9]{0,9})",
            zeros in 0_usize..400,
            power in 308_usize..311,
        ) {
            let (first, rest) = digits.split_at(1);
            for text in [
                format!("0.{}{digits}e{}", "0".repeat(zeros), zeros + power),
                format!("{first}.{rest}E+{}", power - 1),
                format!("{digits}e{}", power - digits.len()),
            ] {
                let finite = text.parse::<f64>().unwrap().is_finite();
                prop_assert_eq!(end_of_number(text.as_bytes(), 0).is_ok(), finite, "{}", text);
            }
        }

        #[test]
        fn a_time_is_the_nearest_f64(
            text in "(0|[1-9][0-9]{0,12})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?",
        ) {
            let found = to_f64(&text).unwrap();
            let nearest: f64 = text.parse().unwrap();
            prop_assert!(found == nearest || found.min(nearest) > 1e22, "{}: {} {}", text, found, nearest);
        }
    }
}
