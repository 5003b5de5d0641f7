//! The life of an accepted socket: state machines that take bytes, give bytes and name their next deadline.
//!
//! Nothing here reads a clock or knows of a socket: the [gate](crate::gate) hands the input and the time in
//! and sends what a [`Reply`] holds. Everything that a shard's sessions share stands in a [`Host`].

pub mod app;
pub mod engineio;
pub mod socketio;
pub mod users;
pub mod websocket;

use std::{sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use wire::engineio::{Open, Packet, Version};

use crate::{
    metrics::ShardMetrics,
    verify::{Refusal, Verifier},
};
use app::App;
use users::{UserId, Users};

/// What every session is run by; the same for all shards.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The application behind the gate.
    pub app: App,
    /// The longest message a peer may send, and Engine.IO's `maxPayload`.
    pub message_bytes_max: u32,
    /// Silence after which a peer is asked for a sign of life; in Engine.IO 3 the client asks.
    pub ping_interval: Duration,
    /// How long that sign may take.
    pub ping_timeout: Duration,
}

/// How long a refused or disconnected Socket.IO client may take to close, before the gate does.
///
/// Clients close by themselves once they have read the refusal; the gate waits for no more than that.
pub const LINGER: Duration = Duration::from_secs(2);

/// RFC 6455 section 7.4.1: the close codes that the gate sends of its own accord.
pub mod close_code {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The server is going down.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer asked for it: a close frame, an Engine.IO close, a Socket.IO disconnect.
    Client,
    /// The peer's end of the stream came without a closing handshake.
    Gone,
    /// The peer, or something between, reset the connection.
    Reset,
    /// No sign of life within the ping timeout.
    PingTimeout,
    /// The peer broke the protocol.
    Protocol,
    /// The peer sent a message or a head above its limit.
    TooLong,
    /// The peer reads slower than it asks for answers.
    TooSlow,
    /// The peer was not authenticated in time.
    HandshakeTimeout,
    /// The peer was refused and had its time to close.
    Refused,
    /// The gate is going down.
    Shutdown,
    /// The connection failed in some other way.
    Failed,
}

impl End {
    /// Every reason, in the order of its counter.
    pub const ALL: [Self; 11] = [
        Self::Client,
        Self::Gone,
        Self::Reset,
        Self::PingTimeout,
        Self::Protocol,
        Self::TooLong,
        Self::TooSlow,
        Self::HandshakeTimeout,
        Self::Refused,
        Self::Shutdown,
        Self::Failed,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gone => "gone",
            Self::Reset => "reset",
            Self::PingTimeout => "ping_timeout",
            Self::Protocol => "protocol",
            Self::TooLong => "too_long",
            Self::TooSlow => "too_slow",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
        }
    }
}

/// What a session answers to one event.
#[derive(Debug)]
pub struct Reply<'a> {
    /// Where the bytes for the peer are appended.
    pub out: &'a mut Vec<u8>,
    /// The instant of the event, on the shard's monotonic clock.
    pub now_ns: u64,
    /// When [`Session::deadline`] is to be called; `None` leaves the deadline as it was.
    pub deadline_ns: Option<u64>,
    /// Set once the session is over: `out` is sent, then the connection is closed.
    pub end: Option<End>,
}

impl<'a> Reply<'a> {
    /// An answer that says nothing yet.
    pub fn new(out: &'a mut Vec<u8>, now_ns: u64) -> Self {
        Self {
            out,
            now_ns,
            deadline_ns: None,
            end: None,
        }
    }

    /// The instant `after` this event.
    pub fn after(&self, after: Duration) -> u64 {
        let after_ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        self.now_ns.saturating_add(after_ns)
    }
}

/// What the sessions of one shard share.
pub struct Host {
    /// How sessions are run.
    pub settings: Arc<Settings>,
    /// Whose sessions they are.
    pub users: Users,
    /// What happened to them.
    pub metrics: Arc<ShardMetrics>,
    /// Judges tokens that come after the upgrade too.
    verifier: Verifier,
    /// Seconds since 1970, as old as the batch of events being handled: good enough for `exp` and `nbf`.
    pub unix_s: u64,
    /// Session ids come from it: a generator that cannot be foreseen, seeded by the system.
    random: StdRng,
    /// Engine.IO's open packet, but for its session id.
    open: Open,
    /// A packet under construction, before its frame's length is known.
    scratch: Vec<u8>,
    /// The JSON of an answer under construction.
    data: String,
}

/// The random part of a session id: 20 characters of base64url, as many as Engine.IO's own.
const SID_RANDOM_BYTES: usize = 15;

impl Host {
    /// The host of one shard's sessions.
    pub fn new(settings: Arc<Settings>, verifier: Verifier, metrics: Arc<ShardMetrics>) -> Self {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let open = Open {
            sid: String::new(),
            upgrades: Vec::new(),
            ping_interval_ms: millis(settings.ping_interval),
            ping_timeout_ms: millis(settings.ping_timeout),
            max_payload_bytes: None,
        };
        Self {
            settings,
            users: Users::default(),
            metrics,
            verifier,
            unix_s: 0,
            random: StdRng::from_rng(&mut rand::rng()),
            open,
            scratch: Vec::new(),
            data: String::new(),
        }
    }

    /// Judges a token; a good one attaches its user, to be released when the session ends.
    pub fn admit(&mut self, token: &[u8]) -> Result<UserId, Refusal> {
        let verified = self.verifier.verify(token, self.unix_s)?;
        Ok(self.users.attach(verified.user))
    }

    /// Engine.IO's open packet, under a session id of its own.
    fn open_packet(&mut self, version: Version) -> &[u8] {
        self.open.sid.clear();
        push_sid(&mut self.random, &mut self.open.sid);
        self.open.max_payload_bytes = match version {
            Version::V3 => None,
            Version::V4 => Some(self.settings.message_bytes_max.into()),
        };
        self.scratch.clear();
        Packet::Open("").encode(&mut self.scratch);
        self.open.encode(&mut self.scratch);
        &self.scratch
    }
}

fn push_sid(random: &mut StdRng, sid: &mut String) {
    let mut bytes = [0; SID_RANDOM_BYTES];
    random.fill_bytes(&mut bytes);
    base64_simd::URL_SAFE_NO_PAD.encode_append(bytes, sid);
}

/// A session of either protocol.
#[derive(Debug)]
pub enum Session {
    /// Messages over a bare WebSocket.
    WebSocket(websocket::WebSocket),
    /// Socket.IO over Engine.IO over a WebSocket.
    EngineIo(engineio::EngineIo),
}

impl Session {
    /// Takes input; answers how many bytes of it were used. The rest comes again, in front of more.
    pub fn received(&mut self, input: &mut [u8], host: &mut Host, reply: &mut Reply<'_>) -> usize {
        match self {
            Session::WebSocket(session) => session.received(input, host, reply),
            Session::EngineIo(session) => session.received(input, host, reply),
        }
    }

    /// The instant asked for by [`Reply::deadline_ns`] has come.
    pub fn deadline(&mut self, host: &mut Host, reply: &mut Reply<'_>) {
        match self {
            Session::WebSocket(session) => session.deadline(host, reply),
            Session::EngineIo(session) => session.deadline(host, reply),
        }
    }

    /// The gate is going down: says so to the peer.
    pub fn shut_down(&self, reply: &mut Reply<'_>) {
        wire::frame::write_close(reply.out, close_code::GOING_AWAY, "going away", None);
        reply.end = Some(End::Shutdown);
    }

    /// The session is over, by `end`: gives its user back and counts it.
    pub fn ended(self, end: End, host: &mut Host) {
        match self {
            Session::WebSocket(session) => {
                host.users.release(session.user());
                host.metrics.session_ended(end);
            }
            Session::EngineIo(session) => session.ended(end, host),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A host with one key, and clients' frames, for the tables of the state machines.

    use super::*;
    use crate::{
        keys::{self, Algorithm, Ring},
        verify::Policy,
    };
    use wire::frame::{Decoder, Message, OpCode, Side};

    pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    pub const NOW_S: u64 = 1_700_000_000;

    pub fn host(app: App) -> Host {
        let key = keys::load::secret(SECRET, Algorithm::HS256).unwrap();
        let store = keys::Store::new(arc_swap::ArcSwap::from_pointee(
            Ring::new(vec![key]).unwrap(),
        ));
        let verifier = Verifier::new(store, Arc::new(Policy::default()));
        let settings = Settings {
            app,
            message_bytes_max: 1000,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
        };
        let mut host = Host::new(settings.into(), verifier, Arc::default());
        host.unix_s = NOW_S;
        host
    }

    pub fn token(user: &str, expires_at_s: Option<u64>) -> String {
        let mut claims = serde_json::json!({"user": {"username": user}});
        if let Some(expires_at_s) = expires_at_s {
            claims["exp"] = expires_at_s.into();
        }
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    }

    /// A client's frame, masked.
    pub fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        wire::frame::write_frame(&mut out, opcode, payload, Some([1, 2, 3, 4]));
        out
    }

    /// The server's frames as text: `T:` text, `B:` binary, `P:` ping, `Q:` pong, `C:` close.
    pub fn told(mut out: Vec<u8>) -> Vec<String> {
        let mut frames = Decoder::new(Side::Server, 1 << 20);
        let mut told = Vec::new();
        let mut at = 0;
        while let Some(step) = frames.next(&mut out[at..]).unwrap() {
            at += step.used;
            let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            told.extend(step.message.map(|message| match message {
                Message::Text(text) => format!("T:{text}"),
                Message::Binary(bytes) => format!("B:{}", lossy(&bytes)),
                Message::Ping(bytes) => format!("P:{}", lossy(bytes)),
                Message::Pong(bytes) => format!("Q:{}", lossy(bytes)),
                Message::Close { code, .. } => format!("C:{}", code.unwrap_or(0)),
            }));
        }
        assert_eq!(at, out.len(), "the gate sends whole frames");
        told
    }
}
