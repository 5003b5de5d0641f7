//! The state of one connection, and what goes in and out of it besides bytes.

use wire::engineio::Open;
use wire::frame::Decoder;

use crate::ground::outcome::FailureKind;
use crate::ground::values::Token;
use crate::spec::MESSAGE_BYTES_MAX;

/// The longest message that is accepted from a target: the longest message that is sent, and its packet headers.
pub const ANSWER_BYTES_MAX: u32 = MESSAGE_BYTES_MAX as u32 + 100_000;

/// A client sends heartbeats no more often than this, whatever interval a server announces: a peer must not be able to
/// make the generator spin.
pub const HEARTBEAT_MS_MIN: u32 = 100;

/// Close codes (RFC 6455 section 7.4.1).
pub(super) const NORMAL: u16 = 1000;
pub(super) const PROTOCOL_ERROR: u16 = 1002;
pub(super) const NO_CODE: u16 = 1005;
pub(super) const NO_CLOSE_FRAME: u16 = 1006;

/// The protocol's part of one socket.
#[derive(Debug)]
pub struct Connection {
    pub(super) decoder: Decoder,
    /// Engine.IO 3's ping interval once it is known, at least [`HEARTBEAT_MS_MIN`]; zero: this side sends none.
    pub(super) heartbeat_ms: u32,
    pub(super) stage: Stage,
    /// Bytes of the answer to the upgrade have arrived.
    pub(super) answer_begun: bool,
    pub(super) carrier: Carrier,
}

/// What carries packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// WebSocket frames.
    WebSocket,
    /// Payloads of HTTP requests and answers.
    Polling,
    /// WebSocket frames of a connection that a polling session may move to.
    Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// TCP or TLS is not up yet.
    Connecting,
    /// The upgrade request is sent, its answer is due.
    Upgrading,
    /// Raw WebSocket: upgraded, and possibly still to be refused by a close frame.
    Grace,
    /// Probe: upgraded, the answer to its ping is due.
    Probing,
    /// Socket.IO: Engine.IO's open packet is due.
    Opening,
    /// Socket.IO: the answer to the connect packet is due.
    Joining,
    /// Established.
    Open,
    /// Our close frame is sent, the peer's is due.
    Closing,
    /// Nothing more is sent; input is ignored.
    Closed,
}

impl Stage {
    /// Whether the upgrade is done and the target has not decided yet.
    pub(super) fn is_undecided(self) -> bool {
        matches!(self, Self::Probing | Self::Grace | Self::Opening | Self::Joining)
    }
}

/// The token and the key of one handshake.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Sent where the profile says; `None`: an arrival without a token.
    pub token: Option<Token>,
    /// `Sec-WebSocket-Key`.
    pub key: [u8; 24],
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Awaited<'a> {
    /// The credentials of its handshake, until that is over.
    pub credentials: Option<&'a Credentials>,
    /// The number of the message whose answer is due.
    pub message: Option<u64>,
}

impl<'a> Awaited<'a> {
    pub(super) fn token(self) -> Option<&'a str> {
        self.credentials?.token.as_deref()
    }
}

/// The result of one step through the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that were used.
    pub used: usize,
    /// The event that they caused.
    pub event: Option<Event>,
}

/// An event that the engine acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The 101 of Socket.IO or of a probe; the handshake goes on.
    Upgraded,
    /// The 101 of a raw WebSocket: it is accepted, unless it is closed within its grace.
    Accepted,
    /// Engine.IO's open packet.
    Opened(Open),
    /// The session may move to this WebSocket.
    Probed,
    /// The Socket.IO namespace is connected.
    Authenticated,
    /// A message of an established connection; it also ends a grace.
    Message {
        /// It answers the awaited message.
        is_answer: bool,
    },
    /// The token was refused; [`Scratch::reason`](crate::speak::connection::Scratch) holds the server's reason until the next event.
    Refused,
    /// The handshake failed; [`Scratch::reason`](crate::speak::connection::Scratch) holds the words for it.
    Failed(FailureKind),
    /// The peer closed an established connection in this way, or answered our close.
    Closed(FailureKind),
}
