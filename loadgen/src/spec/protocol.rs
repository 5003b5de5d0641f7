//! The protocol of a socket, its transport, and where the handshake holds the token.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use wire::engineio::Version;

use crate::ground::values::ValueError;
use crate::spec::header::is_token_byte;

/// The protocol of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Protocol {
    /// RFC 6455 alone.
    WebSocket,
    /// Socket.IO over this version of Engine.IO.
    SocketIo(Version),
}

impl Protocol {
    /// The version of Engine.IO; `None` for a raw WebSocket.
    pub fn engine_io(self) -> Option<Version> {
        match self {
            Self::WebSocket => None,
            Self::SocketIo(version) => Some(version),
        }
    }
}

/// 0 for a raw WebSocket, else the version of Engine.IO.
impl From<Protocol> for u8 {
    fn from(protocol: Protocol) -> Self {
        protocol.engine_io().map_or(0, Version::number)
    }
}

impl TryFrom<u8> for Protocol {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::WebSocket),
            3 => Ok(Self::SocketIo(Version::V3)),
            4 => Ok(Self::SocketIo(Version::V4)),
            _ => Err("a protocol is 0 for a raw WebSocket, or the version of Engine.IO, 3 or 4"),
        }
    }
}

/// How Engine.IO's packets travel.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Over a WebSocket from the beginning.
    #[value(name = "websocket")]
    WebSocket,
    /// By HTTP long-polling to the end.
    Polling,
    /// By polling at first, then over a WebSocket, as browsers do by default.
    Upgrade,
}

impl Transport {
    /// Whether a session begins by polling.
    pub fn polls(self) -> bool {
        self != Self::WebSocket
    }
}

/// Where a token travels in the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum TokenIn {
    /// A parameter of the query, by this name.
    Query(String),
    /// `Authorization: Bearer`.
    Header,
    /// `Sec-WebSocket-Protocol: gatecrash, bearer.<jwt>`.
    Subprotocol,
    /// A cookie by this name.
    Cookie(String),
    /// A field by this name in the payload of Socket.IO v5's connect packet.
    Auth(String),
}

impl FromStr for TokenIn {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (carrier, name) = match text.split_once(':') {
            Some((carrier, name)) => (carrier, Some(name)),
            None => (text, None),
        };
        let named = name.unwrap_or("token");
        let is_token = !named.is_empty() && named.bytes().all(is_token_byte);
        match (carrier, name) {
            ("query", _) if is_token => Ok(Self::Query(named.to_owned())),
            ("cookie", _) if is_token => Ok(Self::Cookie(named.to_owned())),
            ("auth", _) if is_token => Ok(Self::Auth(named.to_owned())),
            ("header", None) => Ok(Self::Header),
            ("subprotocol", None) => Ok(Self::Subprotocol),
            _ => Err(ValueError::new(
                text,
                "place for a token",
                "write query:NAME, header, subprotocol, cookie:NAME or auth:NAME, NAME of letters, digits, - _ and .",
            )),
        }
    }
}

impl TryFrom<String> for TokenIn {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<TokenIn> for String {
    fn from(place: TokenIn) -> Self {
        place.to_string()
    }
}

impl fmt::Display for TokenIn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(name) => write!(out, "query:{name}"),
            Self::Header => out.write_str("header"),
            Self::Subprotocol => out.write_str("subprotocol"),
            Self::Cookie(name) => write!(out, "cookie:{name}"),
            Self::Auth(name) => write!(out, "auth:{name}"),
        }
    }
}

/// Which protocol was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProtocolName {
    /// RFC 6455 alone.
    #[value(name = "websocket")]
    WebSocket,
    /// Socket.IO over Engine.IO.
    #[value(name = "socketio")]
    SocketIo,
}

/// A version of Engine.IO, as `--eio` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineIo(pub Version);

impl FromStr for EngineIo {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Version::from_query(text).map(Self).ok_or_else(|| {
            ValueError::new(text, "version of Engine.IO", "write 4 (Socket.IO 3 and 4) or 3 (Socket.IO 1 and 2)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carriers_are_named() {
        for (text, expected, why) in [
            ("query:token", Some(TokenIn::Query("token".into())), "as the original has it"),
            ("query", Some(TokenIn::Query("token".into())), "the usual name"),
            ("cookie:jwt", Some(TokenIn::Cookie("jwt".into())), "a cookie"),
            ("auth:token", Some(TokenIn::Auth("token".into())), "Socket.IO's payload"),
            ("header", Some(TokenIn::Header), "RFC 6750"),
            ("subprotocol", Some(TokenIn::Subprotocol), "what browsers can set"),
            ("header:X-Token", None, "the header is Authorization"),
            ("query:a&b", None, "would end the parameter"),
            ("query:", None, "a parameter has a name"),
            ("body", None, "a GET has none"),
        ] {
            assert_eq!(text.parse::<TokenIn>().ok(), expected, "{text:?}: {why}");
        }
    }
}
