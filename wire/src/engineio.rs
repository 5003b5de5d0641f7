//! Engine.IO packets over WebSocket and long-polling, versions 3 and 4 (engine.io-protocol).
//!
//! A text frame carries one packet, its type the first character; a polling [payload](Payload) carries several. The
//! versions differ in who pings (3: the client, 4: the server), in binary messages ([`decode_binary`]) and in one member
//! of the open packet ([`Open`]).
//!
//! ```
//! use wire::engineio::Packet;
//!
//! let mut frame = Vec::new();
//! Packet::Message("40").encode(&mut frame);
//! assert_eq!(frame, b"440");
//! assert_eq!(Packet::decode("2probe"), Ok(Packet::Ping("probe")));
//! ```

mod payload;
mod version;

use serde::{Deserialize, Serialize};

pub use crate::error::PacketError;
pub use payload::{Form, Item, Payload, decode_payload, decode_text, encode_base64, encode_payload, push_text};
pub use version::{Version, decode_binary, encode_binary};

/// One packet of a text frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'b> {
    /// `0`: the session's parameters as JSON, see [`Open::decode`].
    Open(&'b str),
    /// `1`: the session is to be closed.
    Close,
    /// `2`: a heartbeat, or `2probe` of a transport upgrade.
    Ping(&'b str),
    /// `3`: its answer, with the same text.
    Pong(&'b str),
    /// `4`: a message, here a Socket.IO packet.
    Message(&'b str),
    /// `5`: the client changes to this transport.
    Upgrade,
    /// `6`: ends a waiting poll.
    Noop,
}

impl<'b> Packet<'b> {
    /// Reads the packet of one text frame. What follows the type of a close, upgrade or noop packet has no meaning
    /// and is passed over, as in the reference implementation.
    pub fn decode(text: &'b str) -> Result<Self, PacketError> {
        let kind = *text.as_bytes().first().ok_or(PacketError::Empty)?;
        let data = text.get(1..).unwrap_or_default();
        match kind {
            b'0' => Ok(Packet::Open(data)),
            b'1' => Ok(Packet::Close),
            b'2' => Ok(Packet::Ping(data)),
            b'3' => Ok(Packet::Pong(data)),
            b'4' => Ok(Packet::Message(data)),
            b'5' => Ok(Packet::Upgrade),
            b'6' => Ok(Packet::Noop),
            unknown => Err(PacketError::UnknownType(unknown)),
        }
    }

    /// Appends the text of the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, data) = match *self {
            Packet::Open(data) => (b'0', data),
            Packet::Close => (b'1', ""),
            Packet::Ping(data) => (b'2', data),
            Packet::Pong(data) => (b'3', data),
            Packet::Message(data) => (b'4', data),
            Packet::Upgrade => (b'5', ""),
            Packet::Noop => (b'6', ""),
        };
        out.push(kind);
        out.extend_from_slice(data.as_bytes());
    }
}

/// A session's parameters, the JSON of the open packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The session's id, never empty once decoded.
    pub sid: String,
    /// The transports that the client may change to.
    pub upgrades: Vec<String>,
    /// The time between two pings.
    pub ping_interval_ms: u32,
    /// How long the answer to a ping may take.
    pub ping_timeout_ms: u32,
    /// The most bytes of a message or of a polling payload; version 3 does not send it.
    pub max_payload_bytes: Option<u64>,
}

impl Open {
    /// Reads the JSON of an open packet; members it does not know are passed over.
    pub fn decode(json: &str) -> Result<Self, PacketError> {
        let open: OpenJson = serde_json::from_str(json).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => PacketError::BadData(OPEN_SHAPE),
            _ => PacketError::NotJson,
        })?;
        if open.sid.is_empty() {
            return Err(PacketError::BadData(OPEN_SHAPE));
        }
        Ok(Self {
            sid: open.sid,
            upgrades: open.upgrades,
            ping_interval_ms: open.ping_interval,
            ping_timeout_ms: open.ping_timeout,
            max_payload_bytes: open.max_payload,
        })
    }

    /// Appends the JSON alone, without the packet's type: push `b'0'` before it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let json = OpenJson {
            sid: self.sid.as_str(),
            upgrades: self.upgrades.as_slice(),
            ping_interval: self.ping_interval_ms,
            ping_timeout: self.ping_timeout_ms,
            max_payload: self.max_payload_bytes,
        };
        serde_json::to_writer(out, &json).expect("strings and numbers into a Vec cannot fail");
    }
}

/// Open packets that differ in their session's id alone, so that the rest is written once.
#[derive(Clone, Debug)]
pub struct PreparedOpen {
    before_sid: Vec<u8>,
    after_sid: Vec<u8>,
}

impl PreparedOpen {
    /// Prepares `open`, whose own `sid` does not count.
    pub fn new(open: &Open) -> Self {
        let mut before_sid = Vec::new();
        Open { sid: String::new(), ..open.clone() }.encode(&mut before_sid);
        // The id comes first.
        let quotes = before_sid.windows(2).position(|two| two == b"\"\"");
        let after_sid = before_sid.split_off(quotes.expect("an empty id is there") + 1);
        Self { before_sid, after_sid }
    }

    /// Appends the JSON alone, as [`Open::encode`] does, for the session `sid`, which is to need no escape in JSON.
    pub fn encode(&self, sid: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before_sid);
        out.extend_from_slice(sid.as_bytes());
        out.extend_from_slice(&self.after_sid);
    }
}

const OPEN_SHAPE: &str = "an object with sid, upgrades, pingInterval and pingTimeout";

/// The open packet as it is on the wire; owned when read, borrowed when written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OpenJson<S = String, U = Vec<String>> {
    sid: S,
    upgrades: U,
    ping_interval: u32,
    ping_timeout: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_payload: Option<u64>,
}

/// What a server answers over HTTP to a request it cannot serve: `{"code":n,"message":"..."}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpError {
    /// `transport` names none that is spoken.
    UnknownTransport,
    /// `sid` names no session.
    UnknownSid,
    /// A handshake with another method than GET.
    BadHandshakeMethod,
    /// Anything else that cannot be understood.
    BadRequest,
    /// The server refuses this client.
    Forbidden,
    /// `EIO` names no version that is spoken.
    UnsupportedProtocolVersion,
}

impl HttpError {
    /// Every error, in the order of their codes.
    pub const ALL: [Self; 6] = [
        Self::UnknownTransport,
        Self::UnknownSid,
        Self::BadHandshakeMethod,
        Self::BadRequest,
        Self::Forbidden,
        Self::UnsupportedProtocolVersion,
    ];

    /// The HTTP status: 403 for [`Forbidden`](HttpError::Forbidden), else 400.
    pub fn status(self) -> u16 {
        match self {
            HttpError::Forbidden => 403,
            _ => 400,
        }
    }

    /// The protocol's number for the error, 0 to 5.
    pub fn code(self) -> u8 {
        match self {
            HttpError::UnknownTransport => 0,
            HttpError::UnknownSid => 1,
            HttpError::BadHandshakeMethod => 2,
            HttpError::BadRequest => 3,
            HttpError::Forbidden => 4,
            HttpError::UnsupportedProtocolVersion => 5,
        }
    }

    /// The reference implementation's message.
    pub fn message(self) -> &'static str {
        match self {
            HttpError::UnknownTransport => "Transport unknown",
            HttpError::UnknownSid => "Session ID unknown",
            HttpError::BadHandshakeMethod => "Bad handshake method",
            HttpError::BadRequest => "Bad request",
            HttpError::Forbidden => "Forbidden",
            HttpError::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }

    /// The error in a body, where it has the protocol's shape.
    pub fn from_body(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            code: u8,
        }
        let body: Body = serde_json::from_slice(body).ok()?;
        Self::ALL.into_iter().find(|error| error.code() == body.code)
    }

    /// The whole body, JSON.
    pub fn body(self) -> &'static str {
        match self {
            HttpError::UnknownTransport => r#"{"code":0,"message":"Transport unknown"}"#,
            HttpError::UnknownSid => r#"{"code":1,"message":"Session ID unknown"}"#,
            HttpError::BadHandshakeMethod => r#"{"code":2,"message":"Bad handshake method"}"#,
            HttpError::BadRequest => r#"{"code":3,"message":"Bad request"}"#,
            HttpError::Forbidden => r#"{"code":4,"message":"Forbidden"}"#,
            HttpError::UnsupportedProtocolVersion => r#"{"code":5,"message":"Unsupported protocol version"}"#,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_recognised_by_their_bodies() {
        for error in HttpError::ALL {
            assert_eq!(HttpError::from_body(error.body().as_bytes()), Some(error));
        }
        for body in ["", "Bad Request", "{}", r#"{"code":6}"#, r#"{"code":"1"}"#] {
            assert_eq!(HttpError::from_body(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn first_character_is_the_type_of_a_packet() {
        for (text, expected, why) in [
            ("0{}", Ok(Packet::Open("{}")), "open"),
            ("1", Ok(Packet::Close), "close"),
            ("2", Ok(Packet::Ping("")), "a heartbeat"),
            ("2probe", Ok(Packet::Ping("probe")), "a probe"),
            ("3probe", Ok(Packet::Pong("probe")), "its answer"),
            ("4€", Ok(Packet::Message("€")), "a message, beyond ASCII"),
            ("5", Ok(Packet::Upgrade), "upgrade"),
            ("6", Ok(Packet::Noop), "noop"),
            ("6x", Ok(Packet::Noop), "data without a meaning"),
            ("", Err(PacketError::Empty), "nothing"),
            ("7", Err(PacketError::UnknownType(b'7')), "no such type"),
            ("€", Err(PacketError::UnknownType(0xe2)), "no type in several bytes"),
        ] {
            assert_eq!(Packet::decode(text), expected, "{why}");
        }
    }

    #[test]
    fn binary_messages_differ_by_version() {
        for (version, bytes, expected, why) in [
            (Version::V4, &[1, 2][..], Ok(&[1, 2][..]), "bare"),
            (Version::V4, &[], Ok(&[]), "empty and bare"),
            (Version::V3, &[4, 1, 2], Ok(&[1, 2]), "behind the type"),
            (Version::V3, &[4], Ok(&[]), "empty behind the type"),
            (Version::V3, &[], Err(PacketError::Empty), "the type is missing"),
            (Version::V3, b"4", Err(PacketError::UnknownType(b'4')), "a digit is no number"),
        ] {
            assert_eq!(decode_binary(version, bytes), expected, "{why}");
        }
    }

    #[test]
    fn open_is_read_and_written() {
        let v4 = r#"{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        let v3 = r#"{"sid":"a","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":5000}"#;
        for json in [v4, v3] {
            let mut out = Vec::new();
            Open::decode(json).unwrap().encode(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), json);
        }
        assert_eq!(Open::decode(v3).unwrap().max_payload_bytes, None, "version 3 does not send it");
        let bad = Err(PacketError::BadData(OPEN_SHAPE));
        for (json, expected, why) in [
            ("{", Err(PacketError::NotJson), "cut"),
            ("", Err(PacketError::NotJson), "empty"),
            ("[]", bad.clone(), "no object"),
            (&v4.replace("25000", "-1"), bad.clone(), "no time"),
            (&v4.replace("25000", "\"25000\""), bad.clone(), "no number"),
            (&v4.replace(r#""a""#, r#""""#), bad.clone(), "an empty sid names no session"),
            (&v4.replace("sid", "id"), bad, "no sid"),
        ] {
            assert_eq!(Open::decode(json), expected, "{why}");
        }
    }

    #[test]
    fn version_is_the_number_in_the_query() {
        for (eio, version) in [("3", Some(Version::V3)), ("4", Some(Version::V4)), ("5", None), ("", None)] {
            assert_eq!(Version::from_query(eio), version);
            assert!(version.is_none_or(|version| version.number().to_string() == eio));
        }
    }

    #[test]
    fn http_errors_carry_code_and_message() {
        use HttpError::*;
        for (code, error) in
            [UnknownTransport, UnknownSid, BadHandshakeMethod, BadRequest, Forbidden, UnsupportedProtocolVersion]
                .into_iter()
                .enumerate()
        {
            let body = format!(r#"{{"code":{code},"message":"{}"}}"#, error.message());
            assert_eq!(error.body(), body);
            assert_eq!(usize::from(error.code()), code);
            assert_eq!(error.status(), if code == 4 { 403 } else { 400 });
        }
    }
}
