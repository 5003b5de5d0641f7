//! Engine.IO over a WebSocket: opened there, or upgraded from polling after a probe.

use wire::engineio::{Form, Item, Packet, Version, decode_binary, decode_text};
use wire::frame::{Decoder, Message, OpCode, Side, write_frame};

use crate::metrics::{End, Outcome, Phase};
use crate::session::close_code;
use crate::session::engine::{Engine, Opening};
use crate::session::host::Host;
use crate::session::polling::{Key, Sessions};
use crate::session::reply::Reply;

/// An Engine.IO session over a WebSocket.
#[derive(Debug)]
pub struct EngineIo {
    frames: Decoder,
    engine: Engine,
    /// The key of the session among the polling sessions, if it was upgraded.
    polled: Option<Key>,
}

impl EngineIo {
    /// Opens a session; the 101 is already in `reply`. See [`Engine::open`].
    pub fn open(
        version: Version,
        opening: Opening,
        connect_by_ns: u64,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) -> Self {
        Self {
            frames: Decoder::new(Side::Client, host.settings.message_bytes_max),
            engine: Engine::open(version, None, opening, connect_by_ns, host, reply),
            polled: None,
        }
    }

    /// Sets the form in which binary messages may be sent.
    #[must_use]
    pub fn reading(self, form: Form) -> Self {
        Self { engine: self.engine.reading(form), ..self }
    }

    /// Whether the handshake is over, with any verdict.
    pub fn is_settled(&self) -> bool {
        self.engine.is_settled()
    }

    /// Handles the frames at the front of `input`; returns how many bytes they have.
    pub fn received(&mut self, input: &mut [u8], host: &mut Host, reply: &mut Reply<'_>) -> usize {
        let mut used = 0;
        reply.form = self.engine.form();
        while reply.end.is_none() {
            let step = match self.frames.next(&mut input[used..]) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => {
                    reply.fail_framing(&error);
                    return input.len();
                }
            };
            used += step.used;
            match step.message {
                None | Some(Message::Pong(_)) => {}
                // A binary message in base64.
                Some(Message::Text(text)) if text.starts_with('b') => match decode_text(self.engine.version(), &text) {
                    Ok(item) => self.engine.item(&item, host, reply),
                    Err(error) => reply.fail_protocol(&error),
                },
                Some(Message::Text(text)) => self.engine.text(&text, host, reply),
                Some(Message::Binary(bytes)) => match decode_binary(self.engine.version(), &bytes) {
                    Ok(payload) => self.engine.binary(payload, host, reply),
                    Err(error) => reply.fail_protocol(&error),
                },
                Some(Message::Ping(payload)) => write_frame(reply.out, OpCode::Pong, payload, None),
                Some(Message::Close { code, .. }) => reply.answer_close(code),
            }
        }
        used
    }

    /// The bytes that it keeps of an incomplete message.
    pub fn kept_bytes(&self) -> usize {
        self.frames.unfinished_bytes()
    }

    /// Handles the deadline of the heartbeat or of the client's stage.
    pub fn deadline(&mut self, host: &mut Host, reply: &mut Reply<'_>) {
        self.engine.deadline(host, reply);
    }

    /// Releases the session's user and counts its `end`.
    pub fn ended(self, end: End, sessions: &mut Sessions) {
        if let Some(key) = self.polled {
            sessions.polls.forget(key);
        }
        self.engine.ended(end, &mut sessions.host);
    }
}

/// A WebSocket that may upgrade a polling session, while the client tests it.
#[derive(Debug)]
pub struct Probe {
    frames: Decoder,
    key: Key,
    /// The number of this connection, which the session has stored.
    connection: u64,
}

/// The result of [`Probe::received`].
#[derive(Debug)]
pub enum Probed {
    /// The probe is not complete.
    More,
    /// The session has moved to this WebSocket.
    Upgraded(EngineIo),
}

impl Probe {
    /// A probe for the session `key`, which has stored `connection`; the 101 is already written.
    pub fn new(key: Key, connection: u64, host: &Host) -> Self {
        Self { frames: Decoder::new(Side::Client, host.settings.message_bytes_max), key, connection }
    }

    /// Handles the frames at the front of `input` until the session has moved; returns how many bytes they have.
    pub fn received(&mut self, input: &mut [u8], sessions: &mut Sessions, reply: &mut Reply<'_>) -> (usize, Probed) {
        let mut used = 0;
        while reply.end.is_none() {
            let step = match self.frames.next(&mut input[used..]) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => {
                    reply.fail_framing(&error);
                    break;
                }
            };
            used += step.used;
            match step.message {
                None | Some(Message::Pong(_)) => {}
                Some(Message::Ping(payload)) => write_frame(reply.out, OpCode::Pong, payload, None),
                Some(Message::Text(text)) => match Packet::decode(&text) {
                    Ok(Packet::Ping("probe")) => {
                        write_frame(reply.out, OpCode::Text, b"3probe", None);
                        sessions.polls.probed(self.key, reply.now_ns);
                    }
                    Ok(Packet::Upgrade) => {
                        if let Some(session) = self.upgrade(sessions, reply) {
                            return (used, Probed::Upgraded(session));
                        }
                    }
                    _ => reply.fail_protocol(&"a probe is 2probe, then 5"),
                },
                Some(Message::Binary(_)) => reply.fail_protocol(&"a probe is 2probe, then 5"),
                Some(Message::Close { code, .. }) => reply.answer_close(code),
            }
        }
        (used, Probed::More)
    }

    /// The bytes that it keeps of an incomplete message.
    pub fn kept_bytes(&self) -> usize {
        self.frames.unfinished_bytes()
    }

    /// Counts the end of a probe without an upgrade. The session continues to poll.
    pub fn ended(self, end: End, sessions: &mut Sessions) {
        sessions.polls.probe_ended(self.key, self.connection);
        sessions.host.metrics.handshake(Outcome::without_verdict(end, Phase::Upgrade));
    }

    /// Moves the session to this WebSocket, with the packets that wait for its client.
    fn upgrade(&mut self, sessions: &mut Sessions, reply: &mut Reply<'_>) -> Option<EngineIo> {
        let Some((engine, items)) = sessions.upgrade(self.key, self.connection) else {
            reply.close(close_code::NORMAL, "the session is over", End::Gone);
            return None;
        };
        reply.form = engine.form();
        for item in items {
            match item {
                Item::Text(text) => reply.text(text.as_bytes()),
                Item::Binary(bytes) => reply.binary(engine.version(), &bytes, &mut sessions.host.scratch),
            }
        }
        engine.set_deadline(reply);
        sessions.host.metrics.handshake(Outcome::Upgraded);
        Some(EngineIo {
            frames: Decoder::new(Side::Client, sessions.host.settings.message_bytes_max),
            engine,
            polled: Some(self.key),
        })
    }
}
