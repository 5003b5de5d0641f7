//! Engine.IO over a WebSocket: opened on it, or moved to it from polling by way of a probe.

use wire::{
    engineio::{Form, Item, Packet, Version, decode_binary, decode_text},
    frame::{Decoder, Message, OpCode, Side, write_frame},
};

use crate::metrics::{Outcome, Phase};
use crate::session::engineio::{Engine, Opening, broken};
use crate::session::websocket::{fail, farewell};
use crate::session::{End, Host, Reply, close_code, polling};

/// An Engine.IO session over a WebSocket.
#[derive(Debug)]
pub struct EngineIo {
    frames: Decoder,
    engine: Engine,
    /// The name it has among the sessions that poll, if it began as one.
    polled: Option<polling::Key>,
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

    /// Is its handshake over, whatever the verdict?
    pub fn is_settled(&self) -> bool {
        self.engine.is_settled()
    }

    /// Takes the frames at the front of `input`; answers how many bytes they were.
    pub fn received(&mut self, input: &mut [u8], host: &mut Host, reply: &mut Reply<'_>) -> usize {
        let mut used = 0;
        reply.form = self.engine.form();
        while reply.end.is_none() {
            let step = match self.frames.next(&mut input[used..]) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => {
                    fail(&error, reply);
                    return input.len();
                }
            };
            used += step.used;
            match step.message {
                None | Some(Message::Pong(_)) => {}
                // Binary messages of a client that writes no bytes.
                Some(Message::Text(text)) if text.starts_with('b') => match decode_text(self.engine.version(), &text) {
                    Ok(item) => self.engine.item(&item, host, reply),
                    Err(error) => broken(&error, reply),
                },
                Some(Message::Text(text)) => self.engine.text(&text, host, reply),
                Some(Message::Binary(bytes)) => match decode_binary(self.engine.version(), &bytes) {
                    Ok(payload) => self.engine.binary(payload, host, reply),
                    Err(error) => broken(&error, reply),
                },
                Some(Message::Ping(payload)) => write_frame(reply.out, OpCode::Pong, payload, None),
                Some(Message::Close { code, .. }) => farewell(code, reply),
            }
        }
        used
    }

    /// The memory that it keeps of a message whose parts are not all here.
    pub fn kept_bytes(&self) -> usize {
        self.frames.unfinished_bytes()
    }

    /// A heartbeat is due, or the client's time in its stage is over.
    pub fn deadline(&mut self, host: &mut Host, reply: &mut Reply<'_>) {
        self.engine.deadline(host, reply);
    }

    /// Gives up what the session still holds, by `end`.
    pub fn ended(self, end: End, host: &mut Host) {
        if let Some(key) = self.polled {
            host.polls.forget(key);
        }
        self.engine.ended(end, host);
    }
}

/// A WebSocket that is to take a polling session over, while its client tries whether it works.
#[derive(Debug)]
pub struct Probe {
    frames: Decoder,
    key: polling::Key,
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
    pub fn new(key: polling::Key, connection: u64, host: &Host) -> Self {
        Self { frames: Decoder::new(Side::Client, host.settings.message_bytes_max), key, connection }
    }

    /// Takes frames from the front of `input` until the session has moved; answers how many bytes they were.
    pub fn received(&mut self, input: &mut [u8], host: &mut Host, reply: &mut Reply<'_>) -> (usize, Probed) {
        let mut used = 0;
        while reply.end.is_none() {
            let step = match self.frames.next(&mut input[used..]) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => {
                    fail(&error, reply);
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
                        polling::probed(self.key, host, reply.now_ns);
                    }
                    Ok(Packet::Upgrade) => {
                        if let Some(session) = self.upgrade(host, reply) {
                            return (used, Probed::Upgraded(session));
                        }
                    }
                    _ => broken(&"a probe is 2probe, then 5", reply),
                },
                Some(Message::Binary(_)) => broken(&"a probe is 2probe, then 5", reply),
                Some(Message::Close { code, .. }) => farewell(code, reply),
            }
        }
        (used, Probed::More)
    }

    /// The memory that it keeps of a message whose parts are not all here.
    pub fn kept_bytes(&self) -> usize {
        self.frames.unfinished_bytes()
    }

    /// It ended without taking the session over, which polls on.
    pub fn ended(self, end: End, host: &mut Host) {
        host.polls.probe_ended(self.key, self.connection);
        host.metrics.handshake(Outcome::without_verdict(end, Phase::Upgrade));
    }

    /// Moves the session here, with what waits for its client.
    fn upgrade(&mut self, host: &mut Host, reply: &mut Reply<'_>) -> Option<EngineIo> {
        let Some((engine, items)) = polling::upgrade(self.key, self.connection, host) else {
            reply.close(close_code::NORMAL, "the session is over", End::Gone);
            return None;
        };
        reply.form = engine.form();
        for item in items {
            match item {
                Item::Text(text) => reply.text(text.as_bytes()),
                Item::Binary(bytes) => reply.binary(engine.version(), &bytes, &mut host.scratch),
            }
        }
        engine.call_when_due(reply);
        host.metrics.handshake(Outcome::Upgraded);
        Some(EngineIo {
            frames: Decoder::new(Side::Client, host.settings.message_bytes_max),
            engine,
            polled: Some(self.key),
        })
    }
}
