//! Requests rendered once, with gaps for what differs from one to the next.

use wire::decimal::write_decimal;
use wire::http::{write_request, write_upgrade_request};

use crate::spec::{Protocol, TokenIn};

/// The subprotocol that a server selects when the token is offered as another one.
pub const SUBPROTOCOL: &str = "gatecrash";
/// Before a token that is offered as a subprotocol: browsers can set no other header.
pub const SUBPROTOCOL_TOKEN_PREFIX: &str = "bearer.";

/// Stands in the rendered request where the token goes. No sane path or header holds it.
const TOKEN_SLOT: &str = "~~gatecrash-token-slot~~";
/// Stands where the key goes, and is as long as one.
const KEY_SLOT: &str = "~~gatecrash--key--slot~~";
/// Stands where the id of a session goes that polls.
const SID_SLOT: &str = "~~gatecrash-sid-slot~~";
/// Stands where the length of a POST's body goes.
const LENGTH_SLOT: &str = "~~gatecrash-length-slot~~";

/// What all requests of a run are rendered from.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) protocol: Protocol,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) token_in: &'a TokenIn,
    pub(super) headers: &'a [(String, String)],
}

/// Which request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// For a WebSocket from the beginning.
    Upgrade,
    /// Opens a session that polls.
    Open,
    /// Waits for its packets.
    Poll,
    /// Brings packets of ours.
    Post,
    /// For a WebSocket that it is to move to.
    Move,
}

/// What goes into the gaps of a request.
#[derive(Clone, Copy, Default)]
pub(super) struct Filling<'a> {
    pub(super) token: &'a str,
    pub(super) key: &'a [u8],
    pub(super) sid: &'a str,
    pub(super) body_bytes: usize,
}

/// A request with gaps.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: Vec<u8>,
    /// Where each gap begins in `text`, ascending.
    slots: Vec<(Slot, usize)>,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Token,
    Key,
    Sid,
    Length,
}

impl Slot {
    const ALL: [Self; 4] = [Self::Token, Self::Key, Self::Sid, Self::Length];

    fn text(self) -> &'static str {
        match self {
            Self::Token => TOKEN_SLOT,
            Self::Key => KEY_SLOT,
            Self::Sid => SID_SLOT,
            Self::Length => LENGTH_SLOT,
        }
    }
}

impl Template {
    pub(super) fn render(kind: Kind, parts: Parts<'_>, shown: bool) -> Self {
        let Parts { token_in, headers, .. } = parts;
        let host = sent_host(headers).unwrap_or(parts.host);
        let target = target(kind, parts, shown);
        let own = token_header(token_in, shown, headers);
        let extra: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
            .filter(|(name, _)| own.as_ref().is_none_or(|(ours, _)| !name.eq_ignore_ascii_case(ours)))
            .chain(own.as_ref().map(|(name, value)| (*name, value.as_str())))
            .collect();
        let mut text = Vec::new();
        match kind {
            Kind::Upgrade | Kind::Move => {
                write_upgrade_request(&mut text, &target, host, KEY_SLOT, &extra);
            }
            Kind::Open | Kind::Poll => write_request(&mut text, "GET", &target, host, &extra),
            Kind::Post => {
                let mut extra = extra;
                extra.push(("Content-Type", "text/plain;charset=UTF-8"));
                extra.push(("Content-Length", LENGTH_SLOT));
                write_request(&mut text, "POST", &target, host, &extra);
            }
        }
        let mut slots: Vec<(Slot, usize)> =
            Slot::ALL.into_iter().filter_map(|slot| Some((slot, find(&text, slot.text())?))).collect();
        slots.sort_by_key(|(_, at)| *at);
        Self { text, slots }
    }

    /// Appends the request with its gaps filled.
    pub(super) fn fill(&self, token_in: &TokenIn, filling: Filling<'_>, out: &mut Vec<u8>) {
        let text = &self.text;
        let mut from = 0;
        for (slot, at) in &self.slots {
            out.extend_from_slice(&text[from..*at]);
            from = at + slot.text().len();
            match (slot, token_in) {
                (Slot::Key, _) => out.extend_from_slice(filling.key),
                (Slot::Token, TokenIn::Query(_)) => write_query_value(out, filling.token),
                (Slot::Token, _) => out.extend_from_slice(filling.token.as_bytes()),
                (Slot::Sid, _) => write_query_value(out, filling.sid),
                (Slot::Length, _) => write_decimal(out, filling.body_bytes as u64),
            }
        }
        out.extend_from_slice(&text[from..]);
    }
}

/// The request's target: the path, then `EIO` and `transport`, then the token and the session, each where there is one.
fn target(kind: Kind, parts: Parts<'_>, shown: bool) -> String {
    let mut target = parts.path.to_owned();
    let mut add = |parameter: &str| {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(parameter);
    };
    if let Protocol::SocketIo(version) = parts.protocol {
        let transport = match kind {
            Kind::Upgrade | Kind::Move => "websocket",
            Kind::Open | Kind::Poll | Kind::Post => "polling",
        };
        add(&format!("EIO={}&transport={transport}", version.number()));
    }
    if let TokenIn::Query(name) = parts.token_in
        && shown
    {
        let mut name_bytes = Vec::new();
        write_query_value(&mut name_bytes, name);
        add(&format!("{}={TOKEN_SLOT}", String::from_utf8_lossy(&name_bytes)));
    }
    if matches!(kind, Kind::Poll | Kind::Post | Kind::Move) {
        add(&format!("sid={SID_SLOT}"));
    }
    target
}

/// The header that carries the token, with what the user sends under the same name before it.
fn token_header(token_in: &TokenIn, shown: bool, headers: &[(String, String)]) -> Option<(&'static str, String)> {
    let (name, separator, value) = match token_in {
        TokenIn::Query(_) | TokenIn::Auth(_) => return None,
        // The protocol is offered all the same: a server that selects it breaks no rule.
        TokenIn::Subprotocol if !shown => ("Sec-WebSocket-Protocol", ", ", SUBPROTOCOL.to_owned()),
        TokenIn::Header | TokenIn::Cookie(_) if !shown => return None,
        TokenIn::Header => return Some(("Authorization", format!("Bearer {TOKEN_SLOT}"))),
        TokenIn::Subprotocol => {
            ("Sec-WebSocket-Protocol", ", ", format!("{SUBPROTOCOL}, {SUBPROTOCOL_TOKEN_PREFIX}{TOKEN_SLOT}"))
        }
        TokenIn::Cookie(cookie) => ("Cookie", "; ", format!("{cookie}={TOKEN_SLOT}")),
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
    // Nearly every token goes as it is. Without an early end the compiler looks at many bytes at once.
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

fn find(text: &[u8], slot: &str) -> Option<usize> {
    text.windows(slot.len()).position(|window| window == slot.as_bytes())
}
