use std::{sync::Arc, time::Duration};

use crate::{gate::lookup::SessionSource, session::Settings, verify::Policy};

/// The configuration of a gate.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// The cpus that shards are pinned to, in rotation; empty: the kernel chooses.
    pub cpus: Vec<usize>,
    /// Connections open at once, over all shards.
    pub connections_max: usize,
    /// Connections open at once from one address; `None`: no limit.
    pub per_address_max: Option<u32>,
    /// Half-open connections, over all shards. The same limit holds for WebSockets, and for polling sessions, that have
    /// not sent their connect packet.
    pub half_open_max: usize,
    pub deadlines: Deadlines,
    /// How long sockets may take to close when the gate drains.
    pub drain_within: Duration,
    /// Origins whose pages may use the token cookie, and read the answers of long-polling.
    pub origins: Vec<String>,
    /// The JavaScript file of the Socket.IO client, if the gate serves it.
    pub socketio_client: Option<Vec<u8>>,
    pub session: Settings,
    pub policy: Policy,
    /// The size of the cache of tokens that public keys verified, over all shards.
    pub token_cache_bytes: usize,
    /// The frontend that looks sessions up, with `--auth session`.
    pub sessions: Option<SessionSource>,
    /// Buffered bytes, over all shards: one half for incomplete requests and messages and for unsent bytes, the other half
    /// for packets that clients have not polled.
    pub buffer_bytes_max: usize,
    /// The gate speaks TLS from the first byte on, if this is set.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// How long each step of a handshake may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From accept to the end of the request's head; the same again for each further request and for a request's body.
    pub head: Duration,
    /// From the 101 of a WebSocket that upgrades a polling session to the upgrade packet.
    pub upgrade: Duration,
    /// From the opening of an Engine.IO session to Socket.IO's connect packet.
    pub connect: Duration,
}
