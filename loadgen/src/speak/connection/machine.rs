//! The state machine: what the engine calls, each call a dispatch to the protocol in use.

use wire::engineio::Packet;
use wire::frame::{Decoder, Side};

use crate::ground::outcome::FailureKind;
use crate::speak::connection::payload::write_payload;
use crate::speak::connection::profile::{PollRequest, Profile};
use crate::speak::connection::state::{
    ANSWER_BYTES_MAX, Awaited, Carrier, Connection, Credentials, Event, NO_CLOSE_FRAME, Stage, Step,
};
use crate::speak::connection::writer::Writer;
use crate::speak::connection::{engineio, socketio, websocket};

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// A WebSocket whose transport is not up yet.
    pub fn new() -> Self {
        Self::with(Carrier::WebSocket)
    }

    /// A session that begins by polling.
    pub fn polling() -> Self {
        Self::with(Carrier::Polling)
    }

    /// A WebSocket that a polling session may move to.
    pub fn probe() -> Self {
        Self::with(Carrier::Probe)
    }

    fn with(carrier: Carrier) -> Self {
        Self {
            decoder: Decoder::new(Side::Server, ANSWER_BYTES_MAX),
            heartbeat_ms: 0,
            stage: Stage::Connecting,
            answer_begun: false,
            carrier,
        }
    }

    /// Whether its packets travel by polling.
    pub fn is_polling(&self) -> bool {
        self.carrier == Carrier::Polling
    }

    /// The transport is up: writes the upgrade request, or the one that opens a session.
    pub fn start(&mut self, profile: &Profile, credentials: &Credentials, out: &mut Vec<u8>) {
        let token = credentials.token.as_deref();
        if self.is_polling() {
            profile.write_poll_request(out, PollRequest::Open, token);
            self.stage = Stage::Opening;
        } else {
            profile.write_request(out, token, &credentials.key);
            self.stage = Stage::Upgrading;
        }
    }

    /// A probe's transport is up: writes the upgrade request of the session.
    pub fn start_probe(&mut self, profile: &Profile, credentials: &Credentials, sid: &str, out: &mut Vec<u8>) {
        let request = PollRequest::Move { sid, key: &credentials.key };
        profile.write_poll_request(out, request, credentials.token.as_deref());
        self.stage = Stage::Upgrading;
    }

    /// A probe has its 101: writes its ping.
    pub fn write_probe_ping(&self, writer: &mut Writer<'_>) {
        writer.packet(self.carrier, Packet::Ping("probe"));
    }

    /// Moves a session that polled to the WebSocket of its probe, and writes the upgrade packet there.
    pub fn move_to(&mut self, probe: Self, writer: &mut Writer<'_>) {
        self.decoder = probe.decoder;
        self.carrier = Carrier::WebSocket;
        writer.packet(self.carrier, Packet::Upgrade);
    }

    /// Takes one packet of a poll's answer.
    pub fn receive_packet(&mut self, awaited: Awaited<'_>, packet: &str, writer: &mut Writer<'_>) -> Option<Event> {
        let version = writer.profile.engineio()?;
        match self.stage {
            Stage::Opening | Stage::Joining | Stage::Open => engineio::receive(self, version, awaited, packet, writer),
            _ => None,
        }
    }

    /// Takes one step through `input`, whose frames it unmasks in place. Call it again from [`Step::used`] on until a
    /// step uses nothing and has no event.
    pub fn receive(&mut self, awaited: Awaited<'_>, input: &mut [u8], writer: &mut Writer<'_>) -> Step {
        match self.stage {
            Stage::Upgrading => websocket::receive_upgrade(self, awaited, input, writer),
            Stage::Connecting | Stage::Closed => Step { used: input.len(), event: None },
            _ => websocket::receive_frame(self, awaited, input, writer),
        }
    }

    /// What it means for a handshake that the peer ended TCP with a FIN.
    pub fn failure_at_fin(&self) -> FailureKind {
        match self.stage {
            _ if self.is_polling() => FailureKind::Reset,
            Stage::Upgrading if self.answer_begun => FailureKind::Protocol,
            Stage::Connecting | Stage::Upgrading => FailureKind::Reset,
            _ => FailureKind::Closed(NO_CLOSE_FRAME),
        }
    }

    /// Writes message `sequence`.
    pub fn write_message(&mut self, sequence: u64, writer: &mut Writer<'_>) {
        writer.scratch.text.clear();
        if writer.profile.engineio().is_none() {
            write_payload(&mut writer.scratch.text, sequence, writer.profile.echo.bytes);
        } else {
            socketio::encode_event(writer, sequence);
        }
        writer.text(self.carrier);
    }

    /// How often this side must send a heartbeat; `None`: never.
    pub fn heartbeat_ms(&self) -> Option<u32> {
        (self.heartbeat_ms > 0).then_some(self.heartbeat_ms)
    }

    /// Writes a heartbeat (Engine.IO 3's ping).
    pub fn write_heartbeat(&mut self, writer: &mut Writer<'_>) {
        writer.packet(self.carrier, Packet::Ping(""));
    }

    /// Leaves the namespace, then closes as [`Self::close_frame`] does.
    pub fn close(&mut self, writer: &mut Writer<'_>) {
        if self.stage == Stage::Open && writer.profile.engineio().is_some() {
            socketio::leave(self, writer);
        }
        self.close_frame(writer);
    }
}
