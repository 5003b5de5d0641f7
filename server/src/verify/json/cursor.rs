//! Reads a text in one pass and checks everything that it skips.
//!
//! The usual JSON of issuers (compact, plain strings, whole numbers) is read eight bytes at a time and without function
//! calls. Separate functions read white space, escapes and fractions, so that the usual case stays fast.

use crate::verify::json::name_code::{NameCodeBuilder, ONES, quotes, specials};
use crate::verify::json::number::end_of_number;
use crate::verify::json::text::unescape;
use crate::verify::json::{JsonError, NESTING_MAX, Name, NameCode, Text, Value};

/// The most digits of a number that the fast path reads. Such a number is below 2^64, and exact as an `f64`.
const DIGITS_MAX: usize = 15;

/// A position in a text, always between two characters, because the cursor stops only at ASCII bytes.
pub(in crate::verify) struct Cursor<'t> {
    text: &'t str,
    /// The bytes of `text`.
    bytes: &'t [u8],
    at: usize,
}

// Always inlined, so that the position is in a register: in memory, each step would wait for the last one.
impl<'t> Cursor<'t> {
    /// The position `at` of `text`.
    #[inline(always)]
    pub(in crate::verify) fn new(text: &'t str, at: usize) -> Self {
        let bytes = text.as_bytes();
        Self { text, bytes, at }
    }

    /// The whole text.
    #[inline(always)]
    pub(in crate::verify) fn text(&self) -> &'t str {
        self.text
    }

    /// The position in bytes.
    #[inline(always)]
    pub(in crate::verify) fn position(&self) -> usize {
        self.at
    }

    /// The next byte, spaces included.
    #[inline(always)]
    pub(in crate::verify) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    pub(in crate::verify) fn skip_space(&mut self) {
        self.at = skip_space(self.bytes, self.at);
    }

    /// Skips `byte`, with the space before it, if `byte` comes next. Returns whether it did.
    #[inline(always)]
    pub(in crate::verify) fn take(&mut self, byte: u8) -> bool {
        // A branch is predicted, while arithmetic would wait for the byte.
        if self.peek() != Some(byte) {
            let Some(..=b' ') = self.peek() else {
                return false;
            };
            self.at = after_space(self.bytes, self.at);
            if self.peek() != Some(byte) {
                return false;
            }
        }
        self.at += 1;
        true
    }

    #[inline(always)]
    pub(in crate::verify) fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(JsonError::Malformed) }
    }

    /// Fails unless only space follows.
    #[inline(always)]
    pub(in crate::verify) fn expect_end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.peek().is_none() { Ok(()) } else { Err(JsonError::Malformed) }
    }

    /// The text from `start` to the position.
    #[inline(always)]
    fn since(&self, start: usize) -> Result<&'t str, JsonError> {
        self.text.get(start..self.at).ok_or(JsonError::Malformed)
    }

    /// Reads a name, the colon after it, and space.
    #[inline(always)]
    pub(in crate::verify) fn name(&mut self) -> Result<Name<'t>, JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        let nine = self.bytes.get(start..).and_then(<[u8]>::first_chunk);
        let name = match nine.and_then(NameCode::until_quote) {
            Some((bytes, code)) => {
                self.at += bytes;
                let text = Text::plain(self.since(start)?);
                self.at += 1;
                Name { text, code, start }
            }
            None => {
                let (name, end) = name_slow(self.text, start)?;
                self.at = end;
                name
            }
        };
        self.expect(b':')?;
        self.skip_space();
        Ok(name)
    }

    /// Reads the value that begins here, at this nesting depth.
    #[inline(always)]
    pub(in crate::verify) fn value(&mut self, depth: u32) -> Result<Value<'t>, JsonError> {
        let start = self.at;
        let Some(b'"') = self.peek() else {
            self.skip_value(depth)?;
            let value = self.since(start)?;
            return Ok(match value.as_bytes().first() {
                Some(b'{') => Value::Object(value),
                Some(b'[') => Value::Array(value),
                Some(b'-' | b'0'..=b'9') => Value::Number(value),
                _ => Value::Literal(value),
            });
        };
        self.string().map(Value::Text)
    }

    /// Skips the value that begins here, at this nesting depth.
    #[inline(always)]
    pub(in crate::verify) fn skip_value(&mut self, depth: u32) -> Result<(), JsonError> {
        self.at = end_of_value(self.bytes, self.at, depth)?;
        Ok(())
    }

    /// Reads a string (RFC 8259 section 7).
    #[inline(always)]
    pub(in crate::verify) fn string(&mut self) -> Result<Text<'t>, JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        let escaped = self.skip_characters()?;
        let raw = self.text.get(start..self.at - 1);
        Ok(Text::new(raw.ok_or(JsonError::Malformed)?, escaped))
    }

    /// Skips the rest of a string, and returns whether it has escapes.
    #[inline(always)]
    fn skip_characters(&mut self) -> Result<bool, JsonError> {
        let end = end_of_plain(self.bytes, self.at);
        if let Some(b'"') = self.bytes.get(end) {
            self.at = end + 1;
            return Ok(false);
        }
        self.at = end_of_escaped(self.bytes, end)?;
        Ok(true)
    }

    /// Reads a whole number without a sign, of at most [`DIGITS_MAX`] digits. For another value returns `None`, and the
    /// position stays.
    #[inline(always)]
    pub(in crate::verify) fn whole_number(&mut self) -> Option<u64> {
        let rest = self.bytes.get(self.at..)?;
        let (mut number, mut digits) = match rest.first_chunk().and_then(eight_digits) {
            Some(number) => (number, 8),
            None => (0, 0),
        };
        while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
            if digits == DIGITS_MAX {
                return None;
            }
            number = 10 * number + u64::from(digit - b'0');
            digits += 1;
        }
        let leading_zero = digits > 1 && rest.first() == Some(&b'0');
        if digits == 0 || leading_zero || matches!(rest.get(digits), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += digits;
        Some(number)
    }
}

/// The end of the value that begins at `at`, at this nesting depth. Takes and returns plain values, so that the
/// caller's position stays in a register.
fn end_of_value(bytes: &[u8], at: usize, depth: u32) -> Result<usize, JsonError> {
    match bytes.get(at) {
        Some(b'{' | b'[') => end_of_nested(bytes, at, depth),
        Some(b'"') => end_of_string(bytes, at + 1),
        Some(b'-' | b'0'..=b'9') => end_of_number(bytes, at),
        _ => end_of_literal(bytes, at),
    }
}

/// The end of the object or array that begins at `at`.
///
/// The levels are a stack of bits, 1 for an object and 0 for an array: no recursion and no memory.
fn end_of_nested(bytes: &[u8], mut at: usize, outer: u32) -> Result<usize, JsonError> {
    let mut levels: u64 = 0;
    let mut depth = outer;
    loop {
        // A value begins here; in arrays of arrays several values.
        while bytes.get(at) == Some(&b'[') {
            if depth >= NESTING_MAX {
                return Err(JsonError::NestedTooDeep);
            }
            at += 1;
            depth += 1;
            levels <<= 1;
        }
        match bytes.get(at) {
            Some(b'"') => at = end_of_string(bytes, at + 1)?,
            Some(b'-' | b'0'..=b'9') => {
                at = match bytes.get(at + 1) {
                    // A single byte must be a digit: a minus is not a number.
                    Some(b',' | b']' | b'}') if bytes.get(at) != Some(&b'-') => at + 1,
                    _ => end_of_number(bytes, at)?,
                }
            }
            Some(b'{') => {
                if depth >= NESTING_MAX {
                    return Err(JsonError::NestedTooDeep);
                }
                depth += 1;
                levels = levels << 1 | 1;
                at = skip_space(bytes, at + 1);
                if bytes.get(at) != Some(&b'}') {
                    at = end_of_name(bytes, at)?;
                    continue;
                }
            }
            // The end of an empty array is handled below.
            Some(b']') if bytes.get(at - 1) == Some(&b'[') => {}
            Some(b' ' | b'\t' | b'\n' | b'\r') if bytes.get(at - 1) == Some(&b'[') => {
                at = skip_space(bytes, at);
                if bytes.get(at) != Some(&b']') {
                    continue;
                }
            }
            _ => at = end_of_literal(bytes, at)?,
        }
        // A value has ended, or an empty one is about to.
        loop {
            // Several arrays may end here.
            while levels & 1 == 0 && bytes.get(at) == Some(&b']') {
                at += 1;
                levels >>= 1;
                depth -= 1;
                if depth == outer {
                    return Ok(at);
                }
            }
            at = skip_space(bytes, at);
            match bytes.get(at) {
                Some(b',') => {
                    at = skip_space(bytes, at + 1);
                    if levels & 1 == 1 {
                        at = end_of_name(bytes, at)?;
                    }
                    break;
                }
                Some(b']') if levels & 1 == 0 => {}
                Some(b'}') if levels & 1 == 1 => {}
                _ => return Err(JsonError::Malformed),
            }
            at += 1;
            levels >>= 1;
            depth -= 1;
            if depth == outer {
                return Ok(at);
            }
        }
    }
}

#[inline(always)]
fn skip_space(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(..=b' ') => after_space(bytes, at),
        _ => at,
    }
}

/// The position after the name at `at`, its colon and space.
#[inline(always)]
fn end_of_name(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    if bytes.get(at) != Some(&b'"') {
        return Err(JsonError::Malformed);
    }
    let colon = skip_space(bytes, end_of_string(bytes, at + 1)?);
    match bytes.get(colon) {
        Some(b':') => Ok(skip_space(bytes, colon + 1)),
        _ => Err(JsonError::Malformed),
    }
}

/// The position after the quotation mark that ends the string whose first character is at `at`.
#[inline(always)]
fn end_of_string(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let end = end_of_plain(bytes, at);
    match bytes.get(end) {
        Some(b'"') => Ok(end + 1),
        _ => end_of_escaped(bytes, end),
    }
}

/// The name whose first character is at `start`, which is longer than 8 bytes or has escapes, and the position after
/// it. One pass finds the end, checks the name and computes its code.
#[inline(never)]
fn name_slow(text: &str, start: usize) -> Result<(Name<'_>, usize), JsonError> {
    let bytes = text.as_bytes();
    let mut builder = NameCodeBuilder::default();
    let (mut at, mut escaped) = (start, false);
    loop {
        let eight = bytes.get(at..).and_then(<[u8]>::first_chunk);
        let plain = match eight.map(|eight| u64::from_le_bytes(*eight)) {
            Some(eight) => {
                let marks = quotes(eight) | specials(eight);
                if marks == 0 {
                    builder.push(eight, 8);
                    at += 8;
                    continue;
                }
                let plain = marks.trailing_zeros() as usize / 8;
                if plain > 0 {
                    builder.push(eight & ((1 << (8 * plain)) - 1), plain);
                }
                plain
            }
            // Fewer than eight bytes are left.
            None => match bytes.get(at) {
                Some(byte @ (0x20 | 0x21 | 0x23..=0x5b | 0x5d..)) => {
                    builder.push(u64::from(*byte), 1);
                    1
                }
                _ => 0,
            },
        };
        at += plain;
        match bytes.get(at) {
            Some(b'"') => break,
            Some(b'\\') => {
                let (meant, length) = unescape(bytes, at).ok_or(JsonError::Malformed)?;
                builder.push_char(meant);
                escaped = true;
                at += length;
            }
            Some(0x20..) => {}
            _ => return Err(JsonError::Malformed),
        }
    }
    let raw = text.get(start..at).ok_or(JsonError::Malformed)?;
    let name = Name { text: Text::new(raw, escaped), code: builder.code(), start };
    Ok((name, at + 1))
}

#[cold]
fn after_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The position of the first quotation mark, escape or control character from `at` on, or the end of the text.
#[inline(always)]
fn end_of_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let eight = u64::from_le_bytes(*eight);
        // The quotation mark is searched first, so that its position is known early; then the bytes before it are
        // checked.
        let quote = quotes(eight);
        let unusual = specials(eight);
        if unusual & quote.wrapping_sub(1) & !quote != 0 {
            return at + unusual.trailing_zeros() as usize / 8;
        }
        if quote != 0 {
            return at + quote.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    match bytes.last_chunk() {
        Some(last) if !rest.is_empty() => {
            // The last eight bytes without those already read. Zeros follow; the first of them marks the end.
            let word = u64::from_le_bytes(*last) >> (8 * (8 - rest.len()));
            at + (specials(word) | quotes(word)).trailing_zeros() as usize / 8
        }
        _ => {
            let special = |byte: &u8| matches!(byte, ..0x20 | b'"' | b'\\');
            at + rest.iter().position(special).unwrap_or(rest.len())
        }
    }
}

/// The position after the quotation mark that ends a string. `at` is the first byte that is not plain.
#[cold]
fn end_of_escaped(bytes: &[u8], mut at: usize) -> Result<usize, JsonError> {
    loop {
        match bytes.get(at) {
            Some(b'\\') => {
                at += match bytes.get(at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                    _ => unescape(bytes, at).ok_or(JsonError::Malformed)?.1,
                }
            }
            Some(b'"') => return Ok(at + 1),
            Some(0x20..) => at = end_of_plain(bytes, at + 1),
            _ => return Err(JsonError::Malformed),
        }
    }
}

/// The position after the literal at `at`.
#[inline]
fn end_of_literal(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let four = bytes.get(at..).and_then(<[u8]>::first_chunk);
    match four.map(|four| u32::from_le_bytes(*four)) {
        Some(TRUE | NULL) => Ok(at + 4),
        Some(FALS) if bytes.get(at + 4) == Some(&b'e') => Ok(at + 5),
        _ => Err(JsonError::Malformed),
    }
}

const TRUE: u32 = u32::from_le_bytes(*b"true");
const NULL: u32 = u32::from_le_bytes(*b"null");
const FALS: u32 = u32::from_le_bytes(*b"fals");

/// The value of eight digits, combined pairwise: two, then four, then eight.
#[inline(always)]
fn eight_digits(bytes: &[u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(*bytes) ^ (ONES * b'0' as u64);
    // A digit is 0 to 9: its high four bits are zero, also after adding 6.
    if (digits | digits.wrapping_add(ONES * 6)) & (ONES * 0xf0) != 0 {
        return None;
    }
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}
