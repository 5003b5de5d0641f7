//! Payloads of long-polling: several packets in the body of one HTTP message (engine.io-protocol, "Payload").
//!
//! | version | body | packets |
//! |---|---|---|
//! | 4 | text | joined by the byte 0x1e; a binary message is `b` and its base64 |
//! | 3 | text | `<length>:<packet>`, the length in UTF-16 units; a binary message is `b4` and its base64 |
//! | 3 | binary | 0 (text) or 1 (binary), the length's digits as bytes, 255, the packet; the length in bytes |

use std::borrow::Cow;

use crate::decimal::write_decimal;
use crate::engineio::version::{BINARY_MESSAGE, Version, decode_binary};
use crate::error::PacketError;

/// One packet of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'b> {
    /// What [`Packet::decode`](crate::engineio::Packet::decode) reads: its first character is the type.
    Text(Cow<'b, str>),
    /// A binary message, bare.
    Binary(Cow<'b, [u8]>),
}

/// Which of the two bodies a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// UTF-8; every peer reads it.
    Text,
    /// Bytes, in version 3 alone; a client that cannot read them sends `b64=1`.
    Binary,
}

/// Between two packets of version 4.
const SEPARATOR: u8 = 0x1e;
/// In front of a binary message's base64.
const BASE64: u8 = b'b';
/// The type of binary messages in version 3's text, a message's.
const MESSAGE: u8 = b'4';
/// In front of a text packet's length in version 3's binary form.
const TEXT_PACKET: u8 = 0;
/// In front of a binary packet's length.
const BINARY_PACKET: u8 = 1;
/// Behind that length.
const LENGTH_END: u8 = 255;
/// A length of more digits is above every limit on payloads.
const LENGTH_DIGITS_MAX: usize = 10;

/// Appends the payload of `items` and answers which form it has: binary only when `allowed` is, an item needs it, and
/// the version knows it. The caller gives no empty text item: no peer reads it.
pub fn encode_payload(version: Version, items: &[Item<'_>], allowed: Form, out: &mut Vec<u8>) -> Form {
    let has_binary = items.iter().any(|item| matches!(item, Item::Binary(_)));
    if version == Version::V3 && allowed == Form::Binary && has_binary {
        items.iter().for_each(|item| encode_bytes(item, out));
        return Form::Binary;
    }
    let mut base64 = String::new();
    let start = out.len();
    for item in items {
        let text = match item {
            Item::Text(text) => text,
            Item::Binary(bytes) => {
                base64.clear();
                encode_base64(version, bytes, &mut base64);
                base64.as_str()
            }
        };
        push_behind(version, text, out.len() > start, out);
    }
    Form::Text
}

/// Appends the text that carries `payload` as a message to a client that reads no bytes (it sends `b64=1`).
pub fn encode_base64(version: Version, payload: &[u8], out: &mut String) {
    out.push(BASE64.into());
    if version == Version::V3 {
        out.push(MESSAGE.into());
    }
    base64_simd::STANDARD.encode_append(payload, out);
}

/// Reads the text of one packet, which may be a binary message as base64: from a client that writes no bytes.
pub fn decode_text(version: Version, packet: &str) -> Result<Item<'_>, PacketError> {
    match version {
        Version::V3 => text_packet_v3(packet.as_bytes()),
        Version::V4 => text_packet_v4(packet.as_bytes()),
    }
}

/// Appends a packet to the payload that `payload` is, which is empty before the first.
pub fn push_text(version: Version, packet: &str, payload: &mut Vec<u8>) {
    push_behind(version, packet, !payload.is_empty(), payload);
}

fn push_behind(version: Version, packet: &str, others: bool, out: &mut Vec<u8>) {
    match version {
        Version::V4 if others => out.push(SEPARATOR),
        Version::V4 => {}
        Version::V3 => {
            write_decimal(out, packet.encode_utf16().count() as u64);
            out.push(b':');
        }
    }
    out.extend_from_slice(packet.as_bytes());
}

fn encode_bytes(item: &Item<'_>, out: &mut Vec<u8>) {
    let (kind, prefix, bytes) = match item {
        Item::Text(text) => (TEXT_PACKET, &[][..], text.as_bytes()),
        Item::Binary(bytes) => (BINARY_PACKET, &[BINARY_MESSAGE][..], &bytes[..]),
    };
    out.push(kind);
    let start = out.len();
    write_decimal(out, (prefix.len() + bytes.len()) as u64);
    for digit in &mut out[start..] {
        *digit -= b'0';
    }
    out.push(LENGTH_END);
    out.extend_from_slice(prefix);
    out.extend_from_slice(bytes);
}

/// Reads the packets of a payload one after the other, so that a payload of a million packets takes no memory.
///
/// The first error is the last item. A binary form in version 4, which has none, is an error.
pub fn decode_payload(version: Version, form: Form, body: &[u8]) -> Payload<'_> {
    Payload { version, form, rest: Some(body) }
}

/// The packets of a payload, in their order: see [`decode_payload`].
#[derive(Clone, Debug)]
pub struct Payload<'b> {
    version: Version,
    form: Form,
    /// What is still to be read; none at the end, and after an error.
    rest: Option<&'b [u8]>,
}

impl<'b> Iterator for Payload<'b> {
    type Item = Result<Item<'b>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let read = match (self.version, self.form) {
            (Version::V4, Form::Text) => split_v4(rest),
            (Version::V3, Form::Text) => split_v3(rest),
            (Version::V3, Form::Binary) => split_bytes(rest),
            (Version::V4, Form::Binary) => Err(PacketError::BadData("text, as payloads are")),
        };
        Some(read.map(|(item, rest)| {
            self.rest = rest;
            item
        }))
    }
}

/// A packet, and what follows it; none where the payload ends.
type Split<'b> = Result<(Item<'b>, Option<&'b [u8]>), PacketError>;

fn split_v4(body: &[u8]) -> Split<'_> {
    let end = body.iter().position(|&byte| byte == SEPARATOR);
    let (packet, rest) = match end {
        Some(end) => (&body[..end], body.get(end + 1..)),
        None => (body, None),
    };
    Ok((text_packet_v4(packet)?, rest))
}

fn text_packet_v4(packet: &[u8]) -> Result<Item<'_>, PacketError> {
    Ok(match packet {
        [] => return Err(PacketError::Empty),
        [BASE64, base64 @ ..] => Item::Binary(decode_base64(base64)?),
        text => Item::Text(utf8(text)?.into()),
    })
}

fn split_v3(body: &[u8]) -> Split<'_> {
    let colon = body.iter().take(LENGTH_DIGITS_MAX + 1);
    let colon = colon.enumerate().find(|(_, byte)| **byte == b':');
    let (digits, _) = colon.ok_or(PacketError::BadLength)?;
    let units = length(body[..digits].iter().map(|digit| digit.wrapping_sub(b'0')))?;
    let bytes = utf16_bytes(&body[digits + 1..], units).ok_or(PacketError::BadLength)?;
    let (packet, rest) = body[digits + 1..].split_at(bytes);
    let item = text_packet_v3(packet)?;
    Ok((item, Some(rest).filter(|rest| !rest.is_empty())))
}

fn split_bytes(body: &[u8]) -> Split<'_> {
    let (&kind, rest) = body.split_first().ok_or(PacketError::Empty)?;
    let mut within = rest.iter().take(LENGTH_DIGITS_MAX + 1);
    let digits = within.position(|&byte| byte == LENGTH_END);
    let digits = digits.ok_or(PacketError::BadLength)?;
    let bytes = length(rest[..digits].iter().copied())?;
    let packet = rest[digits + 1..].get(..bytes);
    let packet = packet.ok_or(PacketError::BadLength)?;
    let rest = &rest[digits + 1 + bytes..];
    let item = match kind {
        TEXT_PACKET => text_packet_v3(packet)?,
        BINARY_PACKET => Item::Binary(decode_binary(Version::V3, packet)?.into()),
        unknown => return Err(PacketError::UnknownType(unknown)),
    };
    Ok((item, Some(rest).filter(|rest| !rest.is_empty())))
}

/// A packet of version 3 as text, in either form: one may hold a binary message all the same.
fn text_packet_v3(packet: &[u8]) -> Result<Item<'_>, PacketError> {
    Ok(match packet {
        [] => return Err(PacketError::Empty),
        [BASE64, MESSAGE, base64 @ ..] => Item::Binary(decode_base64(base64)?),
        [BASE64, kind, ..] => return Err(PacketError::UnknownType(*kind)),
        text => Item::Text(utf8(text)?.into()),
    })
}

/// A number from its digits, which are values and no characters.
fn length(digits: impl ExactSizeIterator<Item = u8>) -> Result<usize, PacketError> {
    if digits.len() == 0 || digits.len() > LENGTH_DIGITS_MAX {
        return Err(PacketError::BadLength);
    }
    let mut number = 0_u64;
    for digit in digits {
        if digit > 9 {
            return Err(PacketError::BadLength);
        }
        number = number * 10 + u64::from(digit);
    }
    usize::try_from(number).map_err(|_| PacketError::BadLength)
}

/// How many bytes at the front of `text` are `units` of UTF-16; none where the text ends before, or a surrogate pair
/// would be cut. Bytes that are no UTF-8 are found later.
fn utf16_bytes(text: &[u8], units: usize) -> Option<usize> {
    let mut left = units;
    let mut bytes = 0;
    while left > 0 {
        let (char_bytes, char_units) = match text.get(bytes)? {
            0x00..0xc0 => (1, 1),
            0xc0..0xe0 => (2, 1),
            0xe0..0xf0 => (3, 1),
            0xf0.. => (4, 2),
        };
        left = left.checked_sub(char_units)?;
        bytes += char_bytes;
    }
    (bytes <= text.len()).then_some(bytes)
}

fn utf8(bytes: &[u8]) -> Result<&str, PacketError> {
    std::str::from_utf8(bytes).map_err(|_| PacketError::NotUtf8)
}

fn decode_base64(base64: &[u8]) -> Result<Cow<'_, [u8]>, PacketError> {
    let bytes = base64_simd::STANDARD.decode_to_vec(base64);
    bytes.map(Cow::Owned).map_err(|_| PacketError::NotBase64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Form::{Binary, Text};
    use PacketError::{BadLength, Empty, NotBase64, NotUtf8, UnknownType};
    use Version::{V3, V4};

    fn text(text: &str) -> Item<'_> {
        Item::Text(text.into())
    }

    fn binary(bytes: &[u8]) -> Item<'_> {
        Item::Binary(bytes.into())
    }

    #[test]
    fn payloads_are_the_examples_of_the_protocol_pages() {
        for (version, allowed, items, form, body, why) in [
            (V4, Binary, &[text("4hello"), text("2")][..], Text, &b"4hello\x1e2"[..], "version 4 joins"),
            (
                V4,
                Binary,
                &[text("4€"), binary(&[1, 2, 3, 4])],
                Text,
                "4€\u{1e}bAQIDBA==".as_bytes(),
                "and has no binary form",
            ),
            (V4, Text, &[text("6")], Text, b"6", "one packet alone"),
            (
                V3,
                Binary,
                &[text("4hello"), text("4€")],
                Text,
                "6:4hello2:4€".as_bytes(),
                "version 3 counts UTF-16 units",
            ),
            (V3, Text, &[text("4🚪")], Text, "3:4🚪".as_bytes(), "a pair is two"),
            (
                V3,
                Text,
                &[text("4€"), binary(&[1, 2, 3, 4])],
                Text,
                "2:4€10:b4AQIDBA==".as_bytes(),
                "base64 where the client asks for it",
            ),
            (
                V3,
                Binary,
                &[text("4€"), binary(&[1, 2, 3, 4])],
                Binary,
                b"\x00\x04\xff4\xe2\x82\xac\x01\x05\xff\x04\x01\x02\x03\x04",
                "the page's own example",
            ),
            (
                V3,
                Binary,
                &[binary(&[7; 11])],
                Binary,
                b"\x01\x01\x02\xff\x04\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07",
                "a length of two digits",
            ),
        ] {
            let mut out = Vec::new();
            assert_eq!(encode_payload(version, items, allowed, &mut out), form, "{why}");
            assert_eq!(out, body, "{why}");
            let read: Result<Vec<_>, _> = decode_payload(version, form, body).collect();
            assert_eq!(read.as_deref(), Ok(items), "{why}");
        }
    }

    #[test]
    fn a_payload_grows_packet_by_packet() {
        for (version, whole) in [(V4, "41\u{1e}4€"), (V3, "2:412:4€")] {
            let mut payload = Vec::new();
            push_text(version, "41", &mut payload);
            push_text(version, "4€", &mut payload);
            assert_eq!(payload, whole.as_bytes());
        }
    }

    #[test]
    fn malformed_payloads_are_refused() {
        for (version, form, body, error, why) in [
            (V4, Text, &b""[..], Empty, "nothing"),
            (V4, Text, b"\x1e4", Empty, "nothing in front"),
            (V4, Text, b"4a\x1e", Empty, "nothing behind"),
            (V4, Text, b"b###", NotBase64, "no base64"),
            (V4, Text, b"4\xff", NotUtf8, "no UTF-8"),
            (V3, Text, b"", BadLength, "nothing"),
            (V3, Text, b"abc", BadLength, "no length"),
            (V3, Text, b":4", BadLength, "an empty length"),
            (V3, Text, b"-1:4", BadLength, "below zero"),
            (V3, Text, b"99999999999:4", BadLength, "more digits than any payload"),
            (V3, Text, b"3:4a", BadLength, "longer than the body"),
            (V3, Text, "2:4🚪".as_bytes(), BadLength, "half a pair"),
            (V3, Text, b"0:", Empty, "no packet"),
            (V3, Text, b"2:4a1", BadLength, "a length without a packet"),
            (V3, Text, b"2:4\xe2", BadLength, "half a character"),
            (V3, Text, b"6:b2AQID", UnknownType(b'2'), "a binary ping"),
            (V3, Binary, b"", Empty, "nothing"),
            (V3, Binary, b"\x02\x01\xff4", UnknownType(2), "neither text nor binary"),
            (V3, Binary, b"\x00\x0a\xff4", BadLength, "ten is no digit"),
            (V3, Binary, b"\x00\x09\xff4", BadLength, "longer than the body"),
            (V3, Binary, b"\x00\x01", BadLength, "the length does not end"),
            (V3, Binary, b"\x01\x01\xff\x02", UnknownType(2), "a binary ping"),
            (V3, Binary, b"\x00\x06\xffb2AQID", UnknownType(b'2'), "the same as text"),
        ] {
            let last = decode_payload(version, form, body).last();
            assert_eq!(last, Some(Err(error)), "{why}");
        }
        let last = decode_payload(V4, Binary, b"4").last();
        assert!(matches!(last, Some(Err(PacketError::BadData(_)))));
    }
}
