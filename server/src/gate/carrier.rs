//! Where a request carries its token, and how an invalid one is answered.
//!
//! | carrier | what the client sends | raw WebSocket | Socket.IO 5 (EIO 4) | Socket.IO 4 (EIO 3) |
//! |---|---|---|---|---|
//! | query | `?token=<jwt>` | yes | yes | yes |
//! | header | `Authorization: Bearer <jwt>` | yes | yes | yes |
//! | subprotocol | `Sec-WebSocket-Protocol: gatecrash, bearer.<jwt>`; `gatecrash` is selected | yes | yes | yes |
//! | cookie | `Cookie: token=<jwt>`, with an `Origin` on the list | yes | yes | yes |
//! | auth | the connect packet's payload, `40{"token":"<jwt>"}` | - | yes | - |
//!
//! The first carrier that is present decides, in this order. A valid token in a later carrier does not count.
//!
//! | invalid token | reason | raw WebSocket, each carrier | Socket.IO 5, in the upgrade | Socket.IO 5, auth | Socket.IO 4, each carrier |
//! |---|---|---|---|---|---|
//! | expired | `expired` | 401, reason | `44`, reason | `44`, reason | `44` |
//! | forged (other claims under a valid signature) | `signature_invalid` | 401, reason | `44`, reason | `44`, reason | `44` |
//! | `alg` none | `none_algorithm` | 401, reason | `44`, reason | `44`, reason | `44` |
//! | wrong key | `signature_invalid` | 401, reason | `44`, reason | `44`, reason | `44` |
//! | garbage | `malformed` | 401, reason | `44`, reason | `44`, reason | `44` |
//! | too long | `too_long` | 431 | 431 | `44`, reason | 431 |
//! | no token, or a cookie from a page of another origin | `missing` | 401, no `error=` | - | `44`, reason | `44` |
//!
//! - *401, reason* is `WWW-Authenticate: Bearer realm="gatekeeper", error="invalid_token",
//!   error_description="<reason>"` (RFC 6750 section 3), with the reason as the body. Without a token there is no
//!   `error=` (section 3.1).
//! - *`44`, reason* is the connect error `{"message":"not valid token","data":{"reason":"<reason>"}}`.
//! - *`44`* is the connect error `"not valid token"`: the older protocol has no room for the reason.
//! - *431* is the answer to the upgrade, with `too_long` as the body. A client of Socket.IO reports it as a failed
//!   transport.
//!
//! With `--auth session` the client sends a session's id in place of a token: `?session=<id>`, or the frontend's cookie
//! with an `Origin` on the list. A session that the frontend does not know is refused like an invalid token, with the
//! reason `unknown_session`.
//!
//! Every cell is tested with an independent client and with the common ones: npm's socket.io-client 4 and 2, npm's ws and
//! Python's websockets. The other reasons, and the rule behind each, are in [`verify`](crate::verify).

use std::borrow::Cow;

use wire::http::{RequestHead, percent_decode};

use crate::{session_key::SESSION_COOKIE, verify::Refusal};

/// The name of the query parameter and of the cookie that carry a token.
pub const TOKEN_NAME: &str = "token";
/// The subprotocol that the gate selects when the client offers it.
pub const SUBPROTOCOL: &str = "gatecrash";
/// The name of the query parameter that carries a session's id.
pub const SESSION_NAME: &str = "session";
/// The longest id of a session. The frontend's ids have 22 characters, PHP's up to 256.
const SESSION_BYTES_MAX: usize = 256;
/// The prefix of a token that a browser offers as a subprotocol, because it can set no other header.
const SUBPROTOCOL_TOKEN_PREFIX: &str = "bearer.";

/// The token of `head`'s first carrier; `None` without a carrier.
///
/// The order is: the query's `token`, `Authorization: Bearer` (RFC 6750 section 2.1), a subprotocol `bearer.<token>`, the
/// cookie `token`. The cookie counts only when the request's Origin is one of `origins`, because browsers send cookies
/// for pages of any site. A query value whose percent-encoding is wrong is returned undecoded; it fails verification.
pub fn token<'b>(head: &RequestHead<'b>, origins: &[String]) -> Option<Cow<'b, str>> {
    if let Some(raw) = head.query_value(TOKEN_NAME) {
        return Some(percent_decode(raw).unwrap_or(Cow::Borrowed(raw)));
    }
    let plain = head
        .header("Authorization")
        .and_then(bearer)
        .or_else(|| from_subprotocol(head))
        .or_else(|| from_cookie(head, origins, TOKEN_NAME))?;
    Some(Cow::Borrowed(plain))
}

/// The id of the session that `head` carries in the query's `session`, then in the frontend's cookie, for which the rule
/// of [`token`] holds; `None` without a carrier. A text that cannot be an id is refused without a lookup.
pub fn session<'b>(head: &RequestHead<'b>, origins: &[String]) -> Option<Result<Cow<'b, str>, Refusal>> {
    let id = match head.query_value(SESSION_NAME) {
        Some(raw) => percent_decode(raw).unwrap_or(Cow::Borrowed(raw)),
        None => Cow::Borrowed(from_cookie(head, origins, SESSION_COOKIE)?),
    };
    Some(if id.len() > SESSION_BYTES_MAX {
        Err(Refusal::TooLong)
    } else if id.is_empty() || !id.bytes().all(is_session_character) {
        Err(Refusal::Malformed)
    } else {
        Ok(id)
    })
}

/// Whether ids of sessions, the frontend's and others', may have this character. None of them needs an escape in a cookie.
fn is_session_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~,%+/=:".contains(&byte)
}

/// The credentials of the scheme `Bearer`, whose name has no case (RFC 9110 section 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, credentials) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim_start_matches(' '))
}

fn from_subprotocol<'b>(head: &RequestHead<'b>) -> Option<&'b str> {
    offered(head).find_map(|protocol| protocol.strip_prefix(SUBPROTOCOL_TOKEN_PREFIX))
}

/// The subprotocols that a client offers, over all its headers of that name (RFC 6455 section 11.3.4).
pub fn offered<'b>(head: &RequestHead<'b>) -> impl Iterator<Item = &'b str> {
    head.header_values("Sec-WebSocket-Protocol").flat_map(|list| list.split(',')).map(str::trim)
}

fn from_cookie<'b>(head: &RequestHead<'b>, origins: &[String], name: &str) -> Option<&'b str> {
    let origin = head.header("Origin")?;
    if !origins.iter().any(|allowed| allowed == origin) {
        return None;
    }
    head.cookie(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, headers: &[&str], expected: Option<&str>, why: &str) {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", headers.join("\r\n"));
        let head = head.replace("\r\n\r\n\r\n", "\r\n\r\n");
        let head = RequestHead::parse(head.as_bytes()).unwrap().unwrap();
        let origins = ["http://front".to_owned()];
        assert_eq!(token(&head, &origins).as_deref(), expected, "{why}");
    }

    #[test]
    fn token_is_taken_from_the_first_carrier() {
        const AUTHORIZATION: &str = "Authorization: Bearer a.a.a";
        const PROTOCOL: &str = "Sec-WebSocket-Protocol: gatecrash, bearer.p.p.p";
        const COOKIE: &str = "Cookie: x=1; token=c.c.c";
        const ORIGIN: &str = "Origin: http://front";
        for (target, headers, expected, why) in [
            ("/ws", &[][..], None, "no carrier"),
            ("/ws?token=q.q.q", &[AUTHORIZATION, PROTOCOL, COOKIE, ORIGIN], Some("q.q.q"), "the query is first"),
            ("/ws?token=", &[AUTHORIZATION], Some(""), "an empty token is a token"),
            ("/ws?token=a%2Eb", &[], Some("a.b"), "percent-encoded"),
            ("/ws?token=a%zz", &[], Some("a%zz"), "a wrong encoding is not decoded"),
            ("/ws", &[PROTOCOL, AUTHORIZATION], Some("a.a.a"), "the header is second"),
            ("/ws", &["Authorization: bEARER  a.a.a"], Some("a.a.a"), "the scheme has no case"),
            ("/ws", &["Authorization: Basic YTpi", PROTOCOL], Some("p.p.p"), "another scheme has no token"),
            ("/ws", &[COOKIE, ORIGIN, PROTOCOL], Some("p.p.p"), "the subprotocol is third"),
            ("/ws", &["Sec-WebSocket-Protocol: a", PROTOCOL], Some("p.p.p"), "the header's second line"),
            ("/ws", &[COOKIE, ORIGIN], Some("c.c.c"), "the cookie is last"),
            ("/ws", &[COOKIE], None, "the cookie needs an Origin"),
            ("/ws", &[COOKIE, "Origin: http://evil"], None, "the Origin must be on the list"),
        ] {
            check(target, headers, expected, why);
        }
    }

    #[test]
    fn session_id_is_taken_from_the_query_or_the_cookie() {
        const COOKIE: &str = "Cookie: token=t; gatekeeper_session=c-1";
        const ORIGIN: &str = "Origin: http://front";
        let long = "x".repeat(SESSION_BYTES_MAX);
        let longer = format!("/ws?session={long}x");
        let long = format!("/ws?session={long}");
        for (target, headers, expected, why) in [
            ("/ws?token=t", "", None, "a token is no session"),
            ("/ws?session=q-1", "", Some(Ok("q-1")), "the query"),
            ("/ws?session=a%2Cb", "", Some(Ok("a,b")), "percent-encoded"),
            ("/ws?session=q", &format!("{COOKIE}\r\n{ORIGIN}\r\n"), Some(Ok("q")), "the query is first"),
            ("/ws", &format!("{COOKIE}\r\n{ORIGIN}\r\n"), Some(Ok("c-1")), "the cookie"),
            ("/ws", &format!("{COOKIE}\r\n"), None, "the cookie needs an Origin"),
            ("/ws", &format!("{COOKIE}\r\nOrigin: http://evil\r\n"), None, "the Origin must be on the list"),
            ("/ws?session=", "", Some(Err(Refusal::Malformed)), "empty"),
            ("/ws?session=a%3B+b%0d", "", Some(Err(Refusal::Malformed)), "characters that end a cookie's value"),
            (&long, "", Some(Ok(&long["/ws?session=".len()..])), "the longest id"),
            (&longer, "", Some(Err(Refusal::TooLong)), "a byte too long"),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            let head = RequestHead::parse(head.as_bytes()).unwrap().unwrap();
            let found = session(&head, &["http://front".to_owned()]);
            let found = found.as_ref().map(|id| id.as_deref().map_err(|refusal| *refusal));
            assert_eq!(found, expected, "{why}");
        }
    }
}
