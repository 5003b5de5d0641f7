//! Requests rendered once, with placeholders for the values that differ from one to the next.

use wire::decimal::write_decimal;
use wire::http::{write_request, write_upgrade_request};

use crate::spec::{Protocol, TokenIn};

/// The subprotocol that a server selects when the token is offered as another one.
pub const SUBPROTOCOL: &str = "gatecrash";
/// Before a token that is offered as a subprotocol: browsers can set no other header.
pub const SUBPROTOCOL_TOKEN_PREFIX: &str = "bearer.";

/// The placeholder of the token in a rendered request; no path or header of a user holds this text.
const TOKEN_PLACEHOLDER: &str = "~~gatecrash-token-slot~~";
/// The placeholder of `Sec-WebSocket-Key`, as long as a key.
const KEY_PLACEHOLDER: &str = "~~gatecrash--key--slot~~";
/// The placeholder of a polling session's id.
const SID_PLACEHOLDER: &str = "~~gatecrash-sid-slot~~";
/// The placeholder of the length of a POST's body.
const LENGTH_PLACEHOLDER: &str = "~~gatecrash-length-slot~~";

/// What all requests of a run are rendered from.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) protocol: Protocol,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) token_in: &'a TokenIn,
    pub(super) headers: &'a [(String, String)],
}

/// The requests of a handshake or a polling session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// Opens a WebSocket without a session.
    Upgrade,
    /// Opens a polling session.
    Open,
    /// Waits for packets of a session.
    Poll,
    /// Sends packets to a session.
    Post,
    /// Opens a WebSocket that a session moves to.
    Move,
}

/// The values for the placeholders of a request.
#[derive(Clone, Copy, Default)]
pub(super) struct Filling<'a> {
    pub(super) token: &'a str,
    pub(super) key: &'a [u8],
    pub(super) sid: &'a str,
    pub(super) body_bytes: usize,
}

/// A request with placeholders.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: Vec<u8>,
    /// Where each placeholder begins in `text`, ascending.
    placeholders: Vec<(Placeholder, usize)>,
}

#[derive(Clone, Copy, Debug)]
enum Placeholder {
    Token,
    Key,
    Sid,
    Length,
}

impl Placeholder {
    const ALL: [Self; 4] = [Self::Token, Self::Key, Self::Sid, Self::Length];

    fn text(self) -> &'static str {
        match self {
            Self::Token => TOKEN_PLACEHOLDER,
            Self::Key => KEY_PLACEHOLDER,
            Self::Sid => SID_PLACEHOLDER,
            Self::Length => LENGTH_PLACEHOLDER,
        }
    }
}

impl Template {
    pub(super) fn render(kind: RequestKind, parts: Parts<'_>, with_token: bool) -> Self {
        let Parts { token_in, headers, .. } = parts;
        let host = sent_host(headers).unwrap_or(parts.host);
        let target = target(kind, parts, with_token);
        let own = token_header(token_in, with_token, headers);
        let extra: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
            .filter(|(name, _)| own.as_ref().is_none_or(|(ours, _)| !name.eq_ignore_ascii_case(ours)))
            .chain(own.as_ref().map(|(name, value)| (*name, value.as_str())))
            .collect();
        let mut text = Vec::new();
        match kind {
            RequestKind::Upgrade | RequestKind::Move => {
                write_upgrade_request(&mut text, &target, host, KEY_PLACEHOLDER, &extra);
            }
            RequestKind::Open | RequestKind::Poll => write_request(&mut text, "GET", &target, host, &extra),
            RequestKind::Post => {
                let mut extra = extra;
                extra.push(("Content-Type", "text/plain;charset=UTF-8"));
                extra.push(("Content-Length", LENGTH_PLACEHOLDER));
                write_request(&mut text, "POST", &target, host, &extra);
            }
        }
        let mut placeholders: Vec<(Placeholder, usize)> = Placeholder::ALL
            .into_iter()
            .filter_map(|placeholder| Some((placeholder, find(&text, placeholder.text())?)))
            .collect();
        placeholders.sort_by_key(|(_, at)| *at);
        Self { text, placeholders }
    }

    /// Appends the request with its placeholders filled.
    pub(super) fn fill(&self, token_in: &TokenIn, filling: Filling<'_>, out: &mut Vec<u8>) {
        let text = &self.text;
        let mut from = 0;
        for (placeholder, at) in &self.placeholders {
            out.extend_from_slice(&text[from..*at]);
            from = at + placeholder.text().len();
            match (placeholder, token_in) {
                (Placeholder::Key, _) => out.extend_from_slice(filling.key),
                (Placeholder::Token, TokenIn::Query(_)) => write_query_value(out, filling.token),
                (Placeholder::Token, _) => out.extend_from_slice(filling.token.as_bytes()),
                (Placeholder::Sid, _) => write_query_value(out, filling.sid),
                (Placeholder::Length, _) => write_decimal(out, filling.body_bytes as u64),
            }
        }
        out.extend_from_slice(&text[from..]);
    }
}

/// The request's target: the path, then `EIO` and `transport`, then the token and the session, each where there is one.
fn target(kind: RequestKind, parts: Parts<'_>, with_token: bool) -> String {
    let mut target = parts.path.to_owned();
    let mut add = |parameter: &str| {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(parameter);
    };
    if let Protocol::SocketIo(version) = parts.protocol {
        let transport = match kind {
            RequestKind::Upgrade | RequestKind::Move => "websocket",
            RequestKind::Open | RequestKind::Poll | RequestKind::Post => "polling",
        };
        add(&format!("EIO={}&transport={transport}", version.number()));
    }
    if let TokenIn::Query(name) = parts.token_in
        && with_token
    {
        let mut name_bytes = Vec::new();
        write_query_value(&mut name_bytes, name);
        add(&format!("{}={TOKEN_PLACEHOLDER}", String::from_utf8_lossy(&name_bytes)));
    }
    if matches!(kind, RequestKind::Poll | RequestKind::Post | RequestKind::Move) {
        add(&format!("sid={SID_PLACEHOLDER}"));
    }
    target
}

/// The header with the token; values that the user gave for the same header come first.
fn token_header(token_in: &TokenIn, with_token: bool, headers: &[(String, String)]) -> Option<(&'static str, String)> {
    let (name, separator, value) = match token_in {
        TokenIn::Query(_) | TokenIn::Auth(_) => return None,
        // Without a token the subprotocol is still offered, so that a server may select it.
        TokenIn::Subprotocol if !with_token => ("Sec-WebSocket-Protocol", ", ", SUBPROTOCOL.to_owned()),
        TokenIn::Header | TokenIn::Cookie(_) if !with_token => return None,
        TokenIn::Header => return Some(("Authorization", format!("Bearer {TOKEN_PLACEHOLDER}"))),
        TokenIn::Subprotocol => {
            ("Sec-WebSocket-Protocol", ", ", format!("{SUBPROTOCOL}, {SUBPROTOCOL_TOKEN_PREFIX}{TOKEN_PLACEHOLDER}"))
        }
        TokenIn::Cookie(cookie) => ("Cookie", "; ", format!("{cookie}={TOKEN_PLACEHOLDER}")),
    };
    let asked = headers.iter().filter(|(asked, _)| asked.eq_ignore_ascii_case(name));
    let values: Vec<&str> = asked.map(|(_, value)| value.as_str()).chain([value.as_str()]).collect();
    Some((name, values.join(separator)))
}

fn sent_host(headers: &[(String, String)]) -> Option<&str> {
    headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value.as_str())
}

/// Percent-encodes all but RFC 3986's unreserved characters, of which a JWT consists.
fn write_query_value(out: &mut Vec<u8>, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    // Nearly every token needs no encoding. A fold without an early exit is vectorised.
    if value.bytes().fold(true, |all, byte| all & is_unreserved(byte)) {
        return out.extend_from_slice(value.as_bytes());
    }
    for byte in value.bytes() {
        if is_unreserved(byte) {
            out.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'%', HEX[high], HEX[low]]);
        }
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn find(text: &[u8], placeholder: &str) -> Option<usize> {
    text.windows(placeholder.len()).position(|window| window == placeholder.as_bytes())
}
