//! The state machine against scripted servers: bytes in, events and bytes out.

mod established;
mod handshake;

use proptest::prelude::*;
use wire::engineio::Version;
use wire::frame::{Decoder, Message, OpCode, Side, write_close, write_frame};
use wire::http::write_switching_protocols;

use super::*;
use crate::spec::{AnsweredBy, Echo, Protocol, TokenIn};

const RAW: Protocol = Protocol::WebSocket;
const V3: Protocol = Protocol::SocketIo(Version::V3);
const V4: Protocol = Protocol::SocketIo(Version::V4);
const KEY: &[u8; 24] = b"dGhlIHNhbXBsZSBub25jZQ==";
const OPEN: &str = r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

/// One connection with a scripted server.
struct Dialogue {
    connection: Connection,
    profile: Profile,
    scratch: Scratch,
    credentials: Credentials,
    awaited: Option<u64>,
    events: Vec<Event>,
    out: Vec<u8>,
}

impl Dialogue {
    /// The upgrade request is sent.
    fn begin(protocol: Protocol, token_in: TokenIn) -> Self {
        let echo = Echo { count: 1, rate_per_s: None, bytes: 20, event: "echo".into(), answered_by: AnsweredBy::Any };
        let profile = Profile::new(protocol, "localhost", "/", token_in, &[], echo);
        let mut dialogue = Self {
            connection: Connection::new(),
            profile,
            scratch: Scratch::new(Random::of_shard(0, 0)),
            credentials: Credentials { token: Some("a.b.c".into()), key: *KEY },
            awaited: None,
            events: Vec::new(),
            out: Vec::new(),
        };
        let Self { connection, profile, credentials, out, .. } = &mut dialogue;
        connection.start(profile, credentials, out);
        assert!(out.starts_with(b"GET /"));
        out.clear();
        dialogue
    }

    /// The server sends these bytes; unused ones are offered again with those that follow, as the reactor does.
    fn receive(&mut self, held: &mut Vec<u8>, bytes: &[u8]) {
        held.extend_from_slice(bytes);
        let mut used = 0;
        while used < held.len() {
            let awaited = Awaited { credentials: Some(&self.credentials), message: self.awaited };
            let rest = &mut held[used..];
            let length = rest.len();
            let mut writer = Writer { profile: &self.profile, scratch: &mut self.scratch, out: &mut self.out };
            let step = self.connection.receive(awaited, rest, &mut writer);
            assert!(step.used <= length, "no more than there is");
            used += step.used;
            match step.event {
                Some(event) => self.events.push(event),
                None if step.used == 0 => break,
                None => {}
            }
        }
        held.drain(..used);
    }

    /// Calls the connection with where it writes.
    fn write(&mut self, write: impl FnOnce(&mut Connection, &mut Writer<'_>)) {
        let mut writer = Writer { profile: &self.profile, scratch: &mut self.scratch, out: &mut self.out };
        write(&mut self.connection, &mut writer);
    }

    /// The frames written since the last call, as text.
    fn sent(&mut self) -> Vec<String> {
        let mut decoder = Decoder::new(Side::Client, 1_000_000);
        let mut bytes = std::mem::take(&mut self.out);
        let mut sent = Vec::new();
        let mut used = 0;
        while let Ok(Some(step)) = decoder.next(&mut bytes[used..]) {
            used += step.used;
            sent.push(match step.message {
                Some(Message::Text(text)) => text.into_owned(),
                Some(Message::Close { code, .. }) => format!("close {}", code.unwrap_or_default()),
                Some(Message::Pong(payload)) => {
                    format!("pong {}", String::from_utf8_lossy(payload))
                }
                other => format!("{other:?}"),
            });
        }
        assert_eq!(used, bytes.len(), "whole masked frames and nothing else");
        sent
    }
}

/// The event of the open packet [`OPEN`].
fn opened() -> Event {
    Event::Opened(wire::engineio::Open::decode(&OPEN[1..]).unwrap())
}

fn query() -> TokenIn {
    TokenIn::Query("token".into())
}

fn http(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A correct 101, then what `then` appends.
fn upgraded(protocol: Option<&str>, then: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    let key = std::str::from_utf8(KEY).unwrap();
    write_switching_protocols(&mut out, key, protocol);
    then(&mut out);
    out
}

/// A correct 101, then these text frames.
fn texts(texts: &[&str]) -> Vec<u8> {
    upgraded(None, |out| {
        for text in texts {
            write_frame(out, OpCode::Text, text.as_bytes(), None);
        }
    })
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    upgraded(None, |out| write_close(out, code, reason, None))
}

/// Receives `server` at once and byte by byte: both must give `events` and send `sent`.
#[track_caller]
fn check(protocol: Protocol, token_in: TokenIn, server: &[u8], events: &[Event], sent: &[&str], why: &str) {
    for chunk_bytes in [server.len().max(1), 1] {
        let mut dialogue = Dialogue::begin(protocol, token_in.clone());
        let mut held = Vec::new();
        for chunk in server.chunks(chunk_bytes) {
            dialogue.receive(&mut held, chunk);
        }
        assert_eq!(dialogue.events, events, "{why}");
        assert_eq!(dialogue.sent(), sent, "{why}");
    }
}

proptest! {
    #[test]
    fn cutting_the_input_changes_neither_events_nor_output(
        version in 0..3_usize,
        upgrade: bool,
        texts in proptest::collection::vec("[0-6]?[0-6]?[a-z0-9{}\\[\\]\",:/-]{0,20}", 0..6),
        noise in proptest::collection::vec(any::<u8>(), 0..64),
        chunk_bytes in 1..40_usize,
    ) {
        let mut server = Vec::new();
        if upgrade {
            server = super::tests::texts(&[OPEN]);
            for text in &texts {
                write_frame(&mut server, OpCode::Text, text.as_bytes(), None);
            }
        }
        server.extend_from_slice(&noise);
        let protocol = [RAW, V3, V4][version];
        let (mut whole, mut cut) =
            (Dialogue::begin(protocol, query()), Dialogue::begin(protocol, query()));
        whole.awaited = Some(1);
        cut.awaited = Some(1);
        whole.receive(&mut Vec::new(), &server);
        let mut held = Vec::new();
        for chunk in server.chunks(chunk_bytes) {
            cut.receive(&mut held, chunk);
        }
        prop_assert_eq!(&whole.events, &cut.events);
        prop_assert_eq!(whole.sent(), cut.sent());
    }
}
