//! The body of a POST: how long it is, and when it is there.

use std::borrow::Cow;

use wire::http::{ChunkError, Chunked, RequestHead};

use crate::session::polling::Key;

/// The length of a body, as the head before it states it (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// The head states none.
    Unstated,
    /// This many bytes.
    Bytes(u64),
    /// It comes in chunks.
    Chunks,
}

/// Why a head's statement of the length is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LengthError {
    /// Two lengths, or one that is no number: an attempt to smuggle a request past a proxy.
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

/// A POST whose body is not complete: its session, and what is known of its body.
#[derive(Debug)]
pub struct Posting {
    key: Key,
    head_bytes: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// This many bytes.
    Known(usize),
    Chunked(Chunked),
}

impl Posting {
    /// A POST of the session `key`, its body of `length` behind `head_bytes`, refused above `body_bytes_max` where it
    /// comes in chunks.
    pub(super) fn new(key: Key, head_bytes: usize, length: Length, body_bytes_max: u32) -> Self {
        let body = match length {
            Length::Unstated => Body::Known(0),
            // Below the limit, which is a u32.
            Length::Bytes(bytes) => Body::Known(bytes as usize),
            Length::Chunks => Body::Chunked(Chunked::new(body_bytes_max as usize)),
        };
        Self { key, head_bytes, body }
    }

    /// Its session.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Is more of it to come? `input` is the request, as far as it is here: longer than the last time.
    pub fn is_coming(&mut self, input: &[u8]) -> bool {
        self.end(input) == Ok(None)
    }

    /// The body, and the bytes of head and body together; `Ok(None)` while more of it is to come.
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

    /// Where the body ends, within the input.
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
            ("Content-Length: ", Err(LengthError::Bad), "an empty one"),
            ("Content-Length: 99999999999999999999", Err(LengthError::Bad), "too many digits"),
            ("Content-Length: 1, 1", Err(LengthError::Bad), "a list"),
            ("Content-Length: 1\r\nContent-Length: 1", Err(LengthError::Bad), "two"),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked", Err(LengthError::Bad), "both"),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Err(LengthError::Bad), "chunks of chunks"),
            ("Content-Length: 3~", Err(LengthError::Bad), "no UTF-8"),
            ("Transfer-Encoding: chunked~", Err(LengthError::UnknownCoding), "no UTF-8 either"),
            ("Transfer-Encoding: gzip, chunked", Err(LengthError::UnknownCoding), "another coding"),
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n");
            let head = head.replace("\r\n\r\n\r\n", "\r\n\r\n");
            // A byte beyond ASCII that is no UTF-8.
            let head: Vec<u8> = head.bytes().map(|byte| if byte == b'~' { 0x80 } else { byte }).collect();
            let head = RequestHead::parse(&head).unwrap().unwrap();
            assert_eq!(length(&head), expected, "{why}");
        }
    }
}
