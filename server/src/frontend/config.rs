//! The configuration and the limits of a frontend.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::frontend::users::Users;
use crate::session_key::SessionKey;

/// The configuration of a frontend.
pub struct FrontendConfig {
    /// The users that may log in.
    pub users: Users,
    /// The HS256 secret of tokens, which the gate's verifier has too.
    pub secret: Vec<u8>,
    /// How long a token is valid; `None` for ever.
    pub token_ttl: Option<Duration>,
    /// The wall clock: seconds since 1970.
    pub unix_s: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The gate's URL for browsers: `http://` or `https://`, host and port. With any other text the page shows that it
    /// is disconnected.
    pub gate_url: String,
    /// Whether the gate serves the Socket.IO client at `/socket.io/socket.io.js`. Without it the page uses its own
    /// implementation of the protocol.
    pub socketio_client: bool,
    /// The `iss` of every token.
    pub issuer: Option<String>,
    /// The `aud` of every token.
    pub audience: Option<String>,
    /// The key with which the gate looks up sessions, if sockets are authenticated by session in place of token.
    pub session_key: Option<SessionKey>,
    /// The TLS configuration of the listener; `None` for plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// A listener without TLS that serves session lookups only.
    pub lookup_listener: Option<TcpListener>,
}

/// The addresses of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontendAddrs {
    /// The address for browsers.
    pub addr: SocketAddr,
    /// The address for session lookups by the gate of the same server, without TLS.
    pub lookup_addr: SocketAddr,
}

/// The limits of a frontend, with the reasons for the defaults.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions at once. 100,000 take about 50 MB, and are more than any load test has users.
    pub sessions_max: usize,
    /// How long an unused session is kept. One hour: an open page requests a token at each reconnect, a load test
    /// during the whole run.
    pub session_idle_max: Duration,
    /// Logins that wait for a processor core. At 20 ms each the last of 256 waits 5 s, less than the request timeout.
    pub logins_waiting_max: usize,
    /// Open connections; further ones wait in the listener's queue. Each of 8,192 takes a descriptor and some tens of
    /// KiB.
    pub connections_max: usize,
    /// Bytes of a request's head; a longer head is answered with 431. 16 KiB is usual.
    pub head_bytes_max: usize,
    /// The time for a head to arrive, and the idle time of a connection between requests.
    pub head_timeout: Duration,
    /// The time for an answer, after which 503 is sent. Only a login takes long.
    pub request_timeout: Duration,
    /// How long unfinished answers may take after a shutdown has started.
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
