//! The body of a POST: its length, and whether it is complete.

use std::borrow::Cow;

use wire::http::{ChunkError, Chunked, RequestHead};

use crate::session::polling::Key;

/// The length of a body, as the request's head states it (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Unstated,
    Bytes(u64),
    Chunks,
}

/// Why the stated length of a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LengthError {
    /// Two lengths, or a length that is no number: an attempt to smuggle a request past a proxy.
    Bad,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
}

/// Reads the length of a body from its head.
pub(super) fn length(head: &RequestHead<'_>) -> Result<Length, LengthError> {
    let mut length = Length::Unstated;
    for (name, value) in head.headers() {
        let stated = if name.eq_ignore_ascii_case("content-length") {
            Length::Bytes(decimal(value).ok_or(LengthError::Bad)?)
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(LengthError::UnknownCoding);
            }
            Length::Chunks
        } else {
            continue;
        };
        if length != Length::Unstated {
            return Err(LengthError::Bad);
        }
        length = stated;
    }
    Ok(length)
}

/// A number written in digits alone.
fn decimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A POST whose body is not complete.
#[derive(Debug)]
pub struct Posting {
    /// The session that the POST belongs to.
    pub key: Key,
    head_bytes: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// A body of this many bytes.
    Known(usize),
    Chunked(Chunked),
}

impl Posting {
    /// A POST to the session `key`: a head of `head_bytes`, then a body of `length`. A chunked body may have at most
    /// `body_bytes_max`.
    pub(super) fn new(key: Key, head_bytes: usize, length: Length, body_bytes_max: u32) -> Self {
        let body = match length {
            Length::Unstated => Body::Known(0),
            // Below the limit, which is a u32.
            Length::Bytes(bytes) => Body::Known(bytes as usize),
            Length::Chunks => Body::Chunked(Chunked::new(body_bytes_max as usize)),
        };
        Self { key, head_bytes, body }
    }

    /// Whether the body is not complete and without error so far. `input` is the request as far as it was received; it
    /// must be at least as long as in the last call.
    pub fn is_incomplete(&mut self, input: &[u8]) -> bool {
        self.end(input) == Ok(None)
    }

    /// The body, and the length of head and body together; `Ok(None)` while the body is incomplete.
    #[expect(clippy::type_complexity, reason = "a pair that is taken apart at once")]
    pub(super) fn body<'i>(&mut self, input: &'i [u8]) -> Result<Option<(Cow<'i, [u8]>, usize)>, ChunkError> {
        let Some(end) = self.end(input)? else {
            return Ok(None);
        };
        let sent = &input[self.head_bytes..end];
        let body = match self.body {
            Body::Known(_) => Cow::Borrowed(sent),
            Body::Chunked(_) => Cow::Owned(Chunked::decode(sent)),
        };
        Ok(Some((body, end)))
    }

    /// The offset in `input` at which the body ends.
    fn end(&mut self, input: &[u8]) -> Result<Option<usize>, ChunkError> {
        let sent = input.get(self.head_bytes..).unwrap_or_default();
        let body_bytes = match &mut self.body {
            Body::Known(bytes) => (sent.len() >= *bytes).then_some(*bytes),
            Body::Chunked(chunked) => chunked.end(sent)?,
        };
        Ok(body_bytes.map(|bytes| self.head_bytes + bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_lengths_are_read_from_heads() {
        for (headers, expected, why) in [
            ("", Ok(Length::Unstated), "none"),
            ("Content-Length: 12", Ok(Length::Bytes(12)), "a number"),
            ("Transfer-Encoding: Chunked", Ok(Length::Chunks), "chunks"),
            ("Content-Length: +1", Err(LengthError::Bad), "a sign"),
            ("Content-Length: ", Err(LengthError::Bad), "an empty number"),
            ("Content-Length: 99999999999999999999", Err(LengthError::Bad), "too many digits"),
            ("Content-Length: 1, 1", Err(LengthError::Bad), "a list"),
            ("Content-Length: 1\r\nContent-Length: 1", Err(LengthError::Bad), "two lengths"),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked", Err(LengthError::Bad), "a length and chunks"),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Err(LengthError::Bad), "two codings"),
            ("Content-Length: 3~", Err(LengthError::Bad), "no UTF-8"),
            ("Transfer-Encoding: chunked~", Err(LengthError::UnknownCoding), "no UTF-8"),
            ("Transfer-Encoding: gzip, chunked", Err(LengthError::UnknownCoding), "another coding"),
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n");
            let head = head.replace("\r\n\r\n\r\n", "\r\n\r\n");
            // 0x80 alone is no UTF-8.
            let head: Vec<u8> = head.bytes().map(|byte| if byte == b'~' { 0x80 } else { byte }).collect();
            let head = RequestHead::parse(&head).unwrap().unwrap();
            assert_eq!(length(&head), expected, "{why}");
        }
    }
}
