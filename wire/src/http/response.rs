//! What a server answers: parsing a response head, writing a whole response.

use std::mem::MaybeUninit;

use crate::decimal::write_decimal;
use crate::error::HeadError;
use crate::http::fields::{Fields, await_more, head_error, head_of, write_field, write_text};
use crate::limits::HEADERS_MAX;

/// The head of an HTTP/1.1 response, borrowed from the buffer it was received in.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'b> {
    /// The status code, three digits.
    pub status: u16,
    /// The reason phrase, possibly empty.
    pub reason: &'b str,
    /// How many bytes of the buffer the head took, the blank line included. A body may follow.
    pub bytes: usize,
    /// 0 or 1, behind `HTTP/1.`.
    pub(super) minor_version: u8,
    pub(super) fields: Fields<'b>,
}

impl<'b> ResponseHead<'b> {
    /// Parses the head at the front of `buf`. `Ok(None)`: more bytes are needed.
    ///
    /// As with [`RequestHead::parse`](crate::http::RequestHead::parse), the result does not depend on how the input is
    /// cut. HTTP/1.0 is read as well, since a proxy's refusal may come so, but not its 101: it knows no upgrade.
    pub fn parse(buf: &'b [u8]) -> Result<Option<Self>, HeadError> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, buf, &mut headers);
        let bytes = match parsed.map_err(head_error)? {
            httparse::Status::Complete(bytes) => bytes,
            httparse::Status::Partial => return await_more(buf),
        };
        if response.version != Some(1) && response.code == Some(101) {
            return Err(HeadError::Malformed("the version is not HTTP/1.1"));
        }
        Ok(Some(Self {
            status: response.code.unwrap_or_default(),
            reason: response.reason.unwrap_or_default(),
            bytes,
            minor_version: response.version.unwrap_or_default(),
            fields: Fields::new(head_of(buf, bytes), response.headers)?,
        }))
    }

    /// The first header field of this name, which is compared without regard to case; trimmed. A value that is not
    /// UTF-8 counts as absent.
    pub fn header(&self, name: &str) -> Option<&'b str> {
        self.fields.values(name).next()
    }
}

/// Appends a whole response: status line, `headers`, `Content-Length`, `Connection`, blank line, `body`.
///
/// The caller leaves out `Content-Length` and `Connection`. A 1xx or 204 has neither a length nor a body (RFC 9110
/// section 8.6). Control bytes in `reason` or a header become spaces, so that nothing from outside can inject a line.
pub fn write_response(
    out: &mut Vec<u8>,
    status: u16,
    reason: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    keep_alive: bool,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, status.into());
    out.push(b' ');
    write_text(out, reason);
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        write_field(out, name, value);
    }
    let has_body = status >= 200 && status != 204;
    if has_body {
        out.extend_from_slice(b"Content-Length: ");
        write_decimal(out, body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(if keep_alive { b"Connection: keep-alive\r\n\r\n" } else { b"Connection: close\r\n\r\n" });
    if has_body {
        out.extend_from_slice(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_written_whole() {
        for (status, reason, headers, body, keep_alive, text, why) in [
            (
                200,
                "OK",
                &[("Content-Type", "text/plain")][..],
                "ok",
                true,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\
                 Connection: keep-alive\r\n\r\nok",
                "body and length agree",
            ),
            (
                401,
                "Unauthorized",
                &[],
                "",
                false,
                "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                "an empty body has a length",
            ),
            (
                204,
                "No Content",
                &[],
                "x",
                true,
                "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n",
                "204 has neither length nor body",
            ),
            (
                400,
                "no\r\n",
                &[("A", "b\r\n\r\nc")],
                "",
                false,
                "HTTP/1.1 400 no  \r\nA: b    c\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                "nothing can be injected",
            ),
        ] {
            let mut out = b"before ".to_vec();
            write_response(&mut out, status, reason, headers, body.as_bytes(), keep_alive);
            assert_eq!(String::from_utf8(out).unwrap(), format!("before {text}"), "{why}");
        }
    }

    #[test]
    fn responses_are_read() {
        for (text, expected, why) in [
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Ok(Some(101)), "whole"),
            ("HTTP/1.1 401\r\n\r\n", Ok(Some(401)), "no reason phrase"),
            ("HTTP/1.0 502 Bad Gateway\r\n\r\n", Ok(Some(502)), "an old proxy"),
            ("HTTP/1.1 101 Switching", Ok(None), "cut"),
            (
                "HTTP/1.0 101 Switching Protocols\r\n\r\n",
                Err(HeadError::Malformed("the version is not HTTP/1.1")),
                "RFC 9110 section 7.8",
            ),
            ("SSH-2.0-OpenSSH_9.6\r\n", Err(HeadError::Malformed("the version")), "another protocol"),
            ("HTTP/1.1 1x1 ?\r\n\r\n", Err(HeadError::Malformed("the status")), "no status"),
        ] {
            let parsed = ResponseHead::parse(text.as_bytes());
            assert_eq!(parsed.map(|head| head.map(|head| head.status)), expected, "{why}");
        }
    }
}
