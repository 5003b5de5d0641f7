//! The deferred actions on sessions that poll, done between callbacks.

use reactor::Closed;

use crate::drive::engine::fault::failure_of_error;
use crate::drive::engine::flight::Flight;
use crate::drive::engine::polling::requests::write_post;
use crate::drive::engine::sessions::{DeferredAction, Posting, Session};
use crate::drive::engine::socket::{Socket, State};
use crate::drive::engine::turn::Turn;
use crate::ground::outcome::{FailureKind, Phase};
use crate::ground::time::ShardInstant;
use crate::speak::connection::{Connection, Event};

/// Does the deferred actions, and those that they defer.
pub fn run_deferred(turn: &mut Turn<'_, '_>) {
    loop {
        let actions = turn.common.sessions.take_deferred();
        if actions.is_empty() {
            return;
        }
        for action in actions {
            run(turn, action);
        }
        // Sockets that were closed here are reported only after the turn.
        turn.common.needs_turn = true;
    }
}

fn run(turn: &mut Turn<'_, '_>, action: DeferredAction) {
    match action {
        DeferredAction::Post(number) => post(turn, number),
        DeferredAction::PostAnswered(number) => close_if_posted(turn, number),
        DeferredAction::Probe(number) => {
            let now = turn.now();
            stamp(turn, number, |flight| flight.moving = Some(now));
            open_helper(turn, number, State::Probing);
        }
        DeferredAction::Move(number) => move_session(turn, number),
        DeferredAction::Reconnect(socket) => reconnect(turn, *socket),
        DeferredAction::Fail(number, phase, kind, words) => {
            stamp(turn, number, |flight| flight.failed_in = phase);
            if let Some(main) = turn.common.sessions.get(number).map(|session| session.main) {
                turn.common.scratch.reason = words;
                turn.with(main, |handshakes, call| handshakes.session_failed(call, kind));
            }
        }
        DeferredAction::Refuse(number, reason) => refuse(turn, number, reason),
        DeferredAction::Close(id) => {
            turn.sockets.with(id, |io, _| io.close());
        }
    }
}

/// Sets an instant or phase of a session's handshake, if that is still under way.
fn stamp(turn: &mut Turn<'_, '_>, number: u64, stamp: impl FnOnce(&mut Flight)) {
    let session = turn.common.sessions.get(number);
    let flight = session.and_then(|session| turn.handshakes.flights.get_mut(session.flight));
    if let Some(flight) = flight.filter(|flight| flight.arrival.number == number) {
        stamp(flight);
    }
}

fn close_if_posted(turn: &mut Turn<'_, '_>, number: u64) {
    if let Some(main) = turn.common.sessions.get(number).map(|session| session.main) {
        turn.with(main, |_, call| {
            if call.socket.state == State::Closing {
                call.common.sessions.close_when_posted(call.io, number);
            }
        });
    }
}

fn refuse(turn: &mut Turn<'_, '_>, number: u64, reason: String) {
    let Some(main) = turn.common.sessions.get(number).map(|session| session.main) else {
        return;
    };
    turn.with(main, |handshakes, call| {
        if call.socket.flight.is_none() {
            handshakes.session_failed(call, FailureKind::Reset);
        } else {
            call.common.scratch.reason = reason;
            handshakes.handle(call, Event::Refused);
        }
    });
}

/// Sends what there is to post, one POST at a time.
fn post(turn: &mut Turn<'_, '_>, number: u64) {
    let Some(session) = turn.common.sessions.get_mut(number) else {
        return;
    };
    if session.posting.is_none() && !session.payload.is_empty() && !session.sid.is_empty() {
        session.posting = Some(Posting {
            payload: std::mem::take(&mut session.payload),
            is_closing: session.is_closing,
            ..Posting::default()
        });
    }
    let Some(posting) = session.posting.as_mut().filter(|posting| !posting.is_assigned) else {
        return;
    };
    posting.is_assigned = true;
    posting.is_reused = session.post.is_some();
    let is_sent = session.post.is_some_and(|id| turn.with(id, |_, call| write_post(call)));
    if !is_sent {
        open_helper(turn, number, State::Posting);
    }
}

/// Opens another connection of a session, by the route of its first.
fn open_helper(turn: &mut Turn<'_, '_>, number: u64, state: State) {
    let now = turn.now();
    let Some(session) = turn.common.sessions.get_mut(number) else {
        return;
    };
    let Some(route) = turn.common.targets[usize::from(session.target)].route(number) else {
        return;
    };
    let settings = &turn.common.settings;
    let mut socket = Socket::new(number, session.kind, session.target, now + settings.connect_ns);
    socket.state = state;
    if state == State::Probing {
        socket.connection = Connection::probe();
        socket.state_ends = now + settings.handshake_ns;
    }
    let ends_ns = socket.state_ends.as_ns();
    match turn.sockets.connect(route, socket, Some(ends_ns)) {
        Ok(id) if state == State::Posting => {
            session.post = Some(id);
            if let Some(posting) = &mut session.posting {
                posting.is_reused = false;
            }
        }
        Ok(id) => session.probe = Some(id),
        Err((error, _)) => {
            let phase = (state == State::Probing).then_some(Phase::Upgrade);
            turn.common.sessions.defer(DeferredAction::Fail(
                number,
                phase,
                failure_of_error(&error),
                error.to_string(),
            ));
        }
    }
}

/// Continues over a new connection: the server has closed the last one after its answer.
fn reconnect(turn: &mut Turn<'_, '_>, socket: Socket) {
    let number = socket.number;
    let Some(route) = turn.common.target(socket.target).route(number) else {
        return;
    };
    match turn.sockets.connect(route, socket, None) {
        Ok(id) => {
            if let Some(session) = turn.common.sessions.get_mut(number) {
                session.main = id;
            }
            // Sets its deadline.
            turn.with(id, |_, _| {});
        }
        Err((error, mut socket)) => end_session(turn, &mut socket, &Closed::Failed(error.kind())),
    }
}

/// The connection of a session is gone, and with it the session.
fn end_session(turn: &mut Turn<'_, '_>, socket: &mut Socket, why: &Closed) {
    let now = turn.now();
    turn.handshakes.closed(turn.common, socket, why, now);
    turn.common.remove_session(socket.number);
}

/// Moves a session to its WebSocket, once no request of it is under way.
fn move_session(turn: &mut Turn<'_, '_>, number: u64) {
    let Some(session) = turn.common.sessions.get_mut(number) else {
        return;
    };
    let Session { main, probe: Some(probe), get_sent: None, posting: None, .. } = *session else {
        return;
    };
    if !session.payload.is_empty() {
        return turn.common.sessions.defer(DeferredAction::Post(number));
    }
    // The old connection closes without a session.
    let mut moving = Socket::new(number, session.kind, session.target, ShardInstant::NEVER);
    moving.state = State::Posting;
    let is_open = turn.sockets.with(main, |io, socket| {
        std::mem::swap(socket, &mut moving);
        io.clear_deadline();
        io.close();
    });
    if !is_open {
        return;
    }
    session.probe = None;
    let mut moving = Some(moving);
    turn.common.remove_session(number);
    turn.with(probe, |handshakes, call| {
        if let Some(mut session) = moving.take() {
            std::mem::swap(call.socket, &mut session);
            let (connection, mut writer) = call.connection();
            connection.move_to(session.connection, &mut writer);
            handshakes.moved(call);
        }
    });
    // The WebSocket was closed in the same moment.
    if let Some(mut session) = moving {
        end_session(turn, &mut session, &Closed::Reset);
    }
}
