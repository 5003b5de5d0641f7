//! One connection as a state machine: bytes in, bytes out, events.
//!
//! Nothing here knows about sockets, clocks or counts: the engine reads and writes, stamps the events, decides about
//! deadlines and outcomes. What a connection speaks is in its [`Profile`], what it needs while it speaks in
//! [`Tools`], both shared by all connections of a shard, so that a parked connection is a few bytes.
//!
//! ```text
//! raw WebSocket   Upgrading -101-> Grace ----------------------------- first message, or settle() -> Open
//! Socket.IO       Upgrading -101-> Opening -open packet-> Joining ---------------- connect packet -> Open
//! by polling                       Opening -open packet-> Joining ---------------- connect packet -> Open
//! probe           Upgrading -101-> Probing -3probe-> gives way to the session that polled
//! ```
//!
//! What a session writes that polls is not what goes over a socket but the payload of its next POST; the engine puts it
//! behind a request.

mod payload;
mod poll;
mod profile;
mod random;
mod refusal;
mod step;
#[cfg(test)]
mod tests;

use wire::engineio;
use wire::frame::{Decoder, OpCode, Side, write_close, write_frame};
use wire::socketio;

use crate::ground::outcome::FailureKind;
use crate::ground::values::Token;
use crate::spec::{MESSAGE_BYTES_MAX, TokenIn};

pub use poll::{Answer, Content, answer};
pub use profile::{Ask, Profile, SUBPROTOCOL, SUBPROTOCOL_TOKEN_PREFIX};
pub use random::Random;

/// The longest message that is taken from a target: the longest that is sent, and what packets put around it.
pub const ANSWER_BYTES_MAX: u32 = MESSAGE_BYTES_MAX as u32 + 100_000;

/// A client's heartbeat comes no more often than this, whatever interval a server announces: a peer must not be able
/// to make the generator spin.
pub const HEARTBEAT_MS_MIN: u32 = 100;

/// Close codes (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;
const NO_CODE: u16 = 1005;
const NO_CLOSE_FRAME: u16 = 1006;
const PROTOCOL_ERROR: u16 = 1002;

/// The protocol's part of one socket.
#[derive(Debug)]
pub struct Connection {
    decoder: Decoder,
    /// Engine.IO 3's ping interval once it is known, at least [`HEARTBEAT_MS_MIN`]; zero: the server pings, or nobody.
    heartbeat_ms: u32,
    stage: Stage,
    /// An answer to the upgrade has begun to come in.
    answer_begun: bool,
    way: Way,
}

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In frames.
    WebSocket,
    /// In the payloads of polls.
    Polling,
    /// In frames on trial, while the session polls elsewhere.
    Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// TCP or TLS is not up yet.
    Fresh,
    /// The request is sent, its answer is due.
    Upgrading,
    /// Raw WebSocket: upgraded, and not yet known to be let in for good.
    Grace,
    /// A probe has its 101, the answer to its ping is due.
    Probing,
    /// Socket.IO: Engine.IO's open packet is due.
    Opening,
    /// Socket.IO: the answer to the connect packet is due.
    Joining,
    /// Established.
    Open,
    /// Our close frame is sent, the peer's is due.
    Closing,
    /// Nothing more is said or heard.
    Ended,
}

/// What one arrival brings into its handshake.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Shown where the profile says; `None`: an arrival without a token.
    pub token: Option<Token>,
    /// `Sec-WebSocket-Key`.
    pub key: [u8; 24],
}

/// What the connections of a shard share while they speak.
#[derive(Debug)]
pub struct Tools {
    /// What is spoken.
    pub profile: Profile,
    /// Masks and keys.
    pub random: Random,
    /// The server's words of the last [`Event::Refused`].
    pub reason: String,
    /// The last [`Event::Opened`] of a session that polls.
    pub opened: Option<engineio::Open>,
    /// A message before it is framed.
    scratch: Vec<u8>,
}

/// What came of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that were used.
    pub used: usize,
    /// What they told, if anything.
    pub event: Option<Event>,
}

/// Something that the engine must know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The 101 is there; Socket.IO goes on to its open packet.
    Upgraded,
    /// The 101 is there, and with it a raw WebSocket is let in, unless it is closed within its grace.
    Admitted,
    /// Engine.IO's open packet is there; by polling it is in [`Tools::opened`].
    Opened,
    /// The session may move here.
    Probed,
    /// The Socket.IO namespace is connected.
    Authenticated,
    /// An established connection's message, which also ends a grace.
    Message {
        /// It answers the message that was waited for.
        answers: bool,
    },
    /// The token was refused; the words are in [`Tools::reason`].
    Refused,
    /// The handshake broke.
    Failed(FailureKind),
    /// The peer closed an established connection with this code, or answered our close.
    Closed(u16),
}

impl Tools {
    /// For the shard with this randomness.
    pub fn new(profile: Profile, random: Random) -> Self {
        Self { profile, random, reason: String::new(), opened: None, scratch: Vec::new() }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// One whose transport is not up yet.
    pub fn new() -> Self {
        Self::by(Way::WebSocket)
    }

    /// The same for a session that begins by polling.
    pub fn polling() -> Self {
        Self::by(Way::Polling)
    }

    /// The same for the WebSocket that such a session is to move to.
    pub fn probe() -> Self {
        Self::by(Way::Probe)
    }

    fn by(way: Way) -> Self {
        Self {
            decoder: Decoder::new(Side::Server, ANSWER_BYTES_MAX),
            heartbeat_ms: 0,
            stage: Stage::Fresh,
            answer_begun: false,
            way,
        }
    }

    /// Whether it polls.
    pub fn polls(&self) -> bool {
        self.way == Way::Polling
    }

    /// The transport is up: asks for the upgrade, or opens a session that polls.
    pub fn start(&mut self, tools: &Tools, credentials: &Credentials, out: &mut Vec<u8>) {
        let token = credentials.token.as_deref();
        if self.polls() {
            tools.profile.write_ask(out, Ask::Open, token);
            self.stage = Stage::Opening;
        } else {
            tools.profile.write_request(out, token, &credentials.key);
            self.stage = Stage::Upgrading;
        }
    }

    /// A probe's transport is up: asks for the session's upgrade.
    pub fn start_probe(&mut self, tools: &Tools, credentials: &Credentials, sid: &str, out: &mut Vec<u8>) {
        let key = &credentials.key;
        let token = credentials.token.as_deref();
        tools.profile.write_ask(out, Ask::Move { sid, key }, token);
        self.stage = Stage::Upgrading;
    }

    /// A probe has its 101: sends its ping.
    pub fn ping_probe(&mut self, tools: &mut Tools, out: &mut Vec<u8>) {
        send_packet(self.way, tools, engineio::Packet::Ping("probe"), out);
    }

    /// Moves a session that polled to the WebSocket of its probe, and says so there.
    pub fn move_to(&mut self, probe: Self, tools: &mut Tools, out: &mut Vec<u8>) {
        self.decoder = probe.decoder;
        self.way = Way::WebSocket;
        send_packet(self.way, tools, engineio::Packet::Upgrade, out);
    }

    /// Takes one packet of a poll's answer; what it has to say is added to `payload`, that of the next POST.
    pub fn receive_packet(
        &mut self,
        tools: &mut Tools,
        credentials: Option<&Credentials>,
        awaited: Option<u64>,
        packet: &str,
        payload: &mut Vec<u8>,
    ) -> Option<Event> {
        step::receive_packet(self, tools, credentials, awaited, packet, payload)
    }

    /// Takes one step through `input`, whose frames it unmasks in place. Call it again from [`Step::used`] on until a
    /// step uses nothing and tells nothing. `credentials` are those of `start`, needed until the handshake is over;
    /// `awaited` is the number of the message whose answer is due.
    pub fn receive(
        &mut self,
        tools: &mut Tools,
        credentials: Option<&Credentials>,
        awaited: Option<u64>,
        input: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Step {
        step::receive(self, tools, credentials, awaited, input, out)
    }

    /// The grace is over: a raw WebSocket is let in for good.
    pub fn settle(&mut self) {
        if self.stage == Stage::Grace {
            self.stage = Stage::Open;
        }
    }

    /// What it means for a handshake that the peer ended TCP with a FIN.
    pub fn when_ended(&self) -> FailureKind {
        match self.stage {
            _ if self.polls() => FailureKind::Reset,
            Stage::Upgrading if self.answer_begun => FailureKind::Protocol,
            Stage::Fresh | Stage::Upgrading => FailureKind::Reset,
            _ => FailureKind::Closed(NO_CLOSE_FRAME),
        }
    }

    /// Sends message `sequence`, whose low 24 bits are also the id of the acknowledgement, where one is asked for:
    /// servers answer by an event, by an acknowledgement, or by both.
    pub fn say(&mut self, tools: &mut Tools, sequence: u64, out: &mut Vec<u8>) {
        let bytes = tools.profile.echo.bytes;
        let asks_for_ack = tools.profile.echo.answered_by.asks_for_ack();
        tools.scratch.clear();
        if tools.profile.engineio().is_none() {
            payload::write_payload(&mut tools.scratch, sequence, bytes);
        } else {
            engineio::Packet::Message("").encode(&mut tools.scratch);
            let head = socketio::Packet {
                kind: socketio::Kind::Event,
                attachments: 0,
                namespace: &tools.profile.namespace,
                id: asks_for_ack.then(|| acknowledgement(sequence)),
                data: &tools.profile.event_start,
            };
            head.encode(&mut tools.scratch);
            payload::write_payload(&mut tools.scratch, sequence, bytes);
            tools.scratch.extend_from_slice(b"\"]");
        }
        send_scratch(self.way, tools, out);
    }

    /// How often this side must send a heartbeat; `None`: never.
    pub fn heartbeat_ms(&self) -> Option<u32> {
        (self.heartbeat_ms > 0).then_some(self.heartbeat_ms)
    }

    /// Sends a heartbeat (Engine.IO 3's ping).
    pub fn beat(&mut self, tools: &mut Tools, out: &mut Vec<u8>) {
        send_packet(self.way, tools, engineio::Packet::Ping(""), out);
    }

    /// Begins to close: leaves the namespace, then a close frame with 1000, by polling Engine.IO's close packet. What the
    /// peer still says is passed over until its own close frame.
    pub fn close(&mut self, tools: &mut Tools, out: &mut Vec<u8>) {
        if self.stage == Stage::Open && tools.profile.engineio().is_some() {
            write_connection_packet(tools, socketio::Kind::Disconnect);
            send_scratch(self.way, tools, out);
        }
        self.close_frame(tools, out);
    }

    /// The same without leaving the namespace first.
    pub fn close_frame(&mut self, tools: &mut Tools, out: &mut Vec<u8>) {
        match self.stage {
            Stage::Fresh | Stage::Upgrading | Stage::Ended => self.stage = Stage::Ended,
            Stage::Closing => {}
            Stage::Probing | Stage::Grace | Stage::Opening | Stage::Joining | Stage::Open => {
                send_close(self.way, tools, NORMAL, out);
                self.stage = Stage::Closing;
            }
        }
    }

    /// Joins the namespace: version 4 of Engine.IO asks for it, version 3 waits for the server's word.
    fn join(&mut self, tools: &mut Tools, credentials: Option<&Credentials>, out: &mut Vec<u8>) {
        self.stage = Stage::Joining;
        if tools.profile.engineio() != Some(engineio::Version::V4) {
            return;
        }
        write_connection_packet(tools, socketio::Kind::Connect);
        let token = credentials.and_then(|credentials| credentials.token.as_deref());
        if let (TokenIn::Auth(name), Some(token)) = (&tools.profile.token_in, token) {
            let auth = serde_json::json!({ name: token });
            // A Vec takes every byte, and strings always serialise.
            let _ = serde_json::to_writer(&mut tools.scratch, &auth);
        }
        send_scratch(self.way, tools, out);
    }
}

/// Writes a packet of Socket.IO about the namespace, without data.
fn write_connection_packet(tools: &mut Tools, kind: socketio::Kind) {
    tools.scratch.clear();
    engineio::Packet::Message("").encode(&mut tools.scratch);
    let packet = socketio::Packet { kind, attachments: 0, namespace: &tools.profile.namespace, id: None, data: "" };
    packet.encode(&mut tools.scratch);
}

/// The acknowledgement id of a message: small enough for a server whose numbers are doubles.
fn acknowledgement(sequence: u64) -> u64 {
    sequence & 0xff_ffff
}

fn send_packet(way: Way, tools: &mut Tools, packet: engineio::Packet<'_>, out: &mut Vec<u8>) {
    tools.scratch.clear();
    packet.encode(&mut tools.scratch);
    send_scratch(way, tools, out);
}

fn send_scratch(way: Way, tools: &mut Tools, out: &mut Vec<u8>) {
    if way == Way::Polling {
        let version = tools.profile.engineio().unwrap_or(engineio::Version::V4);
        // What is written here is text, from parts that are.
        let packet = std::str::from_utf8(&tools.scratch).unwrap_or_default();
        return engineio::push_text(version, packet, out);
    }
    let mask = tools.random.mask();
    write_frame(out, OpCode::Text, &tools.scratch, Some(mask));
}

/// Says that nothing more follows: a close frame with this code, by polling Engine.IO's close packet.
fn send_close(way: Way, tools: &mut Tools, code: u16, out: &mut Vec<u8>) {
    if way == Way::Polling {
        send_packet(way, tools, engineio::Packet::Close, out);
    } else {
        write_close(out, code, "", Some(tools.random.mask()));
    }
}
