//! The requests of a session that begins by polling (engine.io-protocol, "HTTP long-polling").

use crate::speak::connection::profile::template::{Filling, Parts, RequestKind, Template};
use crate::spec::TokenIn;

/// A request of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollRequest<'a> {
    /// A GET without a session, which opens one.
    Open,
    /// A GET that waits for packets.
    Poll {
        /// The session.
        sid: &'a str,
    },
    /// A POST of packets; the caller writes the body.
    Post {
        /// The session.
        sid: &'a str,
        /// The body's length.
        body_bytes: usize,
    },
    /// A WebSocket that the session may move to.
    Move {
        /// The session.
        sid: &'a str,
        /// `Sec-WebSocket-Key`.
        key: &'a [u8; 24],
    },
}

/// The requests of a polling session, with a token and without.
#[derive(Clone, Debug)]
pub(super) struct PollRequests {
    with_token: [Template; 4],
    without_token: [Template; 4],
}

const KINDS: [RequestKind; 4] = [RequestKind::Open, RequestKind::Poll, RequestKind::Post, RequestKind::Move];

impl PollRequests {
    pub(super) fn render(parts: Parts<'_>) -> Self {
        Self {
            with_token: KINDS.map(|kind| Template::render(kind, parts, true)),
            without_token: KINDS.map(|kind| Template::render(kind, parts, false)),
        }
    }

    /// Appends a request.
    pub(super) fn write(&self, out: &mut Vec<u8>, request: PollRequest<'_>, token: Option<&str>, token_in: &TokenIn) {
        let templates = match token {
            Some(_) => &self.with_token,
            None => &self.without_token,
        };
        let filling = Filling { token: token.unwrap_or_default(), ..Filling::default() };
        let (place, filling) = match request {
            PollRequest::Open => (0, filling),
            PollRequest::Poll { sid } => (1, Filling { sid, ..filling }),
            PollRequest::Post { sid, body_bytes } => (2, Filling { sid, body_bytes, ..filling }),
            PollRequest::Move { sid, key } => (3, Filling { sid, key, ..filling }),
        };
        templates[place].fill(token_in, filling, out);
    }
}

#[cfg(test)]
mod tests {
    use wire::engineio::Version;

    use super::*;
    use crate::spec::Protocol;

    #[test]
    fn each_request_names_its_session_and_shows_the_token() {
        let protocol = Protocol::SocketIo(Version::V3);
        let token_in = TokenIn::Query("token".into());
        let parts = Parts {
            protocol,
            host: "h:1",
            path: "/socket.io/",
            token_in: &token_in,
            headers: &[("X".into(), "y".into())],
        };
        let polls = PollRequests::render(parts);
        let sid = "a/b";
        let key = b"dGhlIHNhbXBsZSBub25jZQ==";
        for (request, token, expected) in [
            (
                PollRequest::Open,
                Some("t"),
                "GET /socket.io/?EIO=3&transport=polling&token=t HTTP/1.1\r\nHost: h:1\r\nX: y\r\n\r\n",
            ),
            (
                PollRequest::Poll { sid },
                None,
                "GET /socket.io/?EIO=3&transport=polling&sid=a%2Fb HTTP/1.1\r\nHost: h:1\r\nX: y\r\n\r\n",
            ),
            (
                PollRequest::Post { sid, body_bytes: 12 },
                Some("t"),
                "POST /socket.io/?EIO=3&transport=polling&token=t&sid=a%2Fb HTTP/1.1\r\nHost: h:1\r\nX: y\r\n\
                 Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 12\r\n\r\n",
            ),
        ] {
            let mut out = Vec::new();
            polls.write(&mut out, request, token, &token_in);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{request:?}");
        }
        let mut out = Vec::new();
        polls.write(&mut out, PollRequest::Move { sid, key }, Some("t"), &token_in);
        let text = String::from_utf8(out).unwrap();
        let line = "GET /socket.io/?EIO=3&transport=websocket&token=t&sid=a%2Fb HTTP/1.1\r\n";
        assert!(text.starts_with(line) && text.contains("Upgrade: websocket"), "{text}");
    }
}
