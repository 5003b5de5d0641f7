//! What the connections of a session receive.

use wire::engineio::{Form, Item, decode_payload};

use crate::drive::engine::common::Call;
use crate::drive::engine::handshakes::Handshakes;
use crate::drive::engine::polling::requests::write_poll;
use crate::drive::engine::sessions::DeferredAction;
use crate::drive::engine::socket::State;
use crate::ground::outcome::{FailureKind, Phase};
use crate::ground::time::ShardInstant;
use crate::speak::connection::{Awaited, Event, PollContent, Writer, parse_poll_answer};

/// How a malformed payload ends an established session (RFC 6455's "protocol error": polling has no code for it).
const MALFORMED_PAYLOAD: u16 = 1002;

/// Takes bytes on the connection of a session's GETs; answers how many were used.
pub fn receive_poll_answers(handshakes: &mut Handshakes, call: &mut Call<'_, '_>, input: &[u8]) -> usize {
    let mut used = 0;
    while used < input.len() {
        let answer = match parse_poll_answer(&mut call.common.scratch.reason, &input[used..]) {
            Ok(Some(answer)) => answer,
            Ok(None) => break,
            Err(kind) => {
                handshakes.session_failed(call, kind);
                return input.len();
            }
        };
        used += answer.used;
        match answer.content {
            PollContent::Interim => {}
            PollContent::Body(form, body) => {
                if call.socket.state != State::Closing {
                    receive_payload(handshakes, call, form, &body);
                }
                poll_again(call, answer.keep_alive);
            }
            PollContent::Refused if !call.socket.flight.is_none() => handshakes.handle(call, Event::Refused),
            PollContent::Refused => handshakes.session_failed(call, FailureKind::Reset),
            PollContent::Failed(kind) => handshakes.session_failed(call, kind),
        }
    }
    used
}

/// Takes bytes on the connection of its POSTs.
pub fn receive_post_answers(handshakes: &mut Handshakes, call: &mut Call<'_, '_>, input: &[u8]) -> usize {
    let number = call.socket.number;
    let mut used = 0;
    while used < input.len() {
        let answer = match parse_poll_answer(&mut call.common.scratch.reason, &input[used..]) {
            Ok(Some(answer)) => answer,
            Ok(None) => break,
            Err(kind) => {
                let words = call.common.scratch.reason.clone();
                call.common.sessions.defer(DeferredAction::Fail(number, None, kind, words));
                return input.len();
            }
        };
        used += answer.used;
        match answer.content {
            PollContent::Interim => {}
            PollContent::Body(..) => post_answered(handshakes, call, answer.keep_alive),
            PollContent::Refused => {
                let reason = call.common.scratch.reason.clone();
                call.common.sessions.defer(DeferredAction::Refuse(number, reason));
            }
            PollContent::Failed(kind) => {
                let words = call.common.scratch.reason.clone();
                call.common.sessions.defer(DeferredAction::Fail(number, None, kind, words));
            }
        }
    }
    used
}

/// Takes bytes on a WebSocket that a session may move to.
pub fn receive_probe(call: &mut Call<'_, '_>, input: &mut [u8]) -> usize {
    let Call { io, socket, common, .. } = call;
    let number = socket.number;
    let Some(session) = common.sessions.get_mut(number) else {
        io.close();
        return input.len();
    };
    let profile = &common.targets[usize::from(socket.target)].profile;
    let mut writer = Writer { profile, scratch: &mut common.scratch, out: io.out() };
    let mut used = 0;
    while used < input.len() {
        let awaited = Awaited { credentials: Some(&session.credentials), message: None };
        let step = socket.connection.receive(awaited, &mut input[used..], &mut writer);
        used += step.used;
        let action = match step.event {
            Some(Event::Upgraded) => {
                socket.connection.write_probe_ping(&mut writer);
                continue;
            }
            Some(Event::Probed) => {
                session.is_moving = true;
                DeferredAction::Move(number)
            }
            Some(Event::Refused) => DeferredAction::Refuse(number, writer.scratch.reason.clone()),
            Some(Event::Failed(kind) | Event::Closed(kind)) => {
                DeferredAction::Fail(number, Some(Phase::Upgrade), kind, writer.scratch.reason.clone())
            }
            Some(_) => continue,
            None if step.used == 0 => break,
            None => continue,
        };
        common.sessions.defer(action);
        // Further input belongs to the session, once it has moved here.
        break;
    }
    used
}

/// Takes the packets of a GET's answer, one after the other.
fn receive_payload(handshakes: &mut Handshakes, call: &mut Call<'_, '_>, form: Form, body: &[u8]) {
    let number = call.socket.number;
    let Some(version) = call.target().profile.engineio() else {
        return;
    };
    let sent = call.common.sessions.get_mut(number).and_then(|session| session.get_sent.take());
    // On an established session the GET waited for something to happen.
    if let Some(sent) = sent.filter(|_| call.socket.state == State::Handshaking) {
        count_poll(handshakes, call, sent);
    }
    for item in decode_payload(version, form, body) {
        let Call { socket, common, .. } = call;
        let Some(session) = common.sessions.get_mut(number) else {
            return;
        };
        let event = match item {
            Ok(Item::Text(packet)) => {
                let profile = &common.targets[usize::from(socket.target)].profile;
                let mut writer = Writer { profile, scratch: &mut common.scratch, out: &mut session.payload };
                let awaited = Awaited { credentials: Some(&session.credentials), message: socket.awaited_sequence() };
                socket.connection.receive_packet(awaited, &packet, &mut writer)
            }
            // An attachment of an event: never the answer to a message of ours.
            Ok(Item::Binary(_)) => None,
            Err(error) => {
                common.scratch.reason = error.to_string();
                Some(match socket.flight.is_none() {
                    true => Event::Closed(FailureKind::Closed(MALFORMED_PAYLOAD)),
                    false => Event::Failed(FailureKind::Protocol),
                })
            }
        };
        if !session.payload.is_empty() {
            common.sessions.defer(DeferredAction::Post(number));
        }
        if let Some(event) = event {
            handshakes.handle(call, event);
        }
        // A socket that closes takes no further packet.
        if call.socket.state == State::Closing {
            return;
        }
    }
}

/// Sends the next GET, over a new connection if the server closes this one, unless the session closes.
fn poll_again(call: &mut Call<'_, '_>, keep_alive: bool) {
    let Some(session) = call.common.sessions.get_mut(call.socket.number) else {
        return call.io.close();
    };
    if call.socket.state == State::Closing {
        call.common.sessions.close_when_posted(call.io, call.socket.number);
    } else if keep_alive {
        write_poll(call);
    } else {
        session.must_reconnect = true;
        call.io.close();
    }
}

fn post_answered(handshakes: &mut Handshakes, call: &mut Call<'_, '_>, keep_alive: bool) {
    let number = call.socket.number;
    let Some(session) = call.common.sessions.get_mut(number) else {
        return call.io.close();
    };
    call.socket.state_ends = ShardInstant::NEVER;
    let answered = session.posting.take();
    let (has_more, is_moving) = (!session.payload.is_empty(), session.is_moving);
    if !keep_alive {
        session.post = None;
        call.io.close();
    }
    let timed = answered.filter(|posting| !posting.is_closing);
    if let Some(sent) = timed.and_then(|posting| posting.sent) {
        count_poll(handshakes, call, sent);
    }
    let sessions = &mut call.common.sessions;
    sessions.defer(match has_more {
        true => DeferredAction::Post(number),
        false => DeferredAction::PostAnswered(number),
    });
    if is_moving && !has_more {
        sessions.defer(DeferredAction::Move(number));
    }
    handshakes.held.arm(call);
}

/// Records a request that was answered: with its handshake, or by itself once that has its outcome.
fn count_poll(handshakes: &mut Handshakes, call: &mut Call<'_, '_>, sent: ShardInstant) {
    let (number, duration_ns) = (call.socket.number, call.now - sent);
    let Some(session) = call.common.sessions.get(number) else {
        return;
    };
    match handshakes.flights.get_mut(session.flight) {
        Some(flight) if flight.arrival.number == number => flight.poll_answered(duration_ns),
        _ => {
            let kind = session.kind;
            let outcome = call.common.settings.when_accepted(kind);
            call.recorder().phase(Phase::Poll, outcome, kind, duration_ns);
        }
    }
}
