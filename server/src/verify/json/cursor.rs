//! One pass over a text, which checks everything that it passes over.

use super::text::unescape;
use super::{JsonError, NESTING_MAX, Text, Value};

/// From this many characters on a number without an exponent may exceed every `f64` (1.8e308).
const NUMBER_CHARS_FINITE: usize = 300;

/// A place in a text. It always stands between two characters: it stops at ASCII bytes alone.
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    /// The start of `text`.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(JsonError::Malformed)
        }
    }

    #[inline]
    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn since(&self, start: usize) -> Result<&'t str, JsonError> {
        self.text.get(start..self.at).ok_or(JsonError::Malformed)
    }

    /// A name and the colon after it; the place is that of its first character.
    pub(super) fn name(&mut self) -> Result<(usize, Text<'t>), JsonError> {
        let start = self.at + 1;
        let name = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok((start, name))
    }

    /// The value that begins here, `depth` levels down.
    pub(super) fn value(&mut self, depth: u32) -> Result<Value<'t>, JsonError> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'{') => {
                self.skip_nested(depth)?;
                self.since(start).map(Value::Object)
            }
            Some(b'[') => {
                self.skip_nested(depth)?;
                self.since(start).map(Value::Array)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            _ => self.literal().map(Value::Literal),
        }
    }

    /// Passes over an object or array and all that is in it.
    ///
    /// The levels are a stack of bits (1 for an object), so that depth costs neither recursion nor memory.
    fn skip_nested(&mut self, outer: u32) -> Result<(), JsonError> {
        let mut levels: u64 = 0;
        let mut depth = outer;
        loop {
            // A value begins here.
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth >= NESTING_MAX {
                        return Err(JsonError::NestedTooDeep);
                    }
                    self.at += 1;
                    depth += 1;
                    levels = levels << 1 | u64::from(open == b'{');
                    self.skip_space();
                    let closing = if open == b'{' { b'}' } else { b']' };
                    if self.peek() != Some(closing) {
                        if open == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                }
                _ => {
                    self.literal()?;
                }
            }
            // A value or the start of an empty one has ended.
            loop {
                self.skip_space();
                let in_object = levels & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.skip_space();
                        if in_object {
                            self.name()?;
                        }
                        break;
                    }
                    Some(b'}') if in_object => self.at += 1,
                    Some(b']') if !in_object => self.at += 1,
                    _ => return Err(JsonError::Malformed),
                }
                levels >>= 1;
                depth -= 1;
                if depth == outer {
                    return Ok(());
                }
            }
        }
    }

    /// A string (RFC 8259 section 7).
    fn string(&mut self) -> Result<Text<'t>, JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let raw = self.since(start)?;
                    self.at += 1;
                    return Ok(Text::new(raw, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    let rest = self.text.get(self.at..).ok_or(JsonError::Malformed)?;
                    let (_, bytes) = unescape(rest).ok_or(JsonError::Malformed)?;
                    self.at += bytes;
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(JsonError::Malformed),
            }
        }
    }

    /// A number (RFC 8259 section 6) that an `f64` can hold.
    fn number(&mut self) -> Result<&'t str, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        let exponent = self.take(b'e') || self.take(b'E');
        if exponent {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let number = self.since(start)?;
        if exponent || number.len() > NUMBER_CHARS_FINITE {
            let held = number.parse::<f64>().is_ok_and(f64::is_finite);
            return if held {
                Ok(number)
            } else {
                Err(JsonError::Malformed)
            };
        }
        Ok(number)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(JsonError::Malformed);
        }
        Ok(())
    }

    fn literal(&mut self) -> Result<&'t str, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for literal in ["true", "false", "null"] {
            if rest.starts_with(literal) {
                self.at += literal.len();
                return Ok(literal);
            }
        }
        Err(JsonError::Malformed)
    }
}
