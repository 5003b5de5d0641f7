//! What every handshake of a run has in common, rendered once.

use wire::engineio::Version;
use wire::http::write_upgrade_request;

use crate::scenario::{Echo, Protocol, Scenario, TokenIn};

/// The subprotocol that a server selects when the token is offered as another one.
pub const SUBPROTOCOL: &str = "gatecrash";
/// What stands before a token that is offered as a subprotocol: browsers can set no other header.
pub const SUBPROTOCOL_TOKEN_PREFIX: &str = "bearer.";

/// Stands in the rendered request where the token goes. No sane path or header holds it.
const TOKEN_SLOT: &str = "~~gatecrash-token-slot~~";
/// Stands where the key goes, and is as long as one.
const KEY_SLOT: &str = "~~gatecrash--key--slot~~";

/// What every handshake of a run has in common.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What is spoken.
    pub protocol: Protocol,
    /// Where the token travels.
    pub token_in: TokenIn,
    /// What is said once the socket is established.
    pub echo: Echo,
    /// The text of an echo's event up to its payload: `["<event>","`.
    pub event_start: Box<str>,
    request: Template,
    /// The same for an arrival without a token.
    bare: Template,
}

impl Profile {
    /// The profile of a scenario towards `host`, the value of the Host header.
    pub fn of(scenario: &Scenario, host: &str) -> Self {
        Self::new(
            scenario.protocol,
            host,
            &scenario.path,
            scenario.token_in.clone(),
            &scenario.headers,
            scenario.echo.clone(),
        )
    }

    /// The same from its parts. `path` begins with `/` and may hold a query.
    pub fn new(
        protocol: Protocol,
        host: &str,
        path: &str,
        token_in: TokenIn,
        headers: &[(String, String)],
        echo: Echo,
    ) -> Self {
        let name = serde_json::Value::from(echo.event.as_str()).to_string();
        Self {
            protocol,
            event_start: format!("[{name},\"").into(),
            request: Template::render(protocol, host, path, &token_in, true, headers),
            bare: Template::render(protocol, host, path, &token_in, false, headers),
            token_in,
            echo,
        }
    }

    /// The version of Engine.IO, where that is spoken.
    pub fn engineio(&self) -> Option<Version> {
        match self.protocol {
            Protocol::WebSocket => None,
            Protocol::SocketIo(version) => Some(version),
        }
    }

    /// Appends the upgrade request of one handshake; without a token nothing shows that one was expected.
    pub fn write_request(&self, out: &mut Vec<u8>, token: Option<&str>, key: &[u8; 24]) {
        let template = match token {
            Some(_) => &self.request,
            None => &self.bare,
        };
        let (text, token) = (&template.text, token.unwrap_or_default());
        let mut from = 0;
        for (slot, at) in &template.slots {
            out.extend_from_slice(&text[from..*at]);
            from = at + slot.bytes();
            match slot {
                Slot::Key => out.extend_from_slice(key),
                Slot::Token => self.write_token(out, token),
            }
        }
        out.extend_from_slice(&text[from..]);
    }

    fn write_token(&self, out: &mut Vec<u8>, token: &str) {
        match self.token_in {
            TokenIn::Query(_) => write_query_value(out, token),
            _ => out.extend_from_slice(token.as_bytes()),
        }
    }
}

/// A request with gaps.
#[derive(Clone, Debug)]
struct Template {
    text: Vec<u8>,
    /// Where each gap begins in `text`, ascending.
    slots: Vec<(Slot, usize)>,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Token,
    Key,
}

impl Slot {
    fn bytes(self) -> usize {
        match self {
            Self::Token => TOKEN_SLOT.len(),
            Self::Key => KEY_SLOT.len(),
        }
    }
}

impl Template {
    fn render(
        protocol: Protocol,
        host: &str,
        path: &str,
        token_in: &TokenIn,
        shown: bool,
        headers: &[(String, String)],
    ) -> Self {
        let host = sent_host(headers).unwrap_or(host);
        let target = target(protocol, path, token_in, shown);
        let own = token_header(token_in, shown, headers);
        let extra: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
            .filter(|(name, _)| {
                own.as_ref()
                    .is_none_or(|(ours, _)| !name.eq_ignore_ascii_case(ours))
            })
            .chain(own.as_ref().map(|(name, value)| (*name, value.as_str())))
            .collect();
        let mut text = Vec::new();
        write_upgrade_request(&mut text, &target, host, KEY_SLOT, &extra);
        let mut slots: Vec<(Slot, usize)> = find(&text, TOKEN_SLOT)
            .map(|at| (Slot::Token, at))
            .into_iter()
            .chain(find(&text, KEY_SLOT).map(|at| (Slot::Key, at)))
            .collect();
        slots.sort_by_key(|(_, at)| *at);
        Self { text, slots }
    }
}

/// The request's target: the path, then `EIO` and `transport`, then the token, each as the run wants it.
fn target(protocol: Protocol, path: &str, token_in: &TokenIn, shown: bool) -> String {
    let mut target = path.to_owned();
    let mut add = |parameter: &str| {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(parameter);
    };
    if let Protocol::SocketIo(version) = protocol {
        add(&format!("EIO={}&transport=websocket", version.number()));
    }
    if let TokenIn::Query(name) = token_in
        && shown
    {
        let mut name_bytes = Vec::new();
        write_query_value(&mut name_bytes, name);
        add(&format!(
            "{}={TOKEN_SLOT}",
            String::from_utf8_lossy(&name_bytes)
        ));
    }
    target
}

/// The header that carries the token, with what the user sends under the same name before it.
fn token_header(
    token_in: &TokenIn,
    shown: bool,
    headers: &[(String, String)],
) -> Option<(&'static str, String)> {
    let (name, separator, value) = match token_in {
        TokenIn::Query(_) | TokenIn::Auth(_) => return None,
        // The protocol is offered all the same: a server that selects it breaks no rule.
        TokenIn::Subprotocol if !shown => ("Sec-WebSocket-Protocol", ", ", SUBPROTOCOL.to_owned()),
        TokenIn::Header | TokenIn::Cookie(_) if !shown => return None,
        TokenIn::Header => return Some(("Authorization", format!("Bearer {TOKEN_SLOT}"))),
        TokenIn::Subprotocol => (
            "Sec-WebSocket-Protocol",
            ", ",
            format!("{SUBPROTOCOL}, {SUBPROTOCOL_TOKEN_PREFIX}{TOKEN_SLOT}"),
        ),
        TokenIn::Cookie(cookie) => ("Cookie", "; ", format!("{cookie}={TOKEN_SLOT}")),
    };
    let asked = headers
        .iter()
        .filter(|(asked, _)| asked.eq_ignore_ascii_case(name));
    let values: Vec<&str> = asked
        .map(|(_, value)| value.as_str())
        .chain([value.as_str()])
        .collect();
    Some((name, values.join(separator)))
}

fn sent_host(headers: &[(String, String)]) -> Option<&str> {
    headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.as_str())
}

/// Percent-encodes all but RFC 3986's unreserved characters, of which a JWT consists.
fn write_query_value(out: &mut Vec<u8>, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            _ => out.extend_from_slice(&[
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
}

fn find(text: &[u8], slot: &str) -> Option<usize> {
    text.windows(slot.len())
        .position(|window| window == slot.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8; 24] = b"dGhlIHNhbXBsZSBub25jZQ==";

    fn request(
        protocol: Protocol,
        path: &str,
        token_in: TokenIn,
        headers: &[(&str, &str)],
        token: &str,
    ) -> String {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let echo = Echo {
            count: 0,
            rate_per_s: None,
            bytes: 16,
            event: "echo".into(),
        };
        let profile = Profile::new(protocol, "example.com:81", path, token_in, &headers, echo);
        let mut out = Vec::new();
        profile.write_request(&mut out, (!token.is_empty()).then_some(token), KEY);
        let head = wire::http::RequestHead::parse(&out).unwrap().unwrap();
        assert_eq!(
            wire::http::UpgradeRequest::from_head(&head)
                .unwrap()
                .key
                .as_bytes(),
            KEY
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_carrier_has_its_place_in_the_request() {
        let query = || TokenIn::Query("token".into());
        let cookie = || TokenIn::Cookie("jwt".into());
        let v4 = Protocol::SocketIo(Version::V4);
        let v3 = Protocol::SocketIo(Version::V3);
        let raw = Protocol::WebSocket;
        for (protocol, path, token_in, headers, holds, why) in [
            (
                raw,
                "/ws",
                query(),
                &[][..],
                "GET /ws?token=a.b.c HTTP/1.1\r\n",
                "query",
            ),
            (
                raw,
                "/ws?x=1",
                query(),
                &[],
                "GET /ws?x=1&token=a.b.c ",
                "a query of one's own",
            ),
            (
                v4,
                "/socket.io/",
                query(),
                &[],
                "GET /socket.io/?EIO=4&transport=websocket&token=a.b.c ",
                "Engine.IO 4",
            ),
            (
                v3,
                "/socket.io/",
                TokenIn::Header,
                &[],
                "GET /socket.io/?EIO=3&transport=websocket ",
                "Engine.IO 3",
            ),
            (
                raw,
                "/ws",
                TokenIn::Header,
                &[],
                "\r\nAuthorization: Bearer a.b.c\r\n",
                "header",
            ),
            (
                raw,
                "/ws",
                TokenIn::Subprotocol,
                &[],
                "\r\nSec-WebSocket-Protocol: gatecrash, bearer.a.b.c\r\n",
                "subprotocol",
            ),
            (
                raw,
                "/ws",
                cookie(),
                &[],
                "\r\nCookie: jwt=a.b.c\r\n",
                "cookie",
            ),
            (
                raw,
                "/ws",
                cookie(),
                &[("cookie", "theme=dark")],
                "\r\nCookie: theme=dark; jwt=a.b.c\r\n",
                "one Cookie header alone (RFC 6265 section 5.4)",
            ),
            (
                v4,
                "/",
                TokenIn::Auth("token".into()),
                &[],
                "GET /?EIO=4&",
                "not in the request",
            ),
            (
                raw,
                "/ws",
                query(),
                &[("Origin", "http://a")],
                "\r\nOrigin: http://a\r\n",
                "-H",
            ),
            (
                raw,
                "/ws",
                query(),
                &[("host", "b")],
                "\r\nHost: b\r\n",
                "-H Host replaces it",
            ),
        ] {
            let sent = request(protocol, path, token_in, headers, "a.b.c");
            assert!(sent.contains(holds), "{why}: {sent}");
            assert_eq!(sent.to_lowercase().matches("\r\nhost:").count(), 1, "{why}");
        }
    }

    #[test]
    fn an_arrival_without_a_token_shows_nothing_of_one() {
        for (token_in, headers, holds, why) in [
            (
                TokenIn::Query("token".into()),
                &[][..],
                "GET /ws HTTP/1.1\r\n",
                "no parameter",
            ),
            (TokenIn::Header, &[], "GET /ws HTTP/1.1\r\n", "no header"),
            (
                TokenIn::Subprotocol,
                &[],
                "\r\nSec-WebSocket-Protocol: gatecrash\r\n",
                "the protocol itself is offered",
            ),
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
            assert!(
                !traces.iter().any(|trace| sent.contains(trace)),
                "{why}: {sent}"
            );
        }
    }

    #[test]
    fn a_token_in_the_query_is_encoded_where_it_must_be() {
        let sent = request(
            Protocol::WebSocket,
            "/",
            TokenIn::Query("t o".into()),
            &[],
            "a&b=c d\r\n",
        );
        assert!(
            sent.starts_with("GET /?t%20o=a%26b%3Dc%20d%0D%0A HTTP/1.1\r\n"),
            "{sent}"
        );
    }
}
