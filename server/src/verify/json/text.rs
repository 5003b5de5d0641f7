//! JSON strings and the decoding of their escapes (RFC 8259 section 7).

/// The content of a string, which was checked and may still have escapes.
#[derive(Clone, Copy, Debug)]
pub(in crate::verify) struct Text<'t> {
    /// The string with its escapes.
    pub raw: &'t str,
    pub is_escaped: bool,
}

impl<'t> Text<'t> {
    /// A string from the text between its quotation marks, which the cursor has checked.
    #[inline]
    pub(super) fn new(raw: &'t str, is_escaped: bool) -> Self {
        Self { raw, is_escaped }
    }

    /// A string without escapes.
    #[inline]
    pub(super) fn plain(text: &'t str) -> Self {
        Self::new(text, false)
    }

    /// Whether the decoded string equals `wanted`.
    #[inline]
    pub(in crate::verify) fn is(&self, wanted: &str) -> bool {
        if self.is_escaped { self.chars().eq(wanted.chars()) } else { self.raw == wanted }
    }

    /// Whether the decoded string equals `wanted`, ignoring ASCII case.
    pub(in crate::verify) fn is_ignoring_case(&self, wanted: &str) -> bool {
        let fold = |c: char| c.to_ascii_lowercase();
        self.chars().map(fold).eq(wanted.chars().map(fold))
    }

    /// The string itself if it has no escapes, else a decoded copy in `buffer`.
    pub(in crate::verify) fn resolve<'b>(&self, buffer: &'b mut String) -> &'b str
    where
        't: 'b,
    {
        if !self.is_escaped {
            return self.raw;
        }
        buffer.clear();
        buffer.extend(self.chars());
        buffer
    }

    /// Whether the decoded strings are equal.
    pub(super) fn same(&self, other: &Text<'_>) -> bool {
        match (self.is_escaped, other.is_escaped) {
            (false, false) => self.raw == other.raw,
            _ => self.chars().eq(other.chars()),
        }
    }

    /// The decoded characters.
    pub(super) fn chars(&self) -> Unescaped<'t> {
        Unescaped { rest: self.raw }
    }
}

/// Iterates over the decoded characters of a valid string.
pub(super) struct Unescaped<'t> {
    rest: &'t str,
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        let (character, bytes) = match first {
            '\\' => unescape(self.rest.as_bytes(), 0)?,
            plain => (plain, plain.len_utf8()),
        };
        self.rest = self.rest.get(bytes..)?;
        Some(character)
    }
}

/// The character of the escape at `at`, and the length of the escape in bytes; `None` for an invalid escape.
#[inline]
pub(super) fn unescape(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let plain = match bytes.get(at + 1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = hex4(bytes, at + 2)?;
            if let Some(character) = char::from_u32(first) {
                return Some((character, 6));
            }
            if !(0xd800..0xdc00).contains(&first) || bytes.get(at + 6..at + 8)? != b"\\u" {
                return None;
            }
            let second = hex4(bytes, at + 8)?.checked_sub(0xdc00)?;
            if second >= 0x400 {
                return None;
            }
            let character = char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)?;
            return Some((character, 12));
        }
        _ => return None,
    };
    Some((plain, 2))
}

#[inline]
fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits: &[u8; 4] = bytes.get(at..)?.first_chunk()?;
    let [a, b, c, d] = digits.map(|digit| u32::from(HEX[usize::from(digit)]));
    let number = a << 12 | b << 8 | c << 4 | d;
    // The table has 255 for a byte that is not a digit.
    ((a | b | c | d) < 16).then_some(number)
}

/// The value of each byte as a hexadecimal digit; 255 for other bytes.
const HEX: [u8; 256] = {
    let mut table = [255; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        table[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    table
};
