//! Engine.IO over a WebSocket: opened on it, or moved to it from polling by way of a probe.

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
    /// The name it has among the sessions that poll, if it began as one.
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

    /// The same, for a client that reads no more than `form`.
    #[must_use]
    pub fn reading(self, form: Form) -> Self {
        Self { engine: self.engine.reading(form), ..self }
    }

    /// Is its handshake over, with any verdict?
    pub fn is_settled(&self) -> bool {
        self.engine.is_settled()
    }

    /// Takes the frames at the front of `input`; returns how many bytes they were.
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
                // Binary messages of a client that writes no bytes.
                Some(Message::Text(text)) if text.starts_with('b') => match decode_text(self.engine.version(), &text) {
                    Ok(item) => self.engine.item(&item, host, reply),
                    Err(error) => reply.break_off(&error),
                },
                Some(Message::Text(text)) => self.engine.text(&text, host, reply),
                Some(Message::Binary(bytes)) => match decode_binary(self.engine.version(), &bytes) {
                    Ok(payload) => self.engine.binary(payload, host, reply),
                    Err(error) => reply.break_off(&error),
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

    /// A heartbeat is due, or the client's time in its stage is over.
    pub fn deadline(&mut self, host: &mut Host, reply: &mut Reply<'_>) {
        self.engine.deadline(host, reply);
    }

    /// Releases what the session holds, and counts its `end`.
    pub fn ended(self, end: End, sessions: &mut Sessions) {
        if let Some(key) = self.polled {
            sessions.polls.forget(key);
        }
        self.engine.ended(end, &mut sessions.host);
    }
}

/// A WebSocket that is to take a polling session over, while its client tries whether it works.
#[derive(Debug)]
pub struct Probe {
    frames: Decoder,
    key: Key,
    /// The number of this connection, by which the session knows its probe.
    connection: u64,
}

/// What came of a probe.
#[derive(Debug)]
pub enum Probed {
    /// It goes on.
    More,
    /// The session lives on this WebSocket now.
    Upgraded(EngineIo),
}

impl Probe {
    /// A probe for the session `key`, which expects it; the 101 is already written.
    pub fn new(key: Key, connection: u64, host: &Host) -> Self {
        Self { frames: Decoder::new(Side::Client, host.settings.message_bytes_max), key, connection }
    }

    /// Takes frames from the front of `input` until the session has moved; returns how many bytes they were.
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
                    _ => reply.break_off(&"a probe is 2probe, then 5"),
                },
                Some(Message::Binary(_)) => reply.break_off(&"a probe is 2probe, then 5"),
                Some(Message::Close { code, .. }) => reply.answer_close(code),
            }
        }
        (used, Probed::More)
    }

    /// The bytes that it keeps of an incomplete message.
    pub fn kept_bytes(&self) -> usize {
        self.frames.unfinished_bytes()
    }

    /// It ended without taking the session over, which polls on.
    pub fn ended(self, end: End, sessions: &mut Sessions) {
        sessions.polls.probe_ended(self.key, self.connection);
        sessions.host.metrics.handshake(Outcome::without_verdict(end, Phase::Upgrade));
    }

    /// Moves the session here, with what waits for its client.
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
        engine.call_when_due(reply);
        sessions.host.metrics.handshake(Outcome::Upgraded);
        Some(EngineIo {
            frames: Decoder::new(Side::Client, sessions.host.settings.message_bytes_max),
            engine,
            polled: Some(self.key),
        })
    }
}
