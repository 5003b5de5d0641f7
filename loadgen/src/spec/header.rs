//! Headers that users add to the handshake.

use std::str::FromStr;

use crate::ground::values::ValueError;

/// A header as `Name: value`, fit to be sent with a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderText {
    /// A token of RFC 9110 section 5.6.2, none of those that the handshake itself writes.
    pub name: String,
    /// Visible ASCII, spaces and tabs.
    pub value: String,
}

/// What RFC 6455 section 4.1 has the client write by itself, and what would give a GET a body. `Host` is not among them:
/// a proxy may need another.
const HANDSHAKE_HEADERS: [&str; 7] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "content-length",
    "transfer-encoding",
];

impl FromStr for HeaderText {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = |allowed| ValueError::new(text, "header", allowed);
        let (name, value) = text.split_once(':').ok_or_else(|| error("write `Name: value`"))?;
        let value = value.trim();
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(error("its name must be of letters, digits and -"));
        }
        if !value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
            return Err(error("its value must be of printable ASCII"));
        }
        if HANDSHAKE_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(error("the handshake writes that one itself"));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// A byte of a token: RFC 9110 section 5.6.2, less those that mean something in a query.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_stay_one_line_and_leave_the_handshake_alone() {
        for (text, ok) in [
            ("X-Tenant: a b", true),
            ("Origin:https://example.org", true),
            ("X-Tenant", false),
            (": a", false),
            ("X: a\r\nHost: b", false),
            ("Upgrade: h2c", false),
            ("sec-websocket-key: a", false),
            ("Host: example.org", true),
        ] {
            assert_eq!(text.parse::<HeaderText>().is_ok(), ok, "{text:?}");
        }
    }
}
