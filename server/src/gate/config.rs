//! The configuration of a gate.

use std::{sync::Arc, time::Duration};

use crate::{gate::lookup::SessionSource, session::Settings, verify::Policy};

/// The configuration of a gate.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// The cpus that shards are pinned to, in turn; empty: the kernel chooses.
    pub cpus: Vec<usize>,
    /// Connections open at once, over all shards.
    pub connections_max: usize,
    /// Connections open at once from one address; `None`: no limit.
    pub per_address_max: Option<u32>,
    /// Half-open connections, over all shards; as many WebSockets, and as many polling sessions, may be open before their
    /// connect packet.
    pub half_open_max: usize,
    /// How long the steps of a handshake may take.
    pub deadlines: Deadlines,
    /// How long sockets may take to close when the gate drains.
    pub drain_within: Duration,
    /// Origins whose pages may use the token cookie, and read the answers of long-polling.
    pub origins: Vec<String>,
    /// The Socket.IO client to serve, if any.
    pub socketio_client: Option<Vec<u8>>,
    /// The settings of sessions.
    pub session: Settings,
    /// What tokens must satisfy.
    pub policy: Policy,
    /// The cache of tokens that public keys verified, over all shards.
    pub token_cache_bytes: usize,
    /// The frontend that looks sessions up, where sessions let clients in.
    pub sessions: Option<SessionSource>,
    /// Buffered bytes, over all shards: half for incomplete requests and messages and for sockets that do not read, half
    /// for clients that do not poll.
    pub buffer_bytes_max: usize,
    /// TLS from the first byte on, if any.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// How long each step of a handshake may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From accept to the end of the request's head; the same again for each further request and for a request's body.
    pub head: Duration,
    /// From the 101 of a WebSocket that is to take over a polling session to its upgrade packet.
    pub upgrade: Duration,
    /// From the opening of an Engine.IO session to Socket.IO's connect packet.
    pub connect: Duration,
}
