//! What a peer can do wrong, protocol by protocol.
//!
//! Every error of this crate is the peer's fault: the caller's own are ruled out by types or named in the
//! docstrings of the encoders. The modules re-export the errors they return.

use crate::limits::{ATTACHMENTS_MAX, CONTROL_BYTES_MAX, HEADERS_MAX, NESTING_MAX};

/// A head that is no HTTP/1.1 head (RFC 9112). A server answers 400, a client gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The bytes break the grammar; the text names the place.
    #[error("the peer sent a malformed HTTP head: {0}")]
    Malformed(&'static str),
    /// More header fields than [`HEADERS_MAX`]. A server may answer 431.
    #[error("the peer sent more than {} header fields", HEADERS_MAX)]
    TooManyHeaders,
}

/// A body that is no sequence of chunks (RFC 9112 section 7.1), or is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes break the grammar; the text names the place. A server answers 400.
    #[error("the peer sent a malformed chunk: {0}")]
    Malformed(&'static str),
    /// The body, or the framing around it, is longer than the caller's limit. A server answers 413.
    #[error("the peer's chunks are too long")]
    TooLong,
}

/// Why a request is no WebSocket upgrade that can be granted (RFC 6455 section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// The method is not GET. A server answers 405.
    #[error("the client asked for an upgrade with a method other than GET")]
    NotGet,
    /// There is no Host field, or more than one.
    #[error("the client sent no Host field, or several")]
    NoHost,
    /// `Upgrade` does not name `websocket`, or `Connection` does not name `Upgrade`: a plain request. A server
    /// that has only a socket at this path answers 426.
    #[error("the client did not ask for an upgrade to websocket")]
    NoUpgrade,
    /// `Sec-WebSocket-Key` is missing, repeated, or not the base64 of 16 bytes.
    #[error("the client's Sec-WebSocket-Key is not the base64 of 16 bytes")]
    BadKey,
    /// `Sec-WebSocket-Version` is missing, repeated, or not 13. A server answers 426 with
    /// `Sec-WebSocket-Version: 13` (section 4.2.2).
    #[error("the client's Sec-WebSocket-Version is not 13")]
    BadVersion,
}

/// Why an answer to our upgrade request opens no WebSocket (RFC 6455 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeRefused {
    /// The server answered with this status in place of 101.
    #[error("the server answered the upgrade with status {0}")]
    Status(u16),
    /// A 101 whose `Upgrade` is not `websocket` or whose `Connection` does not name `Upgrade`.
    #[error("the server's 101 is no upgrade to websocket")]
    NoUpgrade,
    /// `Sec-WebSocket-Accept` is missing or does not belong to the key that was sent.
    #[error("the server's Sec-WebSocket-Accept does not belong to our key")]
    BadAccept,
    /// The server selected a subprotocol that was not offered, or several.
    #[error("the server selected a subprotocol that was not offered")]
    UnknownProtocol,
    /// The server selected an extension; none is ever offered.
    #[error("the server selected an extension that was not offered")]
    UnaskedExtension,
}

/// What breaks the framing (RFC 6455 sections 5 and 7). The connection is to be closed with
/// [`close_code`](ProtocolError::close_code); nothing after such a frame can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A reserved bit is set although no extension was agreed on (section 5.2).
    #[error("the peer set a reserved bit, with no extension agreed on")]
    Reserved,
    /// An opcode without a meaning: 3 to 7 or 11 to 15 (section 5.2).
    #[error("the peer sent the unknown opcode {0}")]
    UnknownOpcode(u8),
    /// A client's frame without a mask (section 5.1).
    #[error("the client sent a frame without a mask")]
    Unmasked,
    /// A server's frame with a mask (section 5.1).
    #[error("the server sent a frame with a mask")]
    Masked,
    /// A control frame that is not final (section 5.5).
    #[error("the peer fragmented a control frame")]
    FragmentedControl,
    /// A control frame with more than [`CONTROL_BYTES_MAX`] (section 5.5).
    #[error("the peer sent a control frame of more than {} bytes", CONTROL_BYTES_MAX)]
    LongControl,
    /// A length written in more bytes than it needs (section 5.2).
    #[error("the peer wrote a frame's length in more bytes than it needs")]
    LengthNotMinimal,
    /// A continuation frame while no message is unfinished (section 5.4).
    #[error("the peer continued a message that it never started")]
    NoMessageToContinue,
    /// A new message while another is unfinished (section 5.4).
    #[error("the peer started a message before it finished another")]
    MessageUnfinished,
    /// A frame, or a message put together from frames, above the limit that the decoder was made with.
    #[error("the peer sent a message of more than {limit} bytes")]
    TooLong {
        /// The most bytes that a message may have.
        limit: u32,
    },
    /// A text message or a close reason that is not UTF-8 (section 8.1).
    #[error("the peer sent text that is not UTF-8")]
    NotUtf8,
    /// A close code that must not be sent (section 7.4), such as 1005 or 999.
    #[error("the peer closed with the code {0}, which must not be sent")]
    BadClose(u16),
    /// A close payload of one byte: half a code (section 5.5.1).
    #[error("the peer closed with half a code")]
    CloseCutShort,
}

impl ProtocolError {
    /// What to close the connection with (RFC 6455 section 7.4.1): 1002 protocol error, 1007 inconsistent data,
    /// 1009 message too big.
    pub fn close_code(&self) -> u16 {
        match self {
            ProtocolError::NotUtf8 => 1007,
            ProtocolError::TooLong { .. } => 1009,
            _ => 1002,
        }
    }
}

/// What is wrong with an Engine.IO or a Socket.IO packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// No byte at all, where at least the type is due.
    #[error("the peer sent an empty packet")]
    Empty,
    /// The first byte is not the type of a packet.
    #[error("the peer sent a packet of the unknown type {0:#04x}")]
    UnknownType(u8),
    /// The length in front of a packet of a polling payload is missing, no number, or not that of what follows.
    #[error("the peer's payload has a packet whose length is wrong")]
    BadLength,
    /// Text that is not UTF-8.
    #[error("the peer's payload has text that is not UTF-8")]
    NotUtf8,
    /// A binary message of a text payload that is not base64.
    #[error("the peer's payload has a binary message that is not base64")]
    NotBase64,
    /// A binary packet's attachment count is missing, no number, or above
    /// [`ATTACHMENTS_MAX`].
    #[error("the peer's attachment count is not a number from 0 to {}", ATTACHMENTS_MAX)]
    BadAttachments,
    /// An acknowledgement id above 64 bits, or an acknowledgement without one.
    #[error("the peer's acknowledgement id is missing or above 64 bits")]
    BadId,
    /// The data is not JSON.
    #[error("the peer's packet data is not JSON")]
    NotJson,
    /// The data nests deeper than [`NESTING_MAX`].
    #[error("the peer's packet data nests deeper than {}", NESTING_MAX)]
    TooDeep,
    /// The data is JSON, or missing, but not what this type of packet carries.
    #[error("the peer's packet data is not {0}")]
    BadData(&'static str),
}
