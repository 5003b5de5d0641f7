//! Socket.IO's packets: joining the namespace, messages and their answers.

use serde_json::value::RawValue;
use wire::engineio::{Packet as EnginePacket, Version};
use wire::socketio::{Kind, Packet};

use crate::speak::connection::payload::{is_payload, write_payload};
use crate::speak::connection::profile::Profile;
use crate::speak::connection::refusal;
use crate::speak::connection::state::{Awaited, Connection, Event, PROTOCOL_ERROR, Stage};
use crate::speak::connection::writer::{Scratch, Writer};
use crate::spec::{AnsweredBy, TokenIn};

/// Joins the namespace: Engine.IO 4 sends a connect packet, Engine.IO 3 waits for the server's.
pub(super) fn join(connection: &mut Connection, token: Option<&str>, writer: &mut Writer<'_>) {
    connection.stage = Stage::Joining;
    if writer.profile.engineio() != Some(Version::V4) {
        return;
    }
    encode_bare(writer.scratch, writer.profile, Kind::Connect);
    if let (TokenIn::Auth(name), Some(token)) = (&writer.profile.token_in, token) {
        let auth = serde_json::json!({ name: token });
        // A Vec takes every byte, and strings always serialise.
        let _ = serde_json::to_writer(&mut writer.scratch.text, &auth);
    }
    writer.text(connection.carrier);
}

/// Leaves the namespace.
pub(super) fn leave(connection: &Connection, writer: &mut Writer<'_>) {
    encode_bare(writer.scratch, writer.profile, Kind::Disconnect);
    writer.text(connection.carrier);
}

/// Puts event `sequence` into the scratch buffer. The low 24 bits of its number are also its acknowledgement id, where
/// one is asked for: servers answer by an event, by an acknowledgement, or by both.
pub(super) fn encode_event(writer: &mut Writer<'_>, sequence: u64) {
    let (profile, text) = (writer.profile, &mut writer.scratch.text);
    EnginePacket::Message("").encode(text);
    let head = Packet {
        kind: Kind::Event,
        attachments: 0,
        namespace: &profile.namespace,
        id: profile.echo.answered_by.asks_for_ack().then(|| acknowledgement(sequence)),
        data: &profile.event_start,
    };
    head.encode(text);
    write_payload(text, sequence, profile.echo.bytes);
    text.extend_from_slice(b"\"]");
}

/// Takes one packet.
pub(super) fn receive(
    connection: &mut Connection,
    awaited: Awaited<'_>,
    text: &str,
    writer: &mut Writer<'_>,
) -> Option<Event> {
    let packet = match Packet::decode(text) {
        Ok(_) if connection.stage == Stage::Opening => {
            let words = format_args!("a Socket.IO packet came before Engine.IO's open packet");
            refusal::explain(&mut writer.scratch.reason, words);
            return Some(connection.close_on_error(PROTOCOL_ERROR, writer));
        }
        Ok(packet) => packet,
        Err(error) => return Some(connection.close_on_packet(text, &error, writer)),
    };
    let is_ours = packet.namespace == &*writer.profile.namespace;
    match packet.kind {
        Kind::Connect if connection.stage == Stage::Joining && is_ours => {
            connection.stage = Stage::Open;
            Some(Event::Authenticated)
        }
        // Version 3 joins the root by itself, and is then asked for another namespace.
        Kind::Connect if connection.stage == Stage::Joining && packet.namespace == "/" => {
            encode_bare(writer.scratch, writer.profile, Kind::Connect);
            writer.text(connection.carrier);
            None
        }
        // A refusal by the root's middleware comes before any other namespace.
        Kind::ConnectError if connection.stage == Stage::Joining && (is_ours || packet.namespace == "/") => {
            refusal::of_connect_error(&mut writer.scratch.reason, packet.data);
            connection.close_frame(writer);
            Some(Event::Refused)
        }
        Kind::Disconnect if is_ours => Some(connection.disconnected_by_peer(writer)),
        Kind::Event | Kind::Ack if is_ours && connection.stage != Stage::Joining => {
            let answers = |sequence| is_answer(writer.profile, &packet, sequence);
            Some(Event::Message { is_answer: awaited.message.is_some_and(answers) })
        }
        _ => None,
    }
}

/// Whether a packet answers message `sequence`: its acknowledgement, or an event of the same name and payload.
fn is_answer(profile: &Profile, packet: &Packet<'_>, sequence: u64) -> bool {
    if packet.kind == Kind::Ack {
        return packet.id == Some(acknowledgement(sequence));
    }
    if profile.echo.answered_by == AnsweredBy::Ack {
        return false;
    }
    let bytes = profile.echo.bytes;
    // The text as nearly every server writes it needs no parser.
    if let Some(rest) = packet.data.strip_prefix(&*profile.event_start)
        && let Some((payload, _)) = rest.split_once('"')
    {
        return is_payload(payload.as_bytes(), sequence, bytes);
    }
    packet.event_name().as_deref() == Some(&*profile.echo.event)
        && serde_json::from_str::<Vec<&RawValue>>(packet.data)
            .ok()
            .and_then(|event| {
                let argument = event.get(1)?.get();
                argument.strip_prefix('"')?.strip_suffix('"')
            })
            .is_some_and(|payload| is_payload(payload.as_bytes(), sequence, bytes))
}

/// The acknowledgement id of a message: small enough for a server whose numbers are doubles.
fn acknowledgement(sequence: u64) -> u64 {
    sequence & 0xff_ffff
}

/// Puts a packet about the namespace, without data, into the scratch buffer.
fn encode_bare(scratch: &mut Scratch, profile: &Profile, kind: Kind) {
    scratch.text.clear();
    EnginePacket::Message("").encode(&mut scratch.text);
    let packet = Packet { kind, attachments: 0, namespace: &profile.namespace, id: None, data: "" };
    packet.encode(&mut scratch.text);
}
