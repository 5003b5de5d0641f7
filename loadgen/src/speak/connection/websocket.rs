//! WebSocket (RFC 6455): the answer to the upgrade, frames, and the messages of a raw WebSocket.

use wire::frame::Message;
use wire::http::{ResponseHead, UpgradeRefused};

use crate::ground::outcome::FailureKind;
use crate::speak::connection::payload::is_payload;
use crate::speak::connection::profile::{Profile, SUBPROTOCOL, SUBPROTOCOL_TOKEN_PREFIX};
use crate::speak::connection::state::{Awaited, Carrier, Connection, Credentials, Event, NO_CODE, NORMAL, Stage, Step};
use crate::speak::connection::writer::Writer;
use crate::speak::connection::{engineio, polling, refusal};
use crate::spec::TokenIn;

/// How Engine.IO's open packet begins, the first message of every server that speaks it.
const ENGINEIO_OPEN: &[u8] = b"0{\"sid\":";

/// The beginning of what breaks a protocol says what it is of.
const SHOWN_BYTES_MAX: usize = 80;

/// Takes the answer to the upgrade request (RFC 6455 section 4.1).
pub(super) fn receive_upgrade(
    connection: &mut Connection,
    awaited: Awaited<'_>,
    input: &[u8],
    writer: &mut Writer<'_>,
) -> Step {
    connection.answer_begun = !input.is_empty();
    let head = match ResponseHead::parse(input) {
        Ok(Some(head)) => head,
        Ok(None) => return Step { used: 0, event: None },
        Err(error) => {
            let begin = String::from_utf8_lossy(&input[..input.len().min(SHOWN_BYTES_MAX)]);
            refusal::explain(&mut writer.scratch.reason, format_args!("{error}; it begins: {begin}"));
            return fail(connection, input.len(), FailureKind::Protocol);
        }
    };
    if matches!(head.status, 100 | 102..=199) {
        // An interim answer (RFC 9110 section 15.2); the final one follows.
        return Step { used: head.bytes, event: None };
    }
    let body = &input[head.bytes..];
    match check(&head, writer.profile, awaited.credentials) {
        Ok(()) => {
            let (stage, event) = match (writer.profile.engineio(), connection.carrier) {
                (None, _) => (Stage::Grace, Event::Accepted),
                (Some(_), Carrier::Probe) => (Stage::Probing, Event::Upgraded),
                (Some(_), _) => (Stage::Opening, Event::Upgraded),
            };
            connection.stage = stage;
            Step { used: head.bytes, event: Some(event) }
        }
        Err(UpgradeRefused::Status(status)) if refusal::is_refusing_status(status) => {
            refusal::of_response(&mut writer.scratch.reason, &head, body);
            connection.stage = Stage::Closed;
            Step { used: input.len(), event: Some(Event::Refused) }
        }
        Err(UpgradeRefused::Status(status)) => {
            refusal::of_failed_response(&mut writer.scratch.reason, &head, body);
            let kind = match connection.carrier {
                _ if matches!(status, 300..=399) && status != 304 => FailureKind::Redirect,
                Carrier::Probe => polling::failure(status, body),
                _ => FailureKind::Http(status),
            };
            fail(connection, input.len(), kind)
        }
        Err(error) => {
            let selected = head.header("sec-websocket-protocol").unwrap_or("none");
            let shown = (error == UpgradeRefused::UnknownProtocol).then(|| format!(": it selected {selected}"));
            let shown = shown.unwrap_or_default();
            refusal::explain(&mut writer.scratch.reason, format_args!("{error}{shown} (RFC 6455 section 4.1)"));
            fail(connection, input.len(), FailureKind::Protocol)
        }
    }
}

/// Whether the 101 answers this client's key and selects a subprotocol that was offered.
fn check(head: &ResponseHead<'_>, profile: &Profile, sent: Option<&Credentials>) -> Result<(), UpgradeRefused> {
    let Some(Credentials { token, key }) = sent else {
        return Err(UpgradeRefused::BadAccept);
    };
    let key = std::str::from_utf8(key).unwrap_or_default();
    if profile.token_in != TokenIn::Subprotocol {
        return head.check_upgrade(key, &[]);
    }
    // A server may select the token's own entry, which only this token's request offers.
    let selected = head
        .header("sec-websocket-protocol")
        .filter(|selected| {
            let shown = selected.strip_prefix(SUBPROTOCOL_TOKEN_PREFIX);
            shown.is_some() && shown == token.as_deref()
        })
        .unwrap_or(SUBPROTOCOL);
    head.check_upgrade(key, &[SUBPROTOCOL, selected])
}

/// Takes one frame of an upgraded connection.
pub(super) fn receive_frame(
    connection: &mut Connection,
    awaited: Awaited<'_>,
    input: &mut [u8],
    writer: &mut Writer<'_>,
) -> Step {
    let input_bytes = input.len();
    let (used, message) = match connection.decoder.next(input) {
        Ok(Some(step)) => (step.used, step.message),
        Ok(None) => return Step { used: 0, event: None },
        Err(error) => {
            refusal::explain(&mut writer.scratch.reason, format_args!("{error} (RFC 6455)"));
            let event = connection.close_on_error(error.close_code(), writer);
            return Step { used: input_bytes, event: Some(event) };
        }
    };
    let event = match message {
        Some(Message::Close { code, reason }) => {
            Some(connection.closed_by_peer(code.unwrap_or(NO_CODE), reason, writer))
        }
        _ if connection.stage == Stage::Closing => None,
        Some(Message::Ping(payload)) => {
            writer.pong(payload);
            None
        }
        Some(Message::Pong(_)) | None => None,
        Some(Message::Text(text)) => match writer.profile.engineio() {
            None => Some(receive_message(connection, awaited, text.as_bytes(), writer)),
            Some(version) => engineio::receive(connection, version, awaited, &text, writer),
        },
        Some(Message::Binary(bytes)) => match writer.profile.engineio() {
            None => Some(receive_message(connection, awaited, &bytes, writer)),
            // An attachment of an event, which answers no message of this client.
            Some(_) => None,
        },
    };
    Step { used, event }
}

/// Takes a message of a raw WebSocket. Servers that treat text as bytes answer it in a binary frame.
fn receive_message(connection: &mut Connection, awaited: Awaited<'_>, bytes: &[u8], writer: &mut Writer<'_>) -> Event {
    if connection.stage == Stage::Grace && bytes.starts_with(ENGINEIO_OPEN) {
        let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]);
        refusal::explain(&mut writer.scratch.reason, format_args!("the first message is {begin}"));
        writer.close(connection.carrier, NORMAL);
        connection.stage = Stage::Closed;
        return Event::Failed(FailureKind::EngineIoOpen);
    }
    connection.end_grace();
    let is_answer = awaited.message.is_some_and(|sequence| is_payload(bytes, sequence, writer.profile.echo.bytes));
    Event::Message { is_answer }
}

fn fail(connection: &mut Connection, used: usize, kind: FailureKind) -> Step {
    connection.stage = Stage::Closed;
    Step { used, event: Some(Event::Failed(kind)) }
}
