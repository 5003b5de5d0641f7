//! Header fields of a parsed head, kept as offsets, and the one way to write a field.

use crate::error::HeadError;
use crate::limits::HEADERS_MAX;

/// The most bytes of one head, since offsets into it are kept in 16 bits. Callers ask for less (a server answers
/// 431 long before).
pub const HEAD_BYTES_MAX: usize = u16::MAX as usize;

/// The header fields of one head, in the order they were sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'b> {
    /// The whole head, which every offset points into.
    head: &'b [u8],
    /// Only the first `count` are meant.
    spans: [FieldSpan; HEADERS_MAX],
    count: u8,
}

/// Where one field stands in the head, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct FieldSpan {
    name_start: u16,
    name_bytes: u16,
    value_start: u16,
    value_bytes: u16,
}

impl<'b> Fields<'b> {
    /// Takes the fields that httparse found in `head`, which is the head alone without what follows it. It trimmed
    /// their values already.
    pub(super) fn new(head: &'b [u8], parsed: &[httparse::Header<'b>]) -> Result<Self, HeadError> {
        if head.len() > HEAD_BYTES_MAX {
            return Err(TOO_LONG);
        }
        let mut fields = Self { head, spans: [FieldSpan::default(); HEADERS_MAX], count: 0 };
        for (span, field) in fields.spans.iter_mut().zip(parsed) {
            // Both slices lie within `head`, whose length fits in 16 bits; were that ever false, the offsets would
            // miss and the field would read as absent.
            *span = FieldSpan {
                name_start: offset(head, field.name.as_bytes()),
                name_bytes: field.name.len() as u16,
                value_start: offset(head, field.value),
                value_bytes: field.value.len() as u16,
            };
            fields.count += 1;
        }
        Ok(fields)
    }

    /// Every field, its value as it was sent.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'_, 'b> {
        self.spans[..usize::from(self.count)].iter().filter_map(|span| {
            let name = self.bytes(span.name_start, span.name_bytes)?;
            Some((std::str::from_utf8(name).ok()?, self.bytes(span.value_start, span.value_bytes)?))
        })
    }

    /// Every value that is UTF-8 of the fields with this name, which is compared without regard to case.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'b str> {
        self.raw_values(name).filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of the fields with this name, likewise, as it was sent.
    fn raw_values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.spans[..usize::from(self.count)]
            .iter()
            .filter(move |span| {
                usize::from(span.name_bytes) == name.len()
                    && self.bytes(span.name_start, span.name_bytes).is_some_and(|sent| is_same(sent, name))
            })
            .filter_map(|span| self.bytes(span.value_start, span.value_bytes))
    }

    /// The value of the only field with this name; none when it is missing or repeated.
    pub(super) fn only_value(&self, name: &str) -> Option<&'b str> {
        let mut values = self.values(name);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// Whether a comma-separated list, possibly spread over several fields, names `token` (RFC 9110 section 5.6.1;
    /// case does not matter, as RFC 6455 section 4.2.1 wants for `Connection` and `Upgrade`).
    pub(super) fn lists(&self, name: &str, token: &str) -> bool {
        // Nearly always it is the whole list.
        self.raw_values(name).any(|list| {
            is_same(list, token)
                || std::str::from_utf8(list)
                    .is_ok_and(|list| list_items(list).any(|item| is_same(item.as_bytes(), token)))
        })
    }

    fn bytes(&self, start: u16, bytes: u16) -> Option<&'b [u8]> {
        let start = usize::from(start);
        self.head.get(start..start + usize::from(bytes))
    }
}

/// Whether this was sent, without regard to case. Nearly always it was sent in the case in which it is usually written.
fn is_same(sent: &[u8], name: &str) -> bool {
    sent == name.as_bytes() || sent.eq_ignore_ascii_case(name.as_bytes())
}

/// The first `bytes` of `buf`: what a head took.
pub(super) fn head_of(buf: &[u8], bytes: usize) -> &[u8] {
    buf.get(..bytes).unwrap_or(buf)
}

/// An unfinished head can still be awaited only while it may become a short enough one.
pub(super) fn await_more<T>(buf: &[u8]) -> Result<Option<T>, HeadError> {
    if buf.len() >= HEAD_BYTES_MAX { Err(TOO_LONG) } else { Ok(None) }
}

/// The error of httparse, as one of ours.
pub(super) fn head_error(found: httparse::Error) -> HeadError {
    HeadError::Malformed(match found {
        httparse::Error::TooManyHeaders => return HeadError::TooManyHeaders,
        httparse::Error::HeaderName => "a header field's name",
        httparse::Error::HeaderValue => "a header field's value",
        httparse::Error::NewLine => "the end of a line",
        httparse::Error::Status => "the status",
        httparse::Error::Token => "the method or the target",
        httparse::Error::Version => "the version",
    })
}

/// The items of one comma-separated list, without the empty ones (RFC 9110 section 5.6.1).
pub(super) fn list_items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Appends `name: value` and the end of the line. Control bytes, which could end the line and inject another, are
/// written as spaces, and a space in a name as `-`.
pub(super) fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend(name.bytes().map(|byte| match byte {
        0..=b' ' | b':' | 0x7f => b'-',
        _ => byte,
    }));
    out.extend_from_slice(b": ");
    write_text(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Appends text that cannot leave its line: control bytes become spaces, a tab stays.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().map(|byte| match byte {
        b'\t' => byte,
        0..=0x1f | 0x7f => b' ',
        _ => byte,
    }));
}

const TOO_LONG: HeadError = HeadError::Malformed("it is longer than 65535 bytes");

/// Where `part` starts in `whole`, by address; a part from elsewhere gets an offset that never fits.
fn offset(whole: &[u8], part: &[u8]) -> u16 {
    let distance = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    u16::try_from(distance).unwrap_or(u16::MAX)
}

pub(super) fn write_target(out: &mut Vec<u8>, target: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in target.bytes() {
        match byte {
            b'!'..=b'~' => out.push(byte),
            _ => out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_field_is_one_line() {
        for (name, value, line, why) in [
            ("Server", "gate", "Server: gate\r\n", "as it is"),
            (
                "Location",
                "/a\r\nSet-Cookie: x=y",
                "Location: /a  Set-Cookie: x=y\r\n",
                "CR and LF would start another field",
            ),
            ("X", "a\0b\tc", "X: a b\tc\r\n", "NUL is no part of a value, a tab is"),
            ("X-A:\r\nB", "c", "X-A---B: c\r\n", "a name cannot end early"),
        ] {
            let mut out = Vec::new();
            write_field(&mut out, name, value);
            assert_eq!(String::from_utf8(out).unwrap(), line, "{why}");
        }
    }

    #[test]
    fn a_list_has_its_items_alone() {
        for (list, items, why) in
            [("a, b", &["a", "b"][..], "trimmed"), (" , a,,", &["a"], "empty items do not count"), ("", &[], "nothing")]
        {
            assert_eq!(list_items(list).collect::<Vec<_>>(), items, "{why}");
        }
    }
}
