//! Sessions: state machines that take received bytes, return bytes to send, and set their next deadline.
//!
//! A session knows its connection only by a number. The time is an argument; the clock is read only to time one verdict
//! in [`TIMED_EVERY`](crate::metrics::TIMED_EVERY). The gate passes input and time, and sends the bytes of the [`Reply`].
//! [`Sessions`] holds the state that all sessions of a shard share.

pub mod app;
pub mod close_code;
pub mod engine;
pub mod engineio;
pub mod expiry;
pub(crate) mod half_open;
pub mod polling;
pub mod socketio;
pub mod users;
pub mod websocket;

mod host;
mod reply;
mod settings;
#[cfg(test)]
pub(crate) mod testing;

use crate::metrics::End;
pub use expiry::{AuthenticatedUser, OnExpiry};
pub use host::Host;
pub use polling::Sessions;
pub use reply::{Outbox, Reply};
pub use settings::{Auth, LINGER, Settings};

/// A session of either protocol.
#[derive(Debug)]
pub enum Session {
    /// Messages over a bare WebSocket.
    WebSocket(websocket::WebSocket),
    /// Socket.IO over Engine.IO over a WebSocket. Boxed, because it is twice as large as a raw WebSocket.
    EngineIo(Box<engineio::EngineIo>),
}

impl Session {
    /// Handles input; returns how many bytes of it were used. The next call must repeat the others before new bytes.
    pub fn received(&mut self, input: &mut [u8], host: &mut Host, reply: &mut Reply<'_>) -> usize {
        match self {
            Session::WebSocket(session) => session.received(input, host, reply),
            Session::EngineIo(session) => session.received(input, host, reply),
        }
    }

    /// Handles the deadline that [`Reply::deadline_ns`] has set.
    pub fn deadline(&mut self, host: &mut Host, reply: &mut Reply<'_>) {
        match self {
            Session::WebSocket(session) => session.deadline(host, reply),
            Session::EngineIo(session) => session.deadline(host, reply),
        }
    }

    /// Whether the handshake is over, with any verdict.
    pub fn is_settled(&self) -> bool {
        match self {
            Session::WebSocket(_) => true,
            Session::EngineIo(session) => session.is_settled(),
        }
    }

    /// The buffered bytes of an incomplete message.
    pub fn kept_bytes(&self) -> usize {
        match self {
            Session::WebSocket(session) => session.kept_bytes(),
            Session::EngineIo(session) => session.kept_bytes(),
        }
    }

    /// Closes the session with 1001, because the gate drains.
    pub fn shut_down(&self, reply: &mut Reply<'_>) {
        wire::frame::write_close(reply.out, close_code::GOING_AWAY, "going away", None);
        reply.end = Some(End::Shutdown);
    }

    /// Releases the session's user and counts its `end`.
    pub fn ended(self, end: End, sessions: &mut Sessions) {
        match self {
            Session::WebSocket(session) => {
                sessions.host.users.release(session.user);
                sessions.host.metrics.session_ended(end);
            }
            Session::EngineIo(session) => session.ended(end, sessions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::app::App;
    use super::testing::{frame, sent_frames, sessions, token};
    use super::*;
    use proptest::prelude::*;
    use wire::{engineio::Version, frame::OpCode};

    /// Packets, complete or not, separated by blanks.
    const PACKETS: &str = r#"40 41 2 3 1 6 42["a"] 421["whoami"] 40/x, 43 44 451-["a",{"_placeholder":true,"num":0}] 452-[]
                             461-1[] 0{} 4"#;

    fn payload() -> impl Strategy<Value = String> {
        let packets = prop::sample::select(PACKETS.split_whitespace().collect::<Vec<_>>());
        prop_oneof![3 => packets.prop_map(str::to_owned), 1 => ".{0,20}"]
    }

    proptest! {
        #[test]
        fn any_input_is_answered_in_whole_frames_and_the_user_is_released(
            kind in 0..3_usize,
            sent in prop::collection::vec((payload(), any::<bool>()), 0..12),
            random_bytes in any::<Vec<u8>>(),
        ) {
            let mut sessions = sessions(App::Echo);
            let host = &mut sessions.host;
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, 0);
            let user = host.admit(token("ann", None).as_bytes());
            let mut session = match kind {
                0 => Session::WebSocket(websocket::WebSocket::open(user.unwrap(), host, &mut reply)),
                kind => {
                    let version = [Version::V3, Version::V4][kind - 1];
                    let opening = engine::Opening::SocketIo(Some(user));
                    Session::EngineIo(Box::new(engineio::EngineIo::open(version, opening, 1, host, &mut reply)))
                }
            };
            let mut input = Vec::new();
            for (payload, text) in sent {
                let opcode = if text { OpCode::Text } else { OpCode::Binary };
                input.extend(frame(opcode, payload.as_bytes()));
            }
            input.extend(random_bytes);
            let used = session.received(&mut input, host, &mut reply);
            prop_assert!(used <= input.len());
            if reply.end.is_none() {
                session.deadline(host, &mut reply);
            }
            let end = reply.end.unwrap_or(End::Gone);
            session.ended(end, &mut sessions);
            sent_frames(out);
            prop_assert!(sessions.host.users.is_empty());
        }
    }
}
