//! The opening handshake of a WebSocket (RFC 6455 section 4), both sides of it.

use crate::error::{UpgradeError, UpgradeRefused};
use crate::http::fields::{list_items, write_field, write_target, write_text};
use crate::http::key::{accept_key, is_key};
use crate::http::request::RequestHead;
use crate::http::response::ResponseHead;

/// An upgrade asked for as RFC 6455 section 4.2.1 demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeRequest<'b> {
    /// `Sec-WebSocket-Key`: 24 characters, the base64 of 16 bytes.
    pub key: &'b str,
    /// `Sec-WebSocket-Protocol` as it was sent, empty if it was not. Of several such fields the first.
    pub protocols: &'b str,
}

impl<'b> UpgradeRequest<'b> {
    /// Checks method, `Host`, `Upgrade`, `Connection`, version and key, in this order. `Origin`, the token and the
    /// subprotocol are the caller's business.
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

    /// The subprotocols offered, in the client's order of preference.
    pub fn protocols(&self) -> impl Iterator<Item = &'b str> {
        list_items(self.protocols)
    }
}

impl ResponseHead<'_> {
    /// Whether this is a right 101 for the `key` that was sent, with a subprotocol out of `offered` or none
    /// (RFC 6455 section 4.1). No extension is ever offered.
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

/// Appends the 101 that grants an upgrade (RFC 6455 section 4.2.2). `protocol` is the subprotocol selected, one
/// of those the client offered.
pub fn write_switching_protocols(out: &mut Vec<u8>, key: &str, protocol: Option<&str>) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\n\
          Upgrade: websocket\r\n\
          Connection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accept_key(key));
    out.extend_from_slice(b"\r\n");
    if let Some(protocol) = protocol {
        write_field(out, "Sec-WebSocket-Protocol", protocol);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the request for an upgrade (RFC 6455 section 4.1): `GET target`, `host`, the upgrade fields, the `extra`
/// ones.
///
/// `key` comes from [`client_key`](crate::http::client_key). In `target`, which goes out as it is, spaces, control bytes
/// and bytes beyond ASCII are percent-encoded; in the others control bytes become spaces: nothing can inject a line.
pub fn write_upgrade_request(out: &mut Vec<u8>, target: &str, host: &str, key: &str, extra: &[(&str, &str)]) {
    out.extend_from_slice(b"GET ");
    write_target(out, target);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    write_text(out, host);
    out.extend_from_slice(
        b"\r\n\
          Upgrade: websocket\r\n\
          Connection: Upgrade\r\n\
          Sec-WebSocket-Version: 13\r\n",
    );
    write_field(out, "Sec-WebSocket-Key", key);
    for (name, value) in extra {
        write_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    /// Every row changes one line of a good request; an empty line takes it away.
    #[test]
    fn a_request_is_held_to_the_rfc() {
        for (line, instead, expected, why) in [
            ("GET", "GET", Ok(()), "as the RFC has it"),
            ("GET", "POST", Err(UpgradeError::NotGet), "4.2.1 item 1"),
            ("Host: h", "", Err(UpgradeError::NoHost), "4.2.1 item 2"),
            ("Host: h", "Host: h\r\nHost: i", Err(UpgradeError::NoHost), "two hosts"),
            ("Upgrade: websocket", "", Err(UpgradeError::NoUpgrade), "4.2.1 item 3"),
            ("Upgrade: websocket", "upgrade: WebSocket", Ok(()), "case does not matter"),
            ("Upgrade: websocket", "Upgrade: h2c, websocket", Ok(()), "a list"),
            ("Upgrade: websocket", "Upgrade: h2c", Err(UpgradeError::NoUpgrade), "to another"),
            ("Upgrade: websocket", "Upgrade: websockets", Err(UpgradeError::NoUpgrade), "longer"),
            ("Connection: Upgrade", "", Err(UpgradeError::NoUpgrade), "4.2.1 item 4"),
            ("Connection: Upgrade", "Connection: keep-alive, upgrade", Ok(()), "Firefox's list"),
            ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade", Ok(()), "a list over two fields"),
            ("Connection: Upgrade", "Connection: close", Err(UpgradeError::NoUpgrade), "no"),
            ("Version: 13", "Version: 8", Err(UpgradeError::BadVersion), "4.2.1 item 6"),
            ("Sec-WebSocket-Version: 13", "", Err(UpgradeError::BadVersion), "none"),
            ("Version: 13", "Version: 13, 8", Err(UpgradeError::BadVersion), "no list here"),
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
    fn an_answer_is_held_to_the_rfc() {
        let good = format!("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}");
        let with = |line: &str| format!("{good}\r\n{line}");
        let without = |line: &str| drop_empty_lines(&good.replace(line, ""));
        for (status, fields, expected, why) in [
            (101, good.clone(), Ok(()), "as the RFC has it"),
            (401, good.clone(), Err(UpgradeRefused::Status(401)), "refused"),
            (200, good.clone(), Err(UpgradeRefused::Status(200)), "no socket server"),
            (101, without("Upgrade: websocket"), Err(UpgradeRefused::NoUpgrade), "item 2"),
            (101, without("Connection: Upgrade"), Err(UpgradeRefused::NoUpgrade), "item 3"),
            (101, good.to_lowercase(), Err(UpgradeRefused::BadAccept), "its case matters"),
            (101, good.replace(ACCEPT, "x"), Err(UpgradeRefused::BadAccept), "item 4"),
            (
                101,
                with("Sec-WebSocket-Extensions: permessage-deflate"),
                Err(UpgradeRefused::UnaskedExtension),
                "item 5",
            ),
            (101, with("Sec-WebSocket-Extensions:"), Ok(()), "an empty list selects nothing"),
            (101, with("Sec-WebSocket-Protocol: a"), Ok(()), "offered"),
            (101, with("Sec-WebSocket-Protocol: c"), Err(UpgradeRefused::UnknownProtocol), "item 6"),
            (
                101,
                with("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b"),
                Err(UpgradeRefused::UnknownProtocol),
                "only one can be selected",
            ),
        ] {
            let text = format!("HTTP/1.1 {status} Status\r\n{fields}\r\n\r\n");
            let head = ResponseHead::parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(head.check_upgrade(KEY, &["a", "b"]), expected, "{why}");
        }
    }

    #[test]
    fn what_one_side_writes_the_other_takes() {
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

    /// Takes away the lines that a row emptied, but not the blank line at the end.
    fn drop_empty_lines(text: &str) -> String {
        let lines: Vec<_> = text.split("\r\n").filter(|line| !line.is_empty()).collect();
        let end = if text.ends_with("\r\n\r\n") { "\r\n\r\n" } else { "" };
        lines.join("\r\n") + end
    }
}
