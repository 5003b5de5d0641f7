//! What every handshake of a run has in common, rendered once.

mod poll_request;
mod template;

use wire::engineio::Version;

use crate::spec::{Echo, LoadSpec, Protocol, RefusedBy, TokenIn};

pub use poll_request::PollRequest;
use poll_request::PollRequests;
use template::{Filling, Parts, RequestKind, Template};
pub use template::{SUBPROTOCOL, SUBPROTOCOL_TOKEN_PREFIX};

/// What every handshake of a run has in common.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The protocol of the sockets.
    pub protocol: Protocol,
    /// The namespace of Socket.IO that is joined.
    pub namespace: Box<str>,
    /// Where the token travels.
    pub token_in: TokenIn,
    /// The messages of an established socket.
    pub echo: Echo,
    /// The text of an echo's event up to its payload: `["<event>","`.
    pub event_start: Box<str>,
    /// Close codes that refuse the token.
    pub refused_by: RefusedBy,
    request: Template,
    /// The upgrade request of an arrival without a token.
    request_without_token: Template,
    /// The requests of sessions that poll; `None` where none does.
    polls: Option<Box<PollRequests>>,
}

impl Profile {
    /// The profile of a load for one of its targets; `host` is the value of the Host header.
    pub fn of(load: &LoadSpec, target: usize, host: &str) -> Self {
        let (path, headers) = load.targets.request_to(target);
        let mut profile = Self::new(load.protocol, host, path, load.token_in.clone(), headers, load.echo.clone());
        profile.refused_by = load.refused_by.clone();
        profile.namespace = load.namespace.as_str().into();
        if load.transport.polls() {
            profile.polls = Some(Box::new(PollRequests::render(Parts {
                protocol: load.protocol,
                host,
                path,
                token_in: &load.token_in,
                headers,
            })));
        }
        profile
    }

    /// The profile of a WebSocket in the root namespace. `path` begins with `/` and may hold a query.
    pub fn new(
        protocol: Protocol,
        host: &str,
        path: &str,
        token_in: TokenIn,
        headers: &[(String, String)],
        echo: Echo,
    ) -> Self {
        let name = serde_json::Value::from(echo.event.as_str()).to_string();
        let parts = Parts { protocol, host, path, token_in: &token_in, headers };
        Self {
            protocol,
            namespace: "/".into(),
            event_start: format!("[{name},\"").into(),
            request: Template::render(RequestKind::Upgrade, parts, true),
            request_without_token: Template::render(RequestKind::Upgrade, parts, false),
            polls: None,
            refused_by: RefusedBy::default(),
            token_in,
            echo,
        }
    }

    /// The version of Engine.IO; `None` for a raw WebSocket.
    pub fn engineio(&self) -> Option<Version> {
        match self.protocol {
            Protocol::WebSocket => None,
            Protocol::SocketIo(version) => Some(version),
        }
    }

    /// Appends the upgrade request of one handshake. Without a token it has neither the parameter nor the header for one.
    pub fn write_request(&self, out: &mut Vec<u8>, token: Option<&str>, key: &[u8; 24]) {
        let template = match token {
            Some(_) => &self.request,
            None => &self.request_without_token,
        };
        let filling = Filling { token: token.unwrap_or_default(), key, ..Filling::default() };
        template.fill(&self.token_in, filling, out);
    }

    /// Appends a request of a polling session. Each request sends the token again, as clients do. Appends nothing where
    /// the transport is WebSocket alone.
    pub fn write_poll_request(&self, out: &mut Vec<u8>, request: PollRequest<'_>, token: Option<&str>) {
        if let Some(requests) = &self.polls {
            requests.write(out, request, token, &self.token_in);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::AnsweredBy;

    const KEY: &[u8; 24] = b"dGhlIHNhbXBsZSBub25jZQ==";

    fn request(protocol: Protocol, path: &str, token_in: TokenIn, headers: &[(&str, &str)], token: &str) -> String {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let echo = Echo { count: 0, rate_per_s: None, bytes: 16, event: "echo".into(), answered_by: AnsweredBy::Any };
        let profile = Profile::new(protocol, "example.com:81", path, token_in, &headers, echo);
        let mut out = Vec::new();
        profile.write_request(&mut out, (!token.is_empty()).then_some(token), KEY);
        let head = wire::http::RequestHead::parse(&out).unwrap().unwrap();
        assert_eq!(wire::http::UpgradeRequest::from_head(&head).unwrap().key.as_bytes(), KEY);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_token_is_sent_where_token_in_says() {
        let query = || TokenIn::Query("token".into());
        let cookie = || TokenIn::Cookie("jwt".into());
        let v4 = Protocol::SocketIo(Version::V4);
        let v3 = Protocol::SocketIo(Version::V3);
        let raw = Protocol::WebSocket;
        for (protocol, path, token_in, headers, holds, why) in [
            (raw, "/ws", query(), &[][..], "GET /ws?token=a.b.c HTTP/1.1\r\n", "query"),
            (raw, "/ws?x=1", query(), &[], "GET /ws?x=1&token=a.b.c ", "a query of one's own"),
            (v4, "/socket.io/", query(), &[], "GET /socket.io/?EIO=4&transport=websocket&token=a.b.c ", "Engine.IO 4"),
            (v3, "/socket.io/", TokenIn::Header, &[], "GET /socket.io/?EIO=3&transport=websocket ", "Engine.IO 3"),
            (raw, "/ws", TokenIn::Header, &[], "\r\nAuthorization: Bearer a.b.c\r\n", "header"),
            (
                raw,
                "/ws",
                TokenIn::Subprotocol,
                &[],
                "\r\nSec-WebSocket-Protocol: gatecrash, bearer.a.b.c\r\n",
                "subprotocol",
            ),
            (raw, "/ws", cookie(), &[], "\r\nCookie: jwt=a.b.c\r\n", "cookie"),
            (
                raw,
                "/ws",
                cookie(),
                &[("cookie", "theme=dark")],
                "\r\nCookie: theme=dark; jwt=a.b.c\r\n",
                "one Cookie header alone (RFC 6265 section 5.4)",
            ),
            (v4, "/", TokenIn::Auth("token".into()), &[], "GET /?EIO=4&", "not in the request"),
            (raw, "/ws", query(), &[("Origin", "http://a")], "\r\nOrigin: http://a\r\n", "-H"),
            (raw, "/ws", query(), &[("host", "b")], "\r\nHost: b\r\n", "-H Host replaces it"),
        ] {
            let sent = request(protocol, path, token_in, headers, "a.b.c");
            assert!(sent.contains(holds), "{why}: {sent}");
            assert_eq!(sent.to_lowercase().matches("\r\nhost:").count(), 1, "{why}");
        }
    }

    #[test]
    fn a_request_without_a_token_names_none() {
        for (token_in, headers, holds, why) in [
            (TokenIn::Query("token".into()), &[][..], "GET /ws HTTP/1.1\r\n", "no parameter"),
            (TokenIn::Header, &[], "GET /ws HTTP/1.1\r\n", "no header"),
            (TokenIn::Subprotocol, &[], "\r\nSec-WebSocket-Protocol: gatecrash\r\n", "the protocol itself is offered"),
            (
                TokenIn::Cookie("jwt".into()),
                &[("Cookie", "theme=dark")],
                "\r\nCookie: theme=dark\r\n",
                "other cookies stay",
            ),
        ] {
            let sent = request(Protocol::WebSocket, "/ws", token_in, headers, "");
            assert!(sent.contains(holds), "{why}: {sent}");
            let traces = ["token", "Authorization", "bearer", "jwt"];
            assert!(!traces.iter().any(|trace| sent.contains(trace)), "{why}: {sent}");
        }
    }

    #[test]
    fn a_token_in_the_query_is_encoded_where_it_must_be() {
        let sent = request(Protocol::WebSocket, "/", TokenIn::Query("t o".into()), &[], "a&b=c d\r\n");
        assert!(sent.starts_with("GET /?t%20o=a%26b%3Dc%20d%0D%0A HTTP/1.1\r\n"), "{sent}");
    }
}
