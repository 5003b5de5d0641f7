//! The body behind a response's head (RFC 9112 section 6), read once it is whole.

use std::borrow::Cow;

use crate::error::HeadError;
use crate::http::response::ResponseHead;

/// A body that is all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body<'b> {
    /// How many bytes it took behind the head, its framing included.
    pub bytes: usize,
    /// What it holds; copied only where it came in several chunks.
    pub content: Cow<'b, [u8]>,
}

impl ResponseHead<'_> {
    /// The body of this response in `rest`, what was received behind the head. `Ok(None)`: more bytes are needed.
    ///
    /// A body that only the end of the connection ends is an error: nothing could follow it, and who asked would wait
    /// for a connection that is kept alive.
    pub fn body<'b>(&self, rest: &'b [u8]) -> Result<Option<Body<'b>>, HeadError> {
        if matches!(self.status, 100..=199 | 204 | 304) {
            return Ok(Some(plain(rest, 0)));
        }
        if let Some(coding) = self.header("transfer-encoding") {
            return match coding.eq_ignore_ascii_case("chunked") {
                true => chunked(rest),
                false => Err(HeadError::Malformed("the transfer coding")),
            };
        }
        let mut lengths = self.fields.values("Content-Length");
        let Some(length) = lengths.next() else {
            return Err(HeadError::Malformed("a body without a length"));
        };
        let digits = length.bytes().all(|byte| byte.is_ascii_digit());
        match length.parse::<usize>() {
            Ok(bytes) if digits && lengths.all(|other| other == length) => {
                Ok((rest.len() >= bytes).then(|| plain(rest, bytes)))
            }
            _ => Err(HeadError::Malformed("the length of the body")),
        }
    }

    /// Whether the connection can be used again after this response (RFC 9112 section 9.3).
    pub fn keeps_alive(&self) -> bool {
        self.minor_version >= 1 && !self.fields.lists("Connection", "close")
    }
}

fn plain(rest: &[u8], bytes: usize) -> Body<'_> {
    Body { bytes, content: Cow::Borrowed(&rest[..bytes]) }
}

/// Chunks, a last one of no bytes, trailers, an empty line (RFC 9112 section 7.1).
fn chunked(rest: &[u8]) -> Result<Option<Body<'_>>, HeadError> {
    const BAD_CHUNK: HeadError = HeadError::Malformed("a chunk of the body");
    let mut content: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut at = 0;
    loop {
        let (head_bytes, bytes) = match httparse::parse_chunk_size(&rest[at..]) {
            Ok(httparse::Status::Complete(chunk)) => chunk,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(BAD_CHUNK),
        };
        at += head_bytes;
        if bytes == 0 {
            return Ok(trailers(&rest[at..]).map(|trailers_bytes| Body { bytes: at + trailers_bytes, content }));
        }
        let bytes = usize::try_from(bytes).map_err(|_| BAD_CHUNK)?;
        let end = at.checked_add(bytes).ok_or(BAD_CHUNK)?;
        let Some(chunk) = rest.get(at..end) else {
            return Ok(None);
        };
        match rest.get(end..end + 2) {
            None => return Ok(None),
            Some(b"\r\n") => at = end + 2,
            Some(_) => return Err(BAD_CHUNK),
        }
        if content.is_empty() {
            content = Cow::Borrowed(chunk);
        } else {
            content.to_mut().extend_from_slice(chunk);
        }
    }
}

/// How many bytes the trailers take, the empty line included, which are passed over.
fn trailers(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = rest[at..].windows(2).position(|pair| pair == b"\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body's content and whether the connection stays, however the response is cut.
    fn read(response: &str) -> Result<Option<(String, bool)>, HeadError> {
        let bytes = format!("{response}NEXT");
        let head = ResponseHead::parse(bytes.as_bytes())?.unwrap();
        let whole = &bytes.as_bytes()[head.bytes..];
        let body = head.body(whole)?;
        if let Some(body) = &body {
            for cut in 0..body.bytes {
                assert_eq!(head.body(&whole[..cut]), Ok(None), "{response:?} cut at {cut}");
            }
            assert_eq!(head.bytes + body.bytes, response.len(), "{response:?}");
        }
        Ok(body.map(|body| {
            let text = String::from_utf8(body.content.into_owned()).unwrap();
            (text, head.keeps_alive())
        }))
    }

    #[test]
    fn bodies_are_read_by_their_framing() {
        for (response, content, keeps_alive, why) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true, "a length"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
                "ok",
                true,
                "the same length twice",
            ),
            (
                "HTTP/1.1 400 No\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n",
                "abcde",
                true,
                "chunks",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n",
                "",
                true,
                "no chunks, but a trailer",
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", "", true, "none can be"),
            (
                "HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 0\r\n\r\n",
                "",
                false,
                "the server closes",
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "", false, "an old proxy closes"),
        ] {
            assert_eq!(read(response), Ok(Some((content.to_owned(), keeps_alive))), "{why}");
        }
    }

    #[test]
    fn framing_that_breaks_the_rules_is_refused() {
        for (fields, body, why) in [
            ("", "", "nothing gives its end"),
            ("Content-Length: +5\r\n", "hello", "no number"),
            ("Content-Length: 99999999999999999999\r\n", "", "beyond all numbers"),
            ("Content-Length: 1\r\nContent-Length: 2\r\n", "ab", "two lengths"),
            ("Transfer-Encoding: gzip\r\n", "", "a coding that was not asked for"),
            ("Transfer-Encoding: chunked\r\n", "x\r\n", "no size"),
            ("Transfer-Encoding: chunked\r\n", "1\r\nabc\r\n", "a chunk that is longer than its length"),
            ("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\nabc", "a size beyond memory"),
        ] {
            let response = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
            assert!(read(&response).is_err(), "{why}");
        }
    }
}
