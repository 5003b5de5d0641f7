use std::time::Duration;

use crate::session::{app::App, expiry::OnExpiry, reply::ANSWER_BYTES_MAX};

/// The settings of sessions, the same for all shards.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The credentials of clients.
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

/// The limit on the packets that wait for a client to poll, unless two of the longest messages are larger.
const OUTBOX_BYTES: usize = 4 * 1024 * 1024;
/// The longest escape of one byte in a script: `\u0001`.
const ESCAPE_BYTES: usize = 6;
/// More than the heads of any answer or frame.
const HEADS_BYTES: usize = 64 * 1024;

impl Settings {
    /// The limit on the packets that wait for a client to poll.
    pub fn outbox_bytes_max(&self) -> usize {
        OUTBOX_BYTES.max(2 * self.message_bytes_max as usize)
    }

    /// The limit on a socket's unsent bytes: the longest answer to a poll in any form, which is longer than any message.
    pub fn output_bytes_max(&self) -> usize {
        let answer_bytes = ANSWER_BYTES_MAX.max(self.message_bytes_max as usize);
        ESCAPE_BYTES * answer_bytes + HEADS_BYTES
    }
}

/// The credentials of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Auth {
    /// A token.
    Token,
    /// A session, which the frontend looks up for each connection: the design that tokens replaced.
    Session,
    /// No credentials, and tokens are ignored: for conformance runs on loopback.
    None,
}

/// How long a refused or disconnected Socket.IO client may take to close before the gate closes. Clients close once they
/// have read the refusal.
pub const LINGER: Duration = Duration::from_secs(1);
