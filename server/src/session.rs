//! The life of an accepted socket: state machines that take bytes, give bytes and name their next deadline.
//!
//! Nothing here reads a clock, but to time a verdict now and then, or knows of a socket but by a number: the [gate](crate::gate) hands the input and the time
//! in and sends what a [`Reply`] holds. Everything that a shard's sessions share stands in a [`Host`].

pub mod app;
pub mod engineio;
pub mod expiry;
pub(crate) mod half_open;
pub mod polling;
pub mod socketio;
pub mod users;
pub mod websocket;

mod host;
mod reply;
#[cfg(test)]
pub(crate) mod testing;

use std::time::Duration;

use app::App;
pub use expiry::{Guest, OnExpiry};
pub use host::Host;
pub use reply::{Outbox, Reply};

/// What every session is run by; the same for all shards.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom the gate asks whether to let a client in.
    pub auth: Auth,
    /// What becomes of a session when its token expires.
    pub on_expiry: OnExpiry,
    /// The application behind the gate.
    pub app: App,
    /// The longest message a peer may send, and Engine.IO's `maxPayload`.
    pub message_bytes_max: u32,
    /// Silence after which a peer is asked for a sign of life; in Engine.IO 3 the client asks.
    pub ping_interval: Duration,
    /// How long that sign may take.
    pub ping_timeout: Duration,
}

/// What waits for a client to poll, unless messages may be longer than half of it.
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

    /// The most bytes that wait in a socket that does not take them: the answer to a poll, however it is written, and so
    /// also the longest message.
    pub fn output_bytes_max(&self) -> usize {
        let answer_bytes = reply::ANSWER_BYTES_MAX.max(self.message_bytes_max as usize);
        ESCAPE_BYTES * answer_bytes + HEADS_BYTES
    }
}

/// What lets a client in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Auth {
    /// Its token.
    Token,
    /// Its session, about which the frontend is asked for each connection: what tokens replaced.
    Session,
    /// Nothing, and no token is looked at: for conformance runs on loopback.
    None,
}

impl Auth {
    /// Is a client asked for anything?
    pub fn asks(self) -> bool {
        self != Auth::None
    }
}

/// How long a refused or disconnected Socket.IO client may take to close, before the gate does.
///
/// Clients close by themselves once they have read the refusal; the gate waits for no more than that.
pub const LINGER: Duration = Duration::from_secs(1);

/// RFC 6455 section 7.4: the close codes that the gate sends of its own accord.
pub mod close_code {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The server is going down.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// The server has too much to do; the client may come again (IANA's registry).
    pub const TRY_AGAIN_LATER: u16 = 1013;
    /// The token expired. A code of the gate's own, after HTTP's 401 as is common.
    pub const UNAUTHORIZED: u16 = 4401;
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
    /// All sockets together, or all sessions that poll, held more than they may, and this one was among those with the
    /// most.
    Greediest,
    /// The peer was not authenticated in time.
    HandshakeTimeout,
    /// The peer was not authenticated when there were too many such, and was the oldest.
    GaveWay,
    /// The peer was refused and had its time to close.
    Refused,
    /// The gate is going down.
    Shutdown,
    /// Its token expired.
    Expired,
    /// TLS failed: bytes that are no TLS, or an alert of the peer.
    Tls,
    /// The connection failed in some other way.
    Failed,
}

impl End {
    /// Every reason, in the order of its counter.
    pub const ALL: [Self; 15] = [
        Self::Client,
        Self::Gone,
        Self::Reset,
        Self::PingTimeout,
        Self::Protocol,
        Self::TooLong,
        Self::TooSlow,
        Self::Greediest,
        Self::HandshakeTimeout,
        Self::GaveWay,
        Self::Refused,
        Self::Shutdown,
        Self::Expired,
        Self::Tls,
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
            Self::Greediest => "greediest",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::GaveWay => "gave_way",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
            Self::Expired => "expired",
            Self::Tls => "tls",
            Self::Failed => "failed",
        }
    }
}

/// A session of either protocol.
#[derive(Debug)]
pub enum Session {
    /// Messages over a bare WebSocket.
    WebSocket(websocket::WebSocket),
    /// Socket.IO over Engine.IO over a WebSocket. Boxed: a raw WebSocket, which needs half of it, would take as much.
    EngineIo(Box<engineio::EngineIo>),
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

    /// Is its handshake over, whatever the verdict?
    pub fn is_settled(&self) -> bool {
        match self {
            Session::WebSocket(_) => true,
            Session::EngineIo(session) => session.is_settled(),
        }
    }

    /// The memory that it keeps of a message whose parts are not all here.
    pub fn kept_bytes(&self) -> usize {
        match self {
            Session::WebSocket(session) => session.kept_bytes(),
            Session::EngineIo(session) => session.kept_bytes(),
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
mod tests {
    use super::{
        testing::{frame, host, token, told},
        *,
    };
    use proptest::prelude::*;
    use wire::{engineio::Version, frame::OpCode};

    /// Packets, and shreds of them, in any order: what a client may come up with.
    fn payload() -> impl Strategy<Value = String> {
        let packets = prop::sample::select(vec![
            "40",
            "41",
            "2",
            "3",
            "1",
            "6",
            "42[\"a\"]",
            "421[\"whoami\"]",
            "40/x,",
            "43",
            "44",
            "451-[\"a\",{\"_placeholder\":true,\"num\":0}]",
            "452-[]",
            "461-1[]",
            "0{}",
            "4",
        ]);
        prop_oneof![3 => packets.prop_map(str::to_owned), 1 => ".{0,20}"]
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_sessions_answer_whole_frames_and_give_their_user_back(
            kind in 0..3_usize,
            sent in prop::collection::vec((payload(), any::<bool>()), 0..12),
            shred in any::<Vec<u8>>(),
        ) {
            let mut host = host(App::Echo);
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, 0);
            let user = host.admit(token("ann", None).as_bytes());
            let mut session = match kind {
                0 => Session::WebSocket(websocket::WebSocket::open(
                    user.unwrap(),
                    &mut host,
                    &mut reply,
                )),
                kind => {
                    let version = [Version::V3, Version::V4][kind - 1];
                    let opening = engineio::Opening::SocketIo(Some(user));
                    let opened =
                        engineio::EngineIo::open(version, opening, 1, &mut host, &mut reply);
                    Session::EngineIo(Box::new(opened))
                }
            };
            let mut input = Vec::new();
            for (payload, text) in sent {
                let opcode = if text { OpCode::Text } else { OpCode::Binary };
                input.extend(frame(opcode, payload.as_bytes()));
            }
            input.extend(shred);
            let used = session.received(&mut input, &mut host, &mut reply);
            prop_assert!(used <= input.len());
            if reply.end.is_none() {
                session.deadline(&mut host, &mut reply);
            }
            let end = reply.end.unwrap_or(End::Gone);
            session.ended(end, &mut host);
            told(out);
            prop_assert!(host.users.is_empty());
        }
    }
}
