//! What the peer says, stage by stage.

use serde_json::value::RawValue;
use wire::engineio::{self, Open, Version};
use wire::frame::{Message, OpCode, write_close, write_frame};
use wire::http::{ResponseHead, UpgradeRefused};
use wire::socketio::{self, Kind};

use crate::ground::outcome::FailureKind;
use crate::speak::connection::payload::is_payload;
use crate::speak::connection::{
    Connection, Credentials, Event, HEARTBEAT_MS_MIN, NO_CODE, PROTOCOL_ERROR, Profile, SUBPROTOCOL,
    SUBPROTOCOL_TOKEN_PREFIX, Stage, Step, Tools, Way, acknowledgement, poll, refusal, send_close, send_packet,
    send_scratch, write_connection_packet,
};
use crate::spec::{AnsweredBy, TokenIn};

/// See [`Connection::receive`].
pub(super) fn receive(
    connection: &mut Connection,
    tools: &mut Tools,
    credentials: Option<&Credentials>,
    awaited: Option<u64>,
    input: &mut [u8],
    out: &mut Vec<u8>,
) -> Step {
    match connection.stage {
        Stage::Upgrading => upgrade(connection, tools, credentials, input),
        Stage::Fresh | Stage::Ended => Step { used: input.len(), event: None },
        _ => frame(connection, tools, credentials, awaited, input, out),
    }
}

/// See [`Connection::receive_packet`].
pub(super) fn receive_packet(
    connection: &mut Connection,
    tools: &mut Tools,
    credentials: Option<&Credentials>,
    awaited: Option<u64>,
    text: &str,
    out: &mut Vec<u8>,
) -> Option<Event> {
    let version = tools.profile.engineio()?;
    match connection.stage {
        Stage::Opening | Stage::Joining | Stage::Open => {
            packet(connection, tools, version, credentials, awaited, text, out)
        }
        _ => None,
    }
}

/// The answer to the upgrade request (RFC 6455 section 4.1).
fn upgrade(connection: &mut Connection, tools: &mut Tools, credentials: Option<&Credentials>, input: &[u8]) -> Step {
    connection.answer_begun = !input.is_empty();
    let head = match ResponseHead::parse(input) {
        Ok(Some(head)) => head,
        Ok(None) => {
            return Step { used: 0, event: None };
        }
        Err(_) => return end(connection, input.len(), FailureKind::Protocol),
    };
    if matches!(head.status, 100 | 102..=199) {
        // An interim answer (RFC 9110 section 15.2); the one that counts comes after it.
        return Step { used: head.bytes, event: None };
    }
    match check(&head, tools, credentials) {
        Ok(()) => {
            let raw = tools.profile.engineio().is_none();
            let (stage, event) = match connection.way {
                _ if raw => (Stage::Grace, Event::Admitted),
                Way::Probe => (Stage::Probing, Event::Upgraded),
                _ => (Stage::Opening, Event::Upgraded),
            };
            connection.stage = stage;
            Step { used: head.bytes, event: Some(event) }
        }
        Err(UpgradeRefused::Status(status)) if refusal::is_refusing_status(status) => {
            refusal::of_response(&mut tools.reason, &head, &input[head.bytes..]);
            connection.stage = Stage::Ended;
            Step { used: input.len(), event: Some(Event::Refused) }
        }
        Err(UpgradeRefused::Status(status @ 300..=399)) if status != 304 => {
            end(connection, input.len(), FailureKind::Redirect)
        }
        Err(UpgradeRefused::Status(status)) => {
            let kind = match connection.way {
                Way::Probe => poll::failure(status, &input[head.bytes..]),
                _ => FailureKind::Http(status),
            };
            end(connection, input.len(), kind)
        }
        Err(_) => end(connection, input.len(), FailureKind::Protocol),
    }
}

/// Whether the 101 belongs to our request, with a subprotocol that was offered.
fn check(head: &ResponseHead<'_>, tools: &Tools, credentials: Option<&Credentials>) -> Result<(), UpgradeRefused> {
    let Some(Credentials { token, key }) = credentials else {
        return Err(UpgradeRefused::BadAccept);
    };
    let key = std::str::from_utf8(key).unwrap_or_default();
    if tools.profile.token_in != TokenIn::Subprotocol {
        return head.check_upgrade(key, &[]);
    }
    // A server may select the token's own entry; it is the one that was offered only with this very token.
    let selected = head
        .header("sec-websocket-protocol")
        .filter(|selected| {
            let shown = selected.strip_prefix(SUBPROTOCOL_TOKEN_PREFIX);
            shown.is_some() && shown == token.as_deref()
        })
        .unwrap_or(SUBPROTOCOL);
    head.check_upgrade(key, &[SUBPROTOCOL, selected])
}

/// One frame of an upgraded connection.
fn frame(
    connection: &mut Connection,
    tools: &mut Tools,
    credentials: Option<&Credentials>,
    awaited: Option<u64>,
    input: &mut [u8],
    out: &mut Vec<u8>,
) -> Step {
    let input_bytes = input.len();
    let (used, message) = match connection.decoder.next(input) {
        Ok(Some(step)) => (step.used, step.message),
        Ok(None) => {
            return Step { used: 0, event: None };
        }
        Err(error) => {
            let event = break_off(connection, tools, error.close_code(), out);
            return Step { used: input_bytes, event: Some(event) };
        }
    };
    let closing = connection.stage == Stage::Closing;
    let event = match message {
        Some(Message::Close { code, reason }) => {
            Some(peer_closed(connection, tools, code.unwrap_or(NO_CODE), reason, out))
        }
        _ if closing => None,
        Some(Message::Ping(payload)) => {
            write_frame(out, OpCode::Pong, payload, Some(tools.random.mask()));
            None
        }
        Some(Message::Pong(_)) | None => None,
        Some(Message::Text(text)) => match tools.profile.engineio() {
            None => Some(raw_message(connection, tools, awaited, text.as_bytes())),
            Some(version) => packet(connection, tools, version, credentials, awaited, &text, out),
        },
        Some(Message::Binary(bytes)) => match tools.profile.engineio() {
            None => Some(raw_message(connection, tools, awaited, &bytes)),
            // An attachment of an event: nothing that was asked for.
            Some(_) => None,
        },
    };
    Step { used, event }
}

/// A message of a raw WebSocket. Servers that treat text as bytes answer it in a binary frame.
fn raw_message(connection: &mut Connection, tools: &Tools, awaited: Option<u64>, bytes: &[u8]) -> Event {
    connection.settle();
    let length = tools.profile.echo.bytes;
    Event::Message { answers: awaited.is_some_and(|sequence| is_payload(bytes, sequence, length)) }
}

/// One Engine.IO packet.
fn packet(
    connection: &mut Connection,
    tools: &mut Tools,
    version: Version,
    credentials: Option<&Credentials>,
    awaited: Option<u64>,
    text: &str,
    out: &mut Vec<u8>,
) -> Option<Event> {
    let Ok(packet) = engineio::Packet::decode(text) else {
        return Some(break_off(connection, tools, PROTOCOL_ERROR, out));
    };
    if connection.stage == Stage::Probing {
        return (packet == engineio::Packet::Pong("probe")).then_some(Event::Probed);
    }
    match packet {
        engineio::Packet::Open(json) if connection.stage == Stage::Opening => {
            let Ok(open) = Open::decode(json) else {
                return Some(break_off(connection, tools, PROTOCOL_ERROR, out));
            };
            if version == Version::V3 {
                connection.heartbeat_ms = open.ping_interval_ms.max(HEARTBEAT_MS_MIN);
            }
            connection.join(tools, credentials, out);
            if connection.polls() {
                tools.opened = Some(open);
            }
            Some(Event::Opened)
        }
        engineio::Packet::Ping(data) => {
            send_packet(connection.way, tools, engineio::Packet::Pong(data), out);
            None
        }
        engineio::Packet::Close => Some(peer_closed(connection, tools, NO_CODE, "", out)),
        engineio::Packet::Message(_) if connection.stage == Stage::Opening => {
            Some(break_off(connection, tools, PROTOCOL_ERROR, out))
        }
        engineio::Packet::Message(text) if connection.stage == Stage::Joining => joining(connection, tools, text, out),
        engineio::Packet::Message(text) => joined(connection, tools, awaited, text, out),
        _ => None,
    }
}

/// A Socket.IO packet while the answer to ours is due.
fn joining(connection: &mut Connection, tools: &mut Tools, text: &str, out: &mut Vec<u8>) -> Option<Event> {
    let Ok(packet) = socketio::Packet::decode(text) else {
        return Some(break_off(connection, tools, PROTOCOL_ERROR, out));
    };
    match packet.kind {
        // Version 3 joins the root by itself, and is then asked for another.
        Kind::Connect if packet.namespace == "/" && packet.namespace != &*tools.profile.namespace => {
            write_connection_packet(tools, Kind::Connect);
            send_scratch(connection.way, tools, out);
            None
        }
        // A refusal by the root's middleware comes before any other namespace.
        Kind::ConnectError if packet.namespace == "/" => refused(connection, tools, &packet, out),
        _ if packet.namespace != &*tools.profile.namespace => None,
        Kind::Connect => {
            connection.stage = Stage::Open;
            Some(Event::Authenticated)
        }
        Kind::ConnectError => refused(connection, tools, &packet, out),
        Kind::Disconnect => Some(peer_closed(connection, tools, NO_CODE, "", out)),
        _ => None,
    }
}

/// The namespace is refused.
fn refused(
    connection: &mut Connection,
    tools: &mut Tools,
    packet: &socketio::Packet<'_>,
    out: &mut Vec<u8>,
) -> Option<Event> {
    refusal::of_connect_error(&mut tools.reason, packet.data);
    connection.close(tools, out);
    Some(Event::Refused)
}

/// A Socket.IO packet of an established connection.
fn joined(
    connection: &mut Connection,
    tools: &mut Tools,
    awaited: Option<u64>,
    text: &str,
    out: &mut Vec<u8>,
) -> Option<Event> {
    let Ok(packet) = socketio::Packet::decode(text) else {
        return Some(break_off(connection, tools, PROTOCOL_ERROR, out));
    };
    match packet.kind {
        _ if packet.namespace != &*tools.profile.namespace => None,
        Kind::Disconnect => Some(peer_closed(connection, tools, NO_CODE, "", out)),
        Kind::Event | Kind::Ack => {
            Some(Event::Message { answers: awaited.is_some_and(|sequence| answers(&tools.profile, &packet, sequence)) })
        }
        _ => None,
    }
}

/// Whether a packet answers message `sequence`: its acknowledgement, or an event of the same name and payload.
fn answers(profile: &Profile, packet: &socketio::Packet<'_>, sequence: u64) -> bool {
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

/// The peer closes: answers, and judges what that means for a handshake under way.
fn peer_closed(connection: &mut Connection, tools: &mut Tools, code: u16, words: &str, out: &mut Vec<u8>) -> Event {
    let stage = std::mem::replace(&mut connection.stage, Stage::Ended);
    if stage != Stage::Closing && !connection.polls() {
        // A close frame without a code is answered in kind by 1000; 1005 must not be sent (section 7.4.1).
        let answer = if code == NO_CODE { crate::speak::connection::NORMAL } else { code };
        write_close(out, answer, "", Some(tools.random.mask()));
    }
    match stage {
        Stage::Probing | Stage::Grace | Stage::Opening | Stage::Joining if refusal::is_refusing_close(code) => {
            refusal::of_close(&mut tools.reason, code, words);
            Event::Refused
        }
        Stage::Probing | Stage::Grace | Stage::Opening | Stage::Joining => Event::Failed(FailureKind::Closed(code)),
        _ => Event::Closed(code),
    }
}

/// The peer broke the rules: closes with `code`.
fn break_off(connection: &mut Connection, tools: &mut Tools, code: u16, out: &mut Vec<u8>) -> Event {
    let stage = std::mem::replace(&mut connection.stage, Stage::Ended);
    if stage != Stage::Closing {
        send_close(connection.way, tools, code, out);
    }
    match stage {
        Stage::Open | Stage::Closing => Event::Closed(code),
        _ => Event::Failed(FailureKind::Protocol),
    }
}

fn end(connection: &mut Connection, used: usize, kind: FailureKind) -> Step {
    connection.stage = Stage::Ended;
    Step { used, event: Some(Event::Failed(kind)) }
}
