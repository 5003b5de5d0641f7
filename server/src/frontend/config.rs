//! What a frontend is made of, and its limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::frontend::users::Users;
use crate::session_key::SessionKey;

/// The configuration of a frontend.
pub struct FrontendConfig {
    /// Who may log in.
    pub users: Users,
    /// The HS256 secret that tokens are signed with; the gate's verifier has the same.
    pub secret: Vec<u8>,
    /// How long a token is valid; `None`: it never expires.
    pub token_ttl: Option<Duration>,
    /// Where browsers find the gate: `http://` or `https://`, host and port, such as
    /// `http://127.0.0.1:3000`. With anything else the page says that it is disconnected.
    pub gate_url: String,
    /// Does the gate serve the Socket.IO client at `/socket.io/socket.io.js`? The page uses it then, and
    /// speaks the protocol by itself otherwise.
    pub socketio_client: bool,
    /// The `iss` of every token.
    pub issuer: Option<String>,
    /// The `aud` of every token.
    pub audience: Option<String>,
    /// The key by which the gate may look up sessions, where sessions let sockets in. The page has no token then.
    pub session_key: Option<SessionKey>,
    /// TLS from the first byte on, if any.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Where the gate looks up sessions without TLS; no other route is served there.
    pub lookup_listener: Option<TcpListener>,
}

/// The addresses of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontendAddrs {
    /// The address for browsers.
    pub addr: SocketAddr,
    /// The address at which the gate of the same server looks up sessions, without TLS.
    pub lookup_addr: SocketAddr,
}

/// The limits of a frontend; each default has its reason.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions held at once. 100,000, about 50 MB: beyond any list of users to load a gate with.
    pub sessions_max: usize,
    /// How long a session lives without being used. An hour: a page that is open asks for a token at
    /// each reconnect, and a load test fetches tokens all along.
    pub session_idle_max: Duration,
    /// Logins that wait for a core to hash on. 256: at 20 ms each the last one waits some seconds, less
    /// than the time for a request.
    pub logins_waiting_max: usize,
    /// Open connections; further ones wait in the listener's queue. 8,192: a descriptor and some tens
    /// of KiB each.
    pub connections_max: usize,
    /// The bytes of a request's head; a longer one is answered with 431. 16 KiB, as other servers have.
    pub head_bytes_max: usize,
    /// The time for a head to arrive, and how long a connection may stay idle between requests. 30 s.
    pub head_timeout: Duration,
    /// The time for an answer, 503 after it. 15 s: only a login can take long.
    pub request_timeout: Duration,
    /// How long answers under way may take after the shutdown was asked for. 5 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 100_000,
            session_idle_max: Duration::from_secs(3600),
            logins_waiting_max: 256,
            connections_max: 8192,
            head_bytes_max: 16 * 1024,
            head_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
