//! The settings of sessions, the same for all shards.

use std::time::Duration;

use crate::session::{app::App, expiry::OnExpiry, reply::ANSWER_BYTES_MAX};

/// What every session is run by; the same for all shards.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What clients authenticate by.
    pub auth: Auth,
    /// What happens to a session when its token expires.
    pub on_expiry: OnExpiry,
    /// The application behind the gate.
    pub app: App,
    /// The longest message a peer may send, and Engine.IO's `maxPayload`.
    pub message_bytes_max: u32,
    /// Silence after which a peer is pinged; in Engine.IO 3 the client pings.
    pub ping_interval: Duration,
    /// How long the pong may take.
    pub ping_timeout: Duration,
}

/// The most bytes that wait for a client to poll, unless messages may be longer than half of it.
const OUTBOX_BYTES: usize = 4 * 1024 * 1024;
/// What a byte takes at most where JSON is part of a script: `\u0001`.
const ESCAPE_BYTES: usize = 6;
/// More than the heads of an answer's or a message's take.
const HEADS_BYTES: usize = 64 * 1024;

impl Settings {
    /// The most bytes that wait for a client to poll.
    pub fn outbox_bytes_max(&self) -> usize {
        OUTBOX_BYTES.max(2 * self.message_bytes_max as usize)
    }

    /// The most bytes that wait in a socket that does not take them: the answer to a poll, however it is written, and
    /// so also the longest message.
    pub fn output_bytes_max(&self) -> usize {
        let answer_bytes = ANSWER_BYTES_MAX.max(self.message_bytes_max as usize);
        ESCAPE_BYTES * answer_bytes + HEADS_BYTES
    }
}

/// What clients authenticate by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Auth {
    /// Its token.
    Token,
    /// A session, which the frontend looks up for each connection: the design that tokens replaced.
    Session,
    /// Nothing, and no token is looked at: for conformance runs on loopback.
    None,
}

impl Auth {
    /// Are credentials required?
    pub fn asks(self) -> bool {
        self != Auth::None
    }
}

/// How long a refused or disconnected Socket.IO client may take to close, before the gate does.
///
/// Clients close by themselves once they have read the refusal; the gate waits for no more than that.
pub const LINGER: Duration = Duration::from_secs(1);
