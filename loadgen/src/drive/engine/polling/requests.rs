//! What the connections of a session send: GETs, POSTs and the upgrade of a probe.

use crate::drive::engine::common::Call;
use crate::drive::engine::sessions::DeferredAction;
use crate::drive::engine::socket::State;
use crate::speak::connection::PollRequest;

/// A later connection of a session is up: sends the request that it was opened for.
pub fn start_later_connection(call: &mut Call<'_, '_>) {
    match call.socket.state {
        State::Posting => write_post(call),
        State::Probing => {
            let Call { io, socket, common, .. } = call;
            if let Some(session) = common.sessions.get(socket.number) {
                let profile = &common.targets[usize::from(socket.target)].profile;
                socket.connection.start_probe(profile, &session.credentials, &session.sid, io.out());
            }
        }
        _ => write_poll(call),
    }
}

/// Sends a session's next GET, unless it is about to move.
pub(super) fn write_poll(call: &mut Call<'_, '_>) {
    let Call { io, socket, common, now } = call;
    match common.sessions.get_mut(socket.number) {
        None => io.close(),
        Some(session) if session.is_moving => common.sessions.defer(DeferredAction::Move(socket.number)),
        Some(session) => {
            let request = PollRequest::Poll { sid: &session.sid };
            let profile = &common.targets[usize::from(socket.target)].profile;
            profile.write_poll_request(io.out(), request, session.credentials.token.as_deref());
            session.get_sent = Some(*now);
        }
    }
}

/// Sends the POST that is due, over its own connection.
pub(super) fn write_post(call: &mut Call<'_, '_>) {
    let Call { io, socket, common, now } = call;
    let Some(session) = common.sessions.get_mut(socket.number) else {
        return io.close();
    };
    let Some(posting) = &mut session.posting else {
        return;
    };
    let request = PollRequest::Post { sid: &session.sid, body_bytes: posting.payload.len() };
    let profile = &common.targets[usize::from(socket.target)].profile;
    profile.write_poll_request(io.out(), request, session.credentials.token.as_deref());
    io.out().extend_from_slice(&posting.payload);
    posting.sent = Some(*now);
    socket.state_ends = *now + common.settings.handshake_ns;
}
