//! The opening handshake of a WebSocket (RFC 6455 section 4) on both sides.

use base64_simd::{AsOut, STANDARD};
use sha1::{Digest, Sha1};

use crate::error::{UpgradeError, UpgradeRefused};
use crate::http::fields::{list_items, write_field, write_target, write_text};
use crate::http::request::RequestHead;
use crate::http::response::ResponseHead;

/// A request for an upgrade that keeps the rules of RFC 6455 section 4.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeRequest<'b> {
    /// `Sec-WebSocket-Key`: 24 characters, the base64 of 16 bytes.
    pub key: &'b str,
    /// The first `Sec-WebSocket-Protocol` field as it was sent; empty where there is none.
    pub protocols: &'b str,
}

impl<'b> UpgradeRequest<'b> {
    /// Checks method, `Host`, `Upgrade`, `Connection`, version and key, in this order. The caller checks `Origin`, the
    /// token and the subprotocol.
    pub fn from_head(head: &RequestHead<'b>) -> Result<Self, UpgradeError> {
        let fields = &head.fields;
        if head.method != "GET" {
            return Err(UpgradeError::NotGet);
        }
        if !head.has_one_host() {
            return Err(UpgradeError::NoHost);
        }
        if !fields.lists("Upgrade", "websocket") || !fields.lists("Connection", "Upgrade") {
            return Err(UpgradeError::NoUpgrade);
        }
        if fields.only_value("Sec-WebSocket-Version") != Some("13") {
            return Err(UpgradeError::BadVersion);
        }
        let key = fields.only_value("Sec-WebSocket-Key").filter(|key| is_key(key)).ok_or(UpgradeError::BadKey)?;
        Ok(Self { key, protocols: head.header("Sec-WebSocket-Protocol").unwrap_or_default() })
    }

    /// The offered subprotocols, in the client's order of preference.
    pub fn protocols(&self) -> impl Iterator<Item = &'b str> {
        list_items(self.protocols)
    }
}

impl ResponseHead<'_> {
    /// Checks that this is a valid 101 for the `key` that was sent, with one of the `offered` subprotocols or none, and
    /// without extensions, since none is ever offered (RFC 6455 section 4.1).
    pub fn check_upgrade(&self, key: &str, offered: &[&str]) -> Result<(), UpgradeRefused> {
        let fields = &self.fields;
        if self.status != 101 {
            return Err(UpgradeRefused::Status(self.status));
        }
        if !fields.lists("Upgrade", "websocket") || !fields.lists("Connection", "Upgrade") {
            return Err(UpgradeRefused::NoUpgrade);
        }
        let accepted = fields.only_value("Sec-WebSocket-Accept");
        if accepted.map(str::as_bytes) != Some(&accept_key(key)) {
            return Err(UpgradeRefused::BadAccept);
        }
        if fields.values("Sec-WebSocket-Extensions").flat_map(list_items).next().is_some() {
            return Err(UpgradeRefused::UnaskedExtension);
        }
        let mut selected = fields.values("Sec-WebSocket-Protocol");
        match (selected.next(), selected.next()) {
            (None, _) => Ok(()),
            (Some(protocol), None) if offered.contains(&protocol) => Ok(()),
            _ => Err(UpgradeRefused::UnknownProtocol),
        }
    }
}

/// Appends the 101 that accepts an upgrade (RFC 6455 section 4.2.2). `protocol` is one of the subprotocols that the
/// client offered.
pub fn write_switching_protocols(out: &mut Vec<u8>, key: &str, protocol: Option<&str>) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accept_key(key));
    out.extend_from_slice(b"\r\n");
    if let Some(protocol) = protocol {
        write_field(out, "Sec-WebSocket-Protocol", protocol);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the request for an upgrade (RFC 6455 section 4.1) with the fields `extra`. `key` comes from [`client_key`].
///
/// Spaces, control bytes and bytes beyond ASCII in `target` are percent-encoded; elsewhere control bytes become spaces, so
/// that no value can inject a line.
pub fn write_upgrade_request(out: &mut Vec<u8>, target: &str, host: &str, key: &str, extra: &[(&str, &str)]) {
    out.extend_from_slice(b"GET ");
    write_target(out, target);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    write_text(out, host);
    out.extend_from_slice(b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
    write_field(out, "Sec-WebSocket-Key", key);
    for (name, value) in extra {
        write_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// `Sec-WebSocket-Accept` for a key: base64(SHA-1(key + GUID)), ASCII (RFC 6455 section 4.2.2).
pub fn accept_key(key: &str) -> [u8; 28] {
    /// RFC 6455 section 1.3.
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest: [u8; 20] = Sha1::new().chain_update(key).chain_update(GUID).finalize().into();
    let mut accept = [0; 28];
    let _written = STANDARD.encode(&digest, accept.as_mut_slice().as_out());
    accept
}

/// `Sec-WebSocket-Key` out of 16 random bytes: base64, ASCII (RFC 6455 section 4.1).
pub fn client_key(random: [u8; 16]) -> [u8; 24] {
    let mut key = [0; 24];
    let _written = STANDARD.encode(&random, key.as_mut_slice().as_out());
    key
}

/// Whether this is the base64 of 16 bytes: 22 digits and two characters of padding. The last digit has four unused bits,
/// which may be set: RFC 4648 section 3.5 leaves that to the decoder, and only the text of a key is ever used.
fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==").map(str::as_bytes) else {
        return false;
    };
    // A fold without an early return, which the compiler can vectorise.
    <&[u8; 22]>::try_from(digits).is_ok_and(|digits| digits.iter().fold(true, |valid, byte| valid & is_digit(*byte)))
}

/// Whether the byte is a digit of base64 (RFC 4648 section 4).
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | (byte == b'+') | (byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    #[test]
    fn accept_key_is_the_example_of_the_rfc() {
        assert_eq!(accept_key(KEY), ACCEPT.as_bytes(), "section 1.3");
        assert_eq!(client_key(*b"the sample nonce"), KEY.as_bytes(), "section 1.3");
    }

    #[test]
    fn valid_and_invalid_keys_are_distinguished() {
        for (key, good, why) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", true, "16 bytes"),
            ("+/+/+/+/+/+/+/+/+/+/+/==", true, "the other two digits, spare bits set"),
            ("dGhlIHNhbXBsZSBub25jZQ", false, "no padding"),
            ("dGhlIHNhbXBsZSBub25jZQo=", false, "17 bytes"),
            ("dGhlIHNhbXBsZSBub25jZ-==", false, "base64url"),
            ("dGhlIHNhbXBsZSBub25jZ===", false, "padded too much"),
            ("", false, "empty"),
        ] {
            assert_eq!(is_key(key), good, "{why}");
        }
    }

    /// Each row replaces a part of a valid request; a line that becomes empty is removed.
    #[test]
    fn upgrade_request_must_keep_the_rules_of_the_rfc() {
        for (line, instead, expected, why) in [
            ("GET", "GET", Ok(()), "as the RFC has it"),
            ("GET", "POST", Err(UpgradeError::NotGet), "4.2.1 item 1"),
            ("Host: h", "", Err(UpgradeError::NoHost), "4.2.1 item 2"),
            ("Host: h", "Host: h\r\nHost: i", Err(UpgradeError::NoHost), "two hosts"),
            ("Upgrade: websocket", "", Err(UpgradeError::NoUpgrade), "4.2.1 item 3"),
            ("Upgrade: websocket", "upgrade: WebSocket", Ok(()), "case does not matter"),
            ("Upgrade: websocket", "Upgrade: h2c, websocket", Ok(()), "a list"),
            ("Upgrade: websocket", "Upgrade: h2c", Err(UpgradeError::NoUpgrade), "to another protocol"),
            ("Upgrade: websocket", "Upgrade: websockets", Err(UpgradeError::NoUpgrade), "a longer name"),
            ("Connection: Upgrade", "", Err(UpgradeError::NoUpgrade), "4.2.1 item 4"),
            ("Connection: Upgrade", "Connection: keep-alive, upgrade", Ok(()), "Firefox's list"),
            ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade", Ok(()), "a list over two fields"),
            ("Connection: Upgrade", "Connection: close", Err(UpgradeError::NoUpgrade), "another option"),
            ("Version: 13", "Version: 8", Err(UpgradeError::BadVersion), "4.2.1 item 6"),
            ("Sec-WebSocket-Version: 13", "", Err(UpgradeError::BadVersion), "no version"),
            ("Version: 13", "Version: 13, 8", Err(UpgradeError::BadVersion), "a list is not allowed"),
            ("Sec-WebSocket-Key", "X-Key", Err(UpgradeError::BadKey), "4.2.1 item 5"),
            (KEY, "dGhlIHNhbXBsZSBub25jZQ", Err(UpgradeError::BadKey), "no padding"),
            (KEY, "dGhlIHNhbXBsZSBub25jZQo=", Err(UpgradeError::BadKey), "17 bytes"),
            (KEY, "dGhlIHNhbXBsZSBub25jZ-==", Err(UpgradeError::BadKey), "base64url"),
            (KEY, "", Err(UpgradeError::BadKey), "empty"),
        ] {
            let text = format!(
                "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
            );
            assert!(text.contains(line), "{line}");
            let text = text.replacen(line, instead, 1).replace("\r\n\r\nU", "\r\nU");
            let text = drop_empty_lines(&text);
            let head = RequestHead::parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(UpgradeRequest::from_head(&head).map(|_| ()), expected, "{why}: {instead}");
        }
    }

    #[test]
    fn answer_to_an_upgrade_must_keep_the_rules_of_the_rfc() {
        let good = format!("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}");
        let with = |line: &str| format!("{good}\r\n{line}");
        let two_protocols = ["a", "b"].map(|name| format!("Sec-WebSocket-Protocol: {name}")).join("\r\n");
        let without = |line: &str| drop_empty_lines(&good.replace(line, ""));
        for (status, fields, expected, why) in [
            (101, good.clone(), Ok(()), "as the RFC has it"),
            (401, good.clone(), Err(UpgradeRefused::Status(401)), "refused"),
            (200, good.clone(), Err(UpgradeRefused::Status(200)), "no socket server"),
            (101, without("Upgrade: websocket"), Err(UpgradeRefused::NoUpgrade), "item 2"),
            (101, without("Connection: Upgrade"), Err(UpgradeRefused::NoUpgrade), "item 3"),
            (101, good.to_lowercase(), Err(UpgradeRefused::BadAccept), "the case of the key matters"),
            (101, good.replace(ACCEPT, "x"), Err(UpgradeRefused::BadAccept), "item 4"),
            (101, with("Sec-WebSocket-Extensions: x"), Err(UpgradeRefused::UnaskedExtension), "item 5"),
            (101, with("Sec-WebSocket-Extensions:"), Ok(()), "an empty list selects nothing"),
            (101, with("Sec-WebSocket-Protocol: a"), Ok(()), "an offered subprotocol"),
            (101, with("Sec-WebSocket-Protocol: c"), Err(UpgradeRefused::UnknownProtocol), "item 6"),
            (101, with(&two_protocols), Err(UpgradeRefused::UnknownProtocol), "only one can be selected"),
        ] {
            let text = format!("HTTP/1.1 {status} Status\r\n{fields}\r\n\r\n");
            let head = ResponseHead::parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(head.check_upgrade(KEY, &["a", "b"]), expected, "{why}");
        }
    }

    #[test]
    fn written_request_and_answer_are_accepted_by_the_other_side() {
        let mut sent = Vec::new();
        let extra = [("Sec-WebSocket-Protocol", "gatecrash, bearer.x")];
        write_upgrade_request(&mut sent, "/ws?a=b c\r\nX: é", "h\r\nEvil: 1", KEY, &extra);
        let head = RequestHead::parse(&sent).unwrap().unwrap();
        assert_eq!(head.bytes, sent.len());
        assert_eq!(head.target, "/ws?a=b%20c%0D%0AX:%20%C3%A9", "no space ends the target");
        assert_eq!(head.header("host"), Some("h  Evil: 1"), "no line is injected");
        let upgrade = UpgradeRequest::from_head(&head).unwrap();
        assert_eq!(upgrade.protocols().collect::<Vec<_>>(), ["gatecrash", "bearer.x"]);

        let mut answered = Vec::new();
        write_switching_protocols(&mut answered, upgrade.key, upgrade.protocols().next());
        let head = ResponseHead::parse(&answered).unwrap().unwrap();
        assert_eq!(head.bytes, answered.len());
        assert_eq!(head.check_upgrade(KEY, &["gatecrash"]), Ok(()));
    }

    /// Removes empty lines, but not the one at the end.
    fn drop_empty_lines(text: &str) -> String {
        let lines: Vec<_> = text.split("\r\n").filter(|line| !line.is_empty()).collect();
        let end = if text.ends_with("\r\n\r\n") { "\r\n\r\n" } else { "" };
        lines.join("\r\n") + end
    }
}
