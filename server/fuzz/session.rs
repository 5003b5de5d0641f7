//! A whole connection to a gate without sockets, as the reactor's shell runs one: requests, polls, frames, packets.

use std::sync::Arc;
use std::time::Duration;

use gatekeeper::gate::{
    GateShared,
    handshake::{self, HEAD_BYTES_MAX, Step},
};
use gatekeeper::metrics::End;
use gatekeeper::session::app::App;
use gatekeeper::session::engineio::{Probe, Probed};
use gatekeeper::session::polling::{Key, PollingSessions};
use gatekeeper::session::{Auth, Host, OnExpiry, Reply, Session, Sessions, Settings};
use gatekeeper::verify::Policy;
use rand::{SeedableRng, rngs::StdRng};

use super::{HEADER, NOW_S, sign, verifier};

/// Placeholders for the id of the polling session and for a valid token, which no fuzzer would find.
const SID: &[u8] = b"$sid";
const TOKEN: &[u8] = b"$token";

/// A connection, from its first byte: whatever a peer sends, in whatever pieces, the gate answers alike, holds no more than
/// it may, and nothing is left when the peer is gone. The first byte says what was sent before the input, the second how
/// the input is cut.
pub fn session(input: &[u8]) {
    let [before, cut, input @ ..] = input else {
        return;
    };
    let piece = usize::from(*cut) + 1;
    let token = sign(HEADER, br#"{"user":{"username":"ann"}}"#);
    let input = replace(input, TOKEN, &token);
    let upgrade = |target: &str| {
        let token = String::from_utf8_lossy(&token);
        format!(
            "GET {target}token={token} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    let before = match before % 6 {
        0 => Some(String::new()),
        1 => Some(upgrade("/ws?")),
        2 => Some(upgrade("/socket.io/?EIO=4&transport=websocket&")),
        3 => Some(upgrade("/socket.io/?EIO=3&transport=websocket&")),
        4 => Some(upgrade("/engine.io/?EIO=4&transport=websocket&")),
        _ => None,
    };
    let play = |piece: usize| {
        let mut connection = Connection::new();
        let sid = match &before {
            Some(before) => {
                connection.receive(before.as_bytes());
                Vec::new()
            }
            None => connection.open_polling(),
        };
        for piece in replace(&input, SID, &sid).chunks(piece) {
            connection.receive(piece);
        }
        connection.end()
    };
    assert_eq!(play(piece), play(usize::MAX), "however the input is cut");
}

fn replace(input: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = input;
    while let Some(at) = find(rest, name) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(value);
        rest = &rest[at + name.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// The number of the connection in its shard.
const NUMBER: u64 = 1;
/// The longest message; short, so that a fuzzer finds the limit.
const MESSAGE_BYTES_MAX: u32 = 1_000;
/// What an unused input may hold beyond the longest message: the framing of a body in chunks, and one read.
const INPUT_SLACK_BYTES: usize = 64 * 1024;

/// The stage of a connection.
enum Stage {
    Handshake { seen_bytes: usize },
    Posting(Box<handshake::Posting>),
    Waiting(Key),
    Probing(Box<Probe>),
    Session(Session),
    Over,
}

/// A connection and its gate.
struct Connection {
    sessions: Sessions,
    shared: GateShared,
    stage: Stage,
    /// Input that is not consumed yet.
    held: Vec<u8>,
    sent: Vec<u8>,
    end: Option<End>,
}

impl Connection {
    /// A connection that was just accepted.
    fn new() -> Self {
        let settings = Settings {
            auth: Auth::Token,
            on_expiry: OnExpiry::Close,
            app: App::Conformance,
            message_bytes_max: MESSAGE_BYTES_MAX,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
        };
        let mut host =
            Host::new(Arc::new(settings), verifier(&Policy::default()), Arc::default(), StdRng::seed_from_u64(7));
        host.unix_ns = NOW_S * 1_000_000_000;
        Self {
            sessions: Sessions { host, polls: PollingSessions::new(0, 4, 4, usize::MAX) },
            shared: GateShared::new(vec!["http://page".to_owned()], None, 1),
            stage: Stage::Handshake { seen_bytes: 0 },
            held: Vec::new(),
            sent: Vec::new(),
            end: None,
        }
    }

    /// Opens a session that polls, by a request of its own; its id.
    fn open_polling(&mut self) -> Vec<u8> {
        self.receive(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n");
        let sent = std::mem::take(&mut self.sent);
        let start = find(&sent, SID_MEMBER).expect("an open packet") + SID_MEMBER.len();
        sent[start..].split(|byte| *byte == b'"').next().unwrap_or_default().to_vec()
    }

    /// Handles bytes from the peer.
    fn receive(&mut self, bytes: &[u8]) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        self.held.extend_from_slice(bytes);
        loop {
            let before = self.held.len();
            self.act();
            self.answer_polls();
            if self.held.is_empty() || self.held.len() == before || matches!(self.stage, Stage::Over) {
                break;
            }
        }
        let limit = HEAD_BYTES_MAX + MESSAGE_BYTES_MAX as usize + INPUT_SLACK_BYTES;
        assert!(
            matches!(self.stage, Stage::Waiting(_) | Stage::Over) || self.held.len() <= limit + bytes.len(),
            "a peer makes the gate hold {} bytes",
            self.held.len()
        );
    }

    /// Closes the connection; returns the bytes that were sent to the peer, without ids, and the reason of the end.
    fn end(mut self) -> (String, Option<End>) {
        // The gate looks at an unfinished head again when its end is there, or its time over.
        if matches!(self.stage, Stage::Handshake { .. }) && !self.held.is_empty() {
            self.request(0);
        }
        let end = self.end.unwrap_or(End::Gone);
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Posting(posting) => self.sessions.connection_lost(posting.key, NUMBER),
            Stage::Waiting(key) => self.sessions.connection_lost(key, NUMBER),
            Stage::Probing(probe) => probe.ended(end, &mut self.sessions),
            Stage::Session(session) => session.ended(end, &mut self.sessions),
            Stage::Handshake { .. } | Stage::Over => {}
        }
        self.sessions.end_all();
        assert!(self.sessions.host.users.is_empty(), "a user outlives all its sessions");
        assert_eq!(self.sessions.polls.count(), 0, "a session is left");
        (without_ids(&self.sent), self.end)
    }

    fn act(&mut self) {
        let mut stage = std::mem::replace(&mut self.stage, Stage::Over);
        let seen_bytes = match &mut stage {
            Stage::Handshake { seen_bytes } if self.held.len() > *seen_bytes => Some(*seen_bytes),
            Stage::Posting(posting) => (!posting.is_incomplete(&self.held)).then_some(0),
            _ => None,
        };
        if let Some(seen_bytes) = seen_bytes {
            return self.request(seen_bytes);
        }
        let mut reply = Reply::new(&mut self.sent, 0);
        let mut used = 0;
        self.stage = match stage {
            Stage::Probing(mut probe) => {
                let (taken, probed) = probe.received(&mut self.held, &mut self.sessions, &mut reply);
                used = taken;
                match probed {
                    Probed::More => Stage::Probing(probe),
                    Probed::Upgraded(session) => Stage::Session(Session::EngineIo(Box::new(session))),
                }
            }
            Stage::Session(mut session) => {
                used = session.received(&mut self.held, &mut self.sessions.host, &mut reply);
                Stage::Session(session)
            }
            waiting => waiting,
        };
        let end = reply.end;
        assert!(used <= self.held.len(), "more was used than there is");
        self.held.drain(..used);
        if let Some(end) = end {
            self.close(end);
        }
    }

    fn request(&mut self, seen_bytes: usize) {
        let connection = handshake::Connection { number: NUMBER, seen_bytes, connect_by_ns: u64::MAX, owner: None };
        let mut reply = Reply::new(&mut self.sent, 0);
        let step = handshake::take(&self.held, connection, &self.shared, &mut self.sessions, &mut reply);
        let (used, stage) = match step {
            Step::Incomplete => (0, Stage::Handshake { seen_bytes: self.held.len() }),
            Step::NeedsLookup(_) => unreachable!("tokens let clients in here"),
            Step::Posting(posting) => (0, Stage::Posting(posting)),
            Step::Answered | Step::Forward(_) => (self.held.len(), Stage::Over),
            Step::Served(used) => (used, Stage::Handshake { seen_bytes: 0 }),
            Step::PollWaits(used, key) => (used, Stage::Waiting(key)),
            Step::Probing(used, probe) => (used, Stage::Probing(probe)),
            Step::Opened(used, session) => (used, Stage::Session(session)),
        };
        self.held.drain(..used);
        self.stage = stage;
    }

    /// Answers this connection's poll, if it has one that can be answered.
    fn answer_polls(&mut self) {
        for delivery in self.sessions.polls.deliveries() {
            let packets = format!("{:?}", delivery.packets);
            self.sent.extend_from_slice(packets.as_bytes());
            if matches!(self.stage, Stage::Waiting(_)) {
                self.stage = Stage::Handshake { seen_bytes: 0 };
            }
        }
        if self.sessions.polls.probes_to_close().contains(&NUMBER) {
            self.close(End::Gone);
        }
    }

    fn close(&mut self, end: End) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Probing(probe) => probe.ended(end, &mut self.sessions),
            Stage::Session(session) => session.ended(end, &mut self.sessions),
            _ => {}
        }
        self.held.clear();
        self.end = Some(end);
    }
}

const SID_MEMBER: &[u8] = br#""sid":""#;

/// The sent bytes without what differs between runs: random ids, and the metrics page.
fn without_ids(sent: &[u8]) -> String {
    // In a script's string an id stands between escaped quotes.
    let sent = &replace(sent, b"\\\"", b"\"");
    let mut received = Vec::new();
    let mut rest = match find(sent, b"version=0.0.4") {
        Some(at) => &sent[..sent[..at].iter().rposition(|byte| *byte == b'H').unwrap_or(at)],
        None => sent,
    };
    while let Some(at) = find(rest, SID_MEMBER) {
        let value = at + SID_MEMBER.len();
        received.extend_from_slice(&rest[..value]);
        let id_bytes = rest[value..].iter().position(|byte| *byte == b'"');
        rest = &rest[value + id_bytes.unwrap_or_default()..];
    }
    received.extend_from_slice(rest);
    // A 100 is sent only if the body has not arrived yet.
    String::from_utf8_lossy(&received).replace("HTTP/1.1 100 Continue\r\n\r\n", "")
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
