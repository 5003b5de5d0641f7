//! Socket.IO packets, versions 4 and 5 of the protocol (socket.io-protocol).
//!
//! ```text
//! <type>[<attachments>-][<namespace>,][<acknowledgement id>][<JSON>]
//! ```
//!
//! The JSON stays text: an echo or a router has no need of values. Each attachment is a binary message of its own
//! after the packet.
//!
//! ```
//! use wire::socketio::{Kind, Packet};
//!
//! let packet = Packet::decode(r#"2/admin,7["echo",1]"#)?;
//! assert_eq!((packet.kind, packet.namespace, packet.id), (Kind::Event, "/admin", Some(7)));
//! assert_eq!(packet.event_name().as_deref(), Some("echo"));
//! # Ok::<(), wire::socketio::PacketError>(())
//! ```

mod data;
mod kind;

use std::borrow::Cow;

use crate::decimal::write_decimal;
pub use crate::error::PacketError;
pub use crate::limits::{ATTACHMENTS_MAX, NESTING_MAX};
pub use kind::Kind;

/// One packet, borrowed from the message it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'b> {
    /// What it is.
    pub kind: Kind,
    /// How many binary messages belong to it, at most [`ATTACHMENTS_MAX`]; 0 unless the kind is binary.
    pub attachments: u32,
    /// `/` when unnamed. Starts with `/`, holds no comma. In version 4 it may end in a query: `/admin?x=1`.
    pub namespace: &'b str,
    /// The acknowledgement id, always there in an acknowledgement.
    pub id: Option<u64>,
    /// JSON as it was sent, or empty where there was none.
    pub data: &'b str,
}

impl<'b> Packet<'b> {
    /// Reads one packet and checks that its data is JSON of the right shape: an event is an array that starts with a
    /// string or a number, an acknowledgement an array with an id, a connect packet holds nothing or an object, a
    /// disconnect packet nothing.
    pub fn decode(text: &'b str) -> Result<Self, PacketError> {
        let digit = *text.as_bytes().first().ok_or(PacketError::Empty)?;
        let kind = Kind::from_digit(digit).ok_or(PacketError::UnknownType(digit))?;
        let rest = text.get(1..).unwrap_or_default();
        let (attachments, rest) = if kind.is_binary() { split_attachments(rest)? } else { (0, rest) };
        let (namespace, rest) = split_namespace(rest);
        let (id, data) = split_id(rest)?;
        data::check(kind, id, data)?;
        Ok(Self { kind, attachments, namespace, id, data })
    }

    /// Appends the text of the packet. The caller keeps to the rules of the fields; the root namespace
    /// (`/` or empty) is left out, and so is the attachment count of a kind that has none.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(!self.namespace.contains(','), "a comma ends a namespace");
        out.push(self.kind.digit());
        if self.kind.is_binary() {
            write_decimal(out, self.attachments.into());
            out.push(b'-');
        }
        if !matches!(self.namespace, "/" | "") {
            out.extend_from_slice(self.namespace.as_bytes());
            out.push(b',');
        }
        if let Some(id) = self.id {
            write_decimal(out, id);
        }
        out.extend_from_slice(self.data.as_bytes());
    }

    /// The name of an event, unescaped where it must be (the only case that allocates); a number's digits where the
    /// name is one. `None` for every other kind of packet, and for a name that is no text: JSON can escape half a
    /// surrogate pair.
    pub fn event_name(&self) -> Option<Cow<'b, str>> {
        if !matches!(self.kind, Kind::Event | Kind::BinaryEvent) {
            return None;
        }
        data::event_name(self.data)
    }
}

/// `<digits>-`, always there in a binary packet.
fn split_attachments(text: &str) -> Result<(u32, &str), PacketError> {
    let (digits, rest) = text.split_once('-').ok_or(PacketError::BadAttachments)?;
    let attachments = parse_digits(digits)
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| *count <= ATTACHMENTS_MAX)
        .ok_or(PacketError::BadAttachments)?;
    Ok((attachments, rest))
}

/// `/name,`, where the comma is missing if nothing follows.
fn split_namespace(text: &str) -> (&str, &str) {
    if text.starts_with('/') { text.split_once(',').unwrap_or((text, "")) } else { ("/", text) }
}

/// The digits in front of the JSON. A number that is the JSON cannot be distinguished from an id, and counts as one.
fn split_id(text: &str) -> Result<(Option<u64>, &str), PacketError> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    let id = parse_digits(digits).ok_or(PacketError::BadId)?;
    Ok((Some(id), rest))
}

/// Digits alone, without the sign that `parse` would allow.
fn parse_digits(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: (Kind, u32, &str, Option<u64>, &str), why: &str) {
        let (kind, attachments, namespace, id, data) = expected;
        let packet = Packet { kind, attachments, namespace, id, data };
        assert_eq!(Packet::decode(text), Ok(packet), "{why}");
    }

    #[test]
    fn packets_of_the_protocol_page_are_decoded() {
        use Kind::*;
        let event = r#"["a",{"_placeholder":true,"num":0}]"#;
        for (text, kind, namespace, id, data, why) in [
            ("0", Connect, "/", None, "", "version 4 joins the root"),
            (r#"0{"a":1}"#, Connect, "/", None, r#"{"a":1}"#, "version 5"),
            ("0/b,{}", Connect, "/b", None, "{}", "a namespace"),
            ("0/b", Connect, "/b", None, "", "without its comma"),
            ("0/b?x=1,", Connect, "/b?x=1", None, "", "a query, version 4"),
            ("1/b,", Disconnect, "/b", None, "", "a disconnect"),
            (r#"2["a",1]"#, Event, "/", None, r#"["a",1]"#, "an event"),
            ("2[1]", Event, "/", None, "[1]", "a number as its name"),
            (r#"2/b,12["a"]"#, Event, "/b", Some(12), r#"["a"]"#, "asks"),
            ("2 [ 1]", Event, "/", None, " [ 1]", "space, as JSON allows"),
            ("312[]", Ack, "/", Some(12), "[]", "the answer"),
            (r#"4"no""#, ConnectError, "/", None, r#""no""#, "version 4"),
            ("4/b,{}", ConnectError, "/b", None, "{}", "version 5"),
        ] {
            check(text, (kind, 0, namespace, id, data), why);
        }
        check(&format!("51-{event}"), (BinaryEvent, 1, "/", None, event), "an attachment");
        check("62-/b,7[]", (BinaryAck, 2, "/b", Some(7), "[]"), "it all");
    }

    #[test]
    fn malformed_packets_are_refused() {
        let no_event = PacketError::BadData("an array that starts with an event's name");
        for (expected, rows) in [
            (PacketError::Empty, &[("", "nothing")][..]),
            (PacketError::UnknownType(b'7'), &[("7", "no such type")]),
            (PacketError::UnknownType(0xe2), &[("€", "several bytes")]),
            (
                PacketError::BadAttachments,
                &[
                    ("5[1]", "no count"),
                    ("5-[1]", "an empty count"),
                    ("5+1-[1]", "a sign"),
                    ("565-[1]", "more than allowed"),
                    ("599999999999-[1]", "more than a number holds"),
                ],
            ),
            (PacketError::BadId, &[("299999999999999999999[1]", "above 64 bits"), ("3[]", "an answer to what?")]),
            (PacketError::NotJson, &[("2[1", "cut"), ("2[1]x", "more than JSON")]),
            (
                no_event,
                &[
                    ("2", "no data"),
                    ("2[]", "no name"),
                    ("2[null]", "no name"),
                    ("2{}", "an object"),
                    ("2/admin[1]", "the comma is missing: all is namespace"),
                ],
            ),
            (PacketError::BadData("an array"), &[("31{}", "an answer")]),
            (PacketError::BadData("an object, or nothing"), &[("0[]", "no credentials")]),
            (PacketError::BadData("empty"), &[("1{}", "a disconnect carries nothing")]),
        ] {
            for (text, why) in rows {
                assert_eq!(Packet::decode(text), Err(expected), "{why}: {text}");
            }
        }
    }

    #[test]
    fn data_may_nest_as_deep_as_serde_json_parses() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        for (depth, expected, why) in [
            (NESTING_MAX, Ok(()), "as deep as allowed"),
            (NESTING_MAX + 1, Err(PacketError::TooDeep), "one too deep"),
            (100_000, Err(PacketError::TooDeep), "would end a stack"),
        ] {
            let json = nested(depth);
            let packet = format!("31{json}");
            assert_eq!(Packet::decode(&packet).map(|_| ()), expected, "{why}");
            let value = serde_json::from_str::<serde_json::Value>(&json);
            assert_eq!(value.is_ok(), expected.is_ok(), "{why}");
        }
    }
}
