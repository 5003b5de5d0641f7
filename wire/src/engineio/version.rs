//! The versions of the protocol, and binary frames, in which they differ.

use crate::error::PacketError;

/// The version of the protocol, the value of `EIO` in the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Spoken by Socket.IO 1 and 2. The client pings.
    V3,
    /// Spoken by Socket.IO 3 and 4. The server pings.
    V4,
}

impl Version {
    /// The version that a query's `EIO` asks for, if there is such a one.
    pub fn from_query(eio: &str) -> Option<Self> {
        match eio {
            "3" => Some(Version::V3),
            "4" => Some(Version::V4),
            _ => None,
        }
    }

    /// The value of `EIO`: 3 or 4.
    pub fn number(self) -> u8 {
        match self {
            Version::V3 => 3,
            Version::V4 => 4,
        }
    }
}

/// The type byte in front of version 3's binary messages: the number 4, not its digit.
pub(super) const BINARY_MESSAGE: u8 = 4;

/// The payload of a binary frame, which is always a message: bare in version 4, behind a type byte in version 3.
pub fn decode_binary(version: Version, bytes: &[u8]) -> Result<&[u8], PacketError> {
    match (version, bytes) {
        (Version::V4, payload) | (Version::V3, [BINARY_MESSAGE, payload @ ..]) => Ok(payload),
        (Version::V3, []) => Err(PacketError::Empty),
        (Version::V3, [unknown, ..]) => Err(PacketError::UnknownType(*unknown)),
    }
}

/// Appends the content of the binary frame that carries `payload` as a message.
pub fn encode_binary(version: Version, payload: &[u8], out: &mut Vec<u8>) {
    if version == Version::V3 {
        out.push(BINARY_MESSAGE);
    }
    out.extend_from_slice(payload);
}
