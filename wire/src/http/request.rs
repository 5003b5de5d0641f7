//! What a client asks: the request head, its target and its cookies.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use memchr::memchr;

use crate::error::HeadError;
use crate::http::fields::{Fields, await_more, head_error, head_of, write_field, write_target, write_text};
use crate::limits::HEADERS_MAX;

/// The head of an HTTP/1.1 request, borrowed from the buffer it was received in.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'b> {
    /// As it was sent; methods are case-sensitive.
    pub method: &'b str,
    /// As it was sent: `/path?query`, or `http://host/path?query` through a proxy (RFC 9112 section 3.2).
    pub target: &'b str,
    /// How many bytes of the buffer the head took, the blank line included.
    pub bytes: usize,
    pub(super) fields: Fields<'b>,
}

impl<'b> RequestHead<'b> {
    /// Parses the head at the front of `buf`. `Ok(None)`: more bytes are needed.
    ///
    /// The result does not depend on how the input is cut: as long as the head is unfinished the answer is
    /// `Ok(None)`, or already the error that the whole of it has. Refused are, beside broken grammar, every version
    /// but HTTP/1.1 (RFC 6455 section 4.2.1), folded lines, more than [`HEADERS_MAX`] fields and more than
    /// [`HEAD_BYTES_MAX`](crate::http::HEAD_BYTES_MAX) bytes.
    pub fn parse(buf: &'b [u8]) -> Result<Option<Self>, HeadError> {
        // Clearing two kilobytes first would take a fifth of the parsing.
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(buf, &mut headers);
        let bytes = match parsed.map_err(head_error)? {
            httparse::Status::Complete(bytes) => bytes,
            httparse::Status::Partial => return await_more(buf),
        };
        if request.version != Some(1) {
            return Err(HeadError::Malformed("the version is not HTTP/1.1"));
        }
        Ok(Some(Self {
            method: request.method.unwrap_or_default(),
            target: request.path.unwrap_or_default(),
            bytes,
            fields: Fields::new(head_of(buf, bytes), request.headers)?,
        }))
    }

    /// The target's path: before the `?`, and after the authority where the target is a whole URL.
    pub fn path(&self) -> &'b str {
        self.split_target().0
    }

    /// The target's query: after the first `?`, or empty.
    pub fn query(&self) -> &'b str {
        self.split_target().1
    }

    /// The first value of this name in the query, as it was sent (see [`percent_decode`]). A name without `=` has
    /// an empty value. Names are compared as they were sent, too.
    pub fn query_value(&self, name: &str) -> Option<&'b str> {
        let [value] = self.query_values([name]);
        value
    }

    /// The first value of each of these names, likewise, in one walk through the query.
    pub fn query_values<const N: usize>(&self, names: [&str; N]) -> [Option<&'b str>; N] {
        let mut values = [None; N];
        let mut rest = self.query();
        loop {
            let (pair, others) = cut(rest, b'&').unwrap_or((rest, ""));
            for (value, name) in values.iter_mut().zip(names) {
                if value.is_none() {
                    *value = value_of(pair, name);
                }
            }
            if others.is_empty() || values.iter().all(Option::is_some) {
                return values;
            }
            rest = others;
        }
    }

    /// The first header field of this name, which is compared without regard to case; trimmed. A value that is not
    /// UTF-8 counts as absent.
    pub fn header(&self, name: &str) -> Option<&'b str> {
        self.fields.values(name).next()
    }

    /// The values of all header fields of this name, likewise.
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &'b str> {
        self.fields.values(name)
    }

    /// Every header field in the order sent, its value as it was sent, but trimmed.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'_, 'b> {
        self.fields.iter()
    }

    /// Whether it names its host once, as every request must (RFC 9112 section 3.2).
    pub fn has_one_host(&self) -> bool {
        self.fields.only_value("Host").is_some()
    }

    /// Whether the client keeps the connection (RFC 9112 section 9.3).
    pub fn keeps_alive(&self) -> bool {
        !self.fields.lists("Connection", "close")
    }

    /// The first cookie of this name (RFC 6265 section 4.2.1), without the double quotes it may stand in.
    pub fn cookie(&self, name: &str) -> Option<&'b str> {
        self.fields
            .values("Cookie")
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| unquoted(value))
    }

    fn split_target(&self) -> (&'b str, &'b str) {
        let (whole, query) = cut(self.target, b'?').unwrap_or((self.target, ""));
        if whole.starts_with('/') {
            return (whole, query);
        }
        // The absolute form; without a path behind the authority it means the root (RFC 9112 section 3.2.2).
        let path = match whole.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
            None => whole,
        };
        (path, query)
    }
}

/// Undoes percent-encoding (RFC 3986 section 2.1). `None`: a `%` without two hexadecimal digits, or a result that is
/// not UTF-8. `+` stays `+`: only forms write spaces so. Borrows when there is nothing to undo.
pub fn percent_decode(raw: &str) -> Option<Cow<'_, str>> {
    let Some(first) = memchr(b'%', raw.as_bytes()) else {
        return Some(Cow::Borrowed(raw));
    };
    let mut decoded = Vec::with_capacity(raw.len());
    decoded.extend_from_slice(&raw.as_bytes()[..first]);
    let mut rest = raw[first..].bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// The value of one member of a query, if that is its name.
fn value_of<'b>(pair: &'b str, name: &str) -> Option<&'b str> {
    match pair.strip_prefix(name)? {
        "" => Some(""),
        more => more.strip_prefix('='),
    }
}

/// What stands before the first `at`, which is ASCII, and behind it.
fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = memchr(at, text.as_bytes())?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value)
}

/// Appends the head of a request: its line, `Host`, `extra`, the empty line. A body is the caller's, and so is the field
/// that gives its length.
///
/// Bytes of `target` that no target may hold are percent-encoded; control bytes elsewhere become spaces, so that nothing
/// from outside can inject a line.
pub fn write_request(out: &mut Vec<u8>, method: &str, target: &str, host: &str, extra: &[(&str, &str)]) {
    write_text(out, method);
    out.push(b' ');
    write_target(out, target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(out, "Host", host);
    for (name, value) in extra {
        write_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_so_that_they_can_be_read() {
        let mut out = Vec::new();
        let extra = [("Content-Length", "2"), ("X", "a\r\nb")];
        write_request(&mut out, "POST", "/a b?c=d", "h:1", &extra);
        let text = "POST /a%20b?c=d HTTP/1.1\r\nHost: h:1\r\nContent-Length: 2\r\nX: a  b\r\n\r\n";
        assert_eq!(String::from_utf8(out.clone()).unwrap(), text);
        let head = RequestHead::parse(&out).unwrap().unwrap();
        assert_eq!((head.method, head.header("content-length")), ("POST", Some("2")));
    }

    fn parse(text: &str) -> Result<Option<RequestHead<'_>>, HeadError> {
        RequestHead::parse(text.as_bytes())
    }

    fn request(lines: &str) -> String {
        format!("{lines}\r\n\r\n")
    }

    #[test]
    fn complete_incomplete_and_malformed_heads_are_distinguished() {
        let many = |count| request(&("GET / HTTP/1.1".to_owned() + &"\r\na: b".repeat(count)));
        let long = |bytes| request(&format!("GET / HTTP/1.1\r\na: {}", "b".repeat(bytes)));
        let malformed = |what| Err(HeadError::Malformed(what));
        for (text, expected, why) in [
            (request("GET / HTTP/1.1"), Ok(true), "no field is needed to be a head"),
            (request("\r\nGET / HTTP/1.1"), Ok(true), "RFC 9112 section 2.2 skips an empty line"),
            ("GET / HTTP/1.1\r\na: b\r\n".into(), Ok(false), "the blank line is missing"),
            ("".into(), Ok(false), "nothing yet"),
            (many(HEADERS_MAX), Ok(true), "as many fields as allowed"),
            (many(HEADERS_MAX + 1), Err(HeadError::TooManyHeaders), "one field too many"),
            (long(65_510), Ok(true), "offsets still fit"),
            (long(65_520), malformed("it is longer than 65535 bytes"), "they do not"),
            ("a".repeat(65_535), malformed("it is longer than 65535 bytes"), "never ends"),
            (request("GET / HTTP/1.0"), malformed("the version is not HTTP/1.1"), "too old"),
            (request("GET / HTTP/2.0"), malformed("the version"), "another protocol"),
            (request("G@T / HTTP/1.1"), malformed("the method or the target"), "no token"),
            (request("GET / HTTP/1.1\r\na : b"), malformed("a header field's name"), "smuggling"),
            (request("GET / HTTP/1.1\r\na: b\r\n c"), malformed("a header field's name"), "fold"),
            (request("GET / HTTP/1.1\r\na: b\0"), malformed("a header field's value"), "NUL"),
        ] {
            assert_eq!(parse(&text).map(|head| head.is_some()), expected, "{why}");
        }
    }

    #[test]
    fn a_target_has_a_path_and_a_query() {
        for (target, path, query, why) in [
            ("/ws?token=x", "/ws", "token=x", "the origin form"),
            ("/ws", "/ws", "", "no query"),
            ("/a?b?c", "/a", "b?c", "the first question mark divides"),
            ("http://h:1/ws?a=b", "/ws", "a=b", "the absolute form"),
            ("http://h?a=b", "/", "a=b", "the absolute form of the root"),
            ("*", "*", "", "the asterisk form"),
            ("/ws?u=http://h/", "/ws", "u=http://h/", "a URL in the query is no absolute form"),
        ] {
            let text = request(&format!("GET {target} HTTP/1.1"));
            let head = parse(&text).unwrap().unwrap();
            assert_eq!((head.path(), head.query()), (path, query), "{why}");
        }
    }

    #[test]
    fn query_values_are_found() {
        for (query, found, why) in [
            ("token=a.b.c", Some("a.b.c"), "alone"),
            ("EIO=4&token=x&transport=websocket", Some("x"), "among others"),
            ("token=x&token=y", Some("x"), "the first wins"),
            ("token=x=y", Some("x=y"), "only the first = divides"),
            ("token=a%2Eb", Some("a%2Eb"), "undecoded"),
            ("token", Some(""), "named without a value"),
            ("xtoken=x", None, "a longer name"),
            ("Token=x", None, "case matters"),
            ("", None, "no query"),
        ] {
            let text = request(&format!("GET /?{query} HTTP/1.1"));
            let head = parse(&text).unwrap().unwrap();
            assert_eq!(head.query_value("token"), found, "{why}");
            let among_others = head.query_values(["a", "token", "token"]);
            assert_eq!(among_others, [None, found, found], "{why}");
        }
    }

    #[test]
    fn header_fields_are_found() {
        for (lines, found, why) in [
            ("origin: a", Some("a"), "alone"),
            ("ORIGIN:   a \t", Some("a"), "without regard to case, trimmed"),
            ("origin: a\r\norigin: b", Some("a"), "the first"),
            ("x-origin: a", None, "another name"),
            ("origin:", Some(""), "empty"),
        ] {
            let text = request(&format!("GET / HTTP/1.1\r\n{lines}"));
            assert_eq!(parse(&text).unwrap().unwrap().header("Origin"), found, "{why}");
        }
        let latin = b"GET / HTTP/1.1\r\nOrigin: \xe9\r\nA: b\r\n\r\n";
        let head = RequestHead::parse(latin).unwrap().unwrap();
        assert_eq!(head.header("origin"), None, "not UTF-8");
        assert_eq!(head.headers().collect::<Vec<_>>(), [("Origin", &b"\xe9"[..]), ("A", b"b")], "as they were sent");
    }

    #[test]
    fn connection_is_kept_unless_the_client_asks_to_close() {
        for (lines, keeps, why) in [
            ("Host: a", true, "HTTP/1.1 keeps"),
            ("Connection: keep-alive", true, "asked for"),
            ("connection: Close", false, "case does not matter"),
            ("Connection: x, close", false, "a list"),
            ("Connection: x\r\nConnection: close", false, "over two fields"),
            ("Connection: closed", true, "another option"),
        ] {
            let text = request(&format!("GET / HTTP/1.1\r\n{lines}"));
            assert_eq!(parse(&text).unwrap().unwrap().keeps_alive(), keeps, "{why}");
        }
    }

    #[test]
    fn cookies_are_found() {
        for (lines, found, why) in [
            ("Cookie: sid=x", Some("x"), "alone"),
            ("Cookie: a=b; sid=x; c=d", Some("x"), "among others"),
            ("Cookie: a=b\r\nCookie: sid=x", Some("x"), "in a second field"),
            ("Cookie: sid=x; sid=y", Some("x"), "the first"),
            ("Cookie: sid=x=y==", Some("x=y=="), "a value may hold ="),
            ("Cookie: sid=\"x\"", Some("x"), "quoted"),
            ("Cookie: xsid=x", None, "a longer name"),
            ("Cookie: sid", None, "no value"),
            ("Set-Cookie: sid=x", None, "another field"),
        ] {
            let text = request(&format!("GET / HTTP/1.1\r\n{lines}"));
            assert_eq!(parse(&text).unwrap().unwrap().cookie("sid"), found, "{why}");
        }
    }

    #[test]
    fn percent_encoding_is_undone() {
        for (raw, decoded, why) in [
            ("a.b-c_d", Some("a.b-c_d"), "nothing to undo"),
            ("%2Fadmin%2f", Some("/admin/"), "both cases"),
            ("a+b", Some("a+b"), "a plus is a plus"),
            ("%e2%82%ac", Some("€"), "several bytes of one character"),
            ("%", None, "cut short"),
            ("%4", None, "cut short"),
            ("%+4", None, "no digit"),
            ("%ff", None, "not UTF-8"),
        ] {
            assert_eq!(percent_decode(raw).as_deref(), decoded, "{why}");
        }
    }
}
