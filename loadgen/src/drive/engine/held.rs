//! Held sockets: their messages, heartbeats and end.

use crate::drive::engine::common::{Call, Common};
use crate::drive::engine::expiry::Expiry;
use crate::drive::engine::settings::{Settings, duration_ns};
use crate::drive::engine::socket::{Messages, Socket, State};
use crate::ground::outcome::{Failure, FailureKind, Outcome, Phase};
use crate::ground::time::{ClockOffset, ShardInstant, UnixInstant};
use crate::plan::hold::Hold;
use crate::speak::connection::Connection;
use crate::spec::{AnsweredBy, Close};
use crate::tokens::expires_at;

/// The reactor's deadlines are whole milliseconds, so messages are planned at whole milliseconds: a finer plan would
/// show the timer's resolution as the generator's lag.
const RESOLUTION_NS: u64 = 1_000_000;

/// The held sockets of a shard.
#[derive(Debug)]
pub struct Held {
    count: u64,
    /// `None`: closing at `exp` is not checked.
    expiry: Option<Expiry>,
    unix_offset: ClockOffset<UnixInstant>,
    /// Sockets held until the end of the load are closed now.
    is_closing: bool,
}

impl Held {
    /// Without any socket yet.
    pub fn new(expiry: Option<Expiry>, unix_offset: ClockOffset<UnixInstant>) -> Self {
        Self { count: 0, expiry, unix_offset, is_closing: false }
    }

    /// The number of held sockets.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// From now on, closes sockets that are held until the end of the load.
    pub fn close_at_end(&mut self) {
        self.is_closing = true;
    }

    /// Whether sockets that are held until the end of the load are being closed.
    pub fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Counts a socket that was accepted.
    pub fn add(&mut self, common: &mut Common) {
        self.count += 1;
        common.reporter.held(self.count);
    }

    /// Stops counting a socket, if it counted as held.
    pub fn remove(&mut self, socket: &Socket) {
        self.count -= u64::from(socket.is_held());
    }

    /// From now on, checks that the target closes a socket at its token's `exp`, if the load asks for that check.
    pub fn watch_expiry(&mut self, number: u64, token: Option<&str>) {
        let Some(expiry) = &mut self.expiry else {
            return;
        };
        let expires = token.and_then(expires_at).and_then(|expires| self.unix_offset.from_unix(expires));
        if let Some(expires) = expires {
            expiry.insert(number, expires);
        }
    }

    /// Begins to hold a socket that is established now and was accepted at `since`.
    pub fn hold(&mut self, call: &mut Call<'_, '_>, since: ShardInstant) {
        let spec = &call.common.settings.spec;
        call.socket.state = State::Held;
        call.socket.state_ends = match spec.hold {
            Hold::For(time) => since + duration_ns(time),
            Hold::Drawn(lifetime) => since + duration_ns(lifetime.for_arrival(spec.seed, call.socket.number)),
            Hold::UntilEnd => ShardInstant::NEVER,
        };
        if call.now >= call.socket.state_ends {
            self.hold_over(call);
        } else {
            self.close_if_done(call);
        }
    }

    /// Ends the hold. The socket still waits for an awaited answer.
    pub fn hold_over(&mut self, call: &mut Call<'_, '_>) {
        call.socket.state = State::Finishing;
        call.socket.state_ends = ShardInstant::NEVER;
        self.close_if_done(call);
    }

    /// Sends the first message as soon as the socket is accepted. On a raw WebSocket this happens before the outcome,
    /// because the answer ends the grace.
    pub fn start_messages(&self, call: &mut Call<'_, '_>) {
        call.socket.messages.first_planned = call.now;
        call.socket.messages.planned = call.now;
        send_if_due(call);
    }

    /// Records the awaited answer.
    pub fn answered(&self, call: &mut Call<'_, '_>) {
        let settings = &call.common.settings;
        let messages = &mut call.socket.messages;
        messages.is_awaiting = false;
        // If neither messages nor arrivals are planned, there is no response, only service.
        let is_planned = settings.is_planned || settings.message_gap_ns.is_some();
        let lag_ns = is_planned.then(|| messages.last_sent - messages.planned);
        let service_ns = call.now - messages.last_sent;
        messages.planned = planned_after(settings, messages, call.now);
        let kind = call.socket.kind;
        call.recorder().echo(kind, service_ns, lag_ns);
        send_if_due(call);
    }

    /// Does what is due at this deadline: sends a heartbeat or a message, gives up an answer, checks `exp`.
    pub fn deadline(&mut self, call: &mut Call<'_, '_>) {
        if call.now >= call.socket.heartbeat_due {
            call.write(Connection::write_heartbeat);
            call.socket.plan_heartbeat(call.now);
        }
        if call.now >= message_due(&call.common.settings, call.socket) {
            if call.socket.messages.is_awaiting {
                unanswered(call);
            }
            send_if_due(call);
            self.close_if_done(call);
        }
        if call.now >= self.too_late(call.socket) {
            self.stop_expiry(call.socket.number);
            call.recorder().counters.open_after_exp += 1;
            call.recorder().failure(Failure { phase: Phase::Auth, kind: FailureKind::OpenAfterExp }, String::new);
        }
    }

    /// The peer has sent its close, first or in answer to this side. Its FIN follows.
    pub fn closed_by_peer(&mut self, call: &mut Call<'_, '_>, kind: FailureKind) {
        let words = std::mem::take(&mut call.common.scratch.reason);
        self.dropped(call.common, call.socket, kind, call.now, || words.clone());
        call.common.scratch.reason = words;
        call.socket.start_closing(call.now);
        if call.socket.connection.is_polling() {
            // A session has no FIN.
            call.common.sessions.close_when_posted(call.io, call.socket.number);
        }
    }

    /// The peer has ended a socket. A held socket counts as dropped, or as closed at `exp`.
    pub fn dropped(
        &mut self,
        common: &mut Common,
        socket: &Socket,
        why: FailureKind,
        now: ShardInstant,
        words: impl FnOnce() -> String,
    ) {
        if !socket.is_held() {
            return;
        }
        self.count -= 1;
        let is_false_accept = common.settings.when_accepted(socket.kind) == Outcome::FalseAccept;
        let recorder = common.recorder(socket.target);
        match self.expiry.as_mut().and_then(|expiry| expiry.closed_by_target(socket.number, now)) {
            Some(lateness_ns) => recorder.close_at_exp(socket.kind, lateness_ns),
            // To close it is right, if late.
            None if is_false_accept => recorder.counters.false_accepts_closed += 1,
            None => recorder.dropped(why, words),
        }
        recorder.counters.echoes_unanswered += u64::from(socket.messages.is_awaiting);
    }

    /// Closes a socket whose hold is over and whose messages are all sent and answered.
    pub fn close_if_done(&mut self, call: &mut Call<'_, '_>) {
        let settings = &call.common.settings;
        let is_over = match call.socket.state {
            State::Finishing => true,
            State::Held => self.is_closing && settings.spec.hold == Hold::UntilEnd,
            _ => false,
        };
        if is_over && !call.socket.messages.is_awaiting && !may_send(settings, call.socket) {
            self.close(call);
        }
    }

    /// Closes a held socket.
    pub fn close(&mut self, call: &mut Call<'_, '_>) {
        match call.common.settings.spec.close {
            Close::Disconnect => call.write(Connection::close),
            Close::Frame => call.write(Connection::close_frame),
            Close::Fin => call.io.finish(),
            Close::Reset => call.io.reset(),
        }
        call.socket.messages.is_awaiting = false;
        call.common.sessions.start_closing(call.socket.number);
        self.stop_expiry(call.socket.number);
        self.count -= 1;
        call.socket.start_closing(call.now);
    }

    /// Sets the reactor's one deadline to the earliest instant that matters to the socket.
    pub fn arm(&self, call: &mut Call<'_, '_>) {
        let socket = &call.socket;
        let next = socket.state_ends.min(socket.heartbeat_due);
        match next.min(message_due(&call.common.settings, socket)).min(self.too_late(socket)) {
            ShardInstant::NEVER => call.io.clear_deadline(),
            instant => call.io.set_deadline_ns(instant.as_ns()),
        }
    }

    fn too_late(&self, socket: &Socket) -> ShardInstant {
        match &self.expiry {
            Some(expiry) if socket.is_held() => expiry.too_late(socket.number),
            _ => ShardInstant::NEVER,
        }
    }

    fn stop_expiry(&mut self, number: u64) {
        if let Some(expiry) = &mut self.expiry {
            expiry.remove(number);
        }
    }
}

/// The answer to the last message did not come in time. The next one follows by its plan; without a plan it would have
/// followed the answer, and none is sent any more.
fn unanswered(call: &mut Call<'_, '_>) {
    call.recorder().counters.echoes_unanswered += 1;
    let settings = &call.common.settings;
    let messages = &mut call.socket.messages;
    messages.is_awaiting = false;
    match settings.message_gap_ns {
        Some(_) => messages.planned = planned_after(settings, messages, call.now),
        None => messages.sent = settings.spec.echo.count,
    }
}

fn send_if_due(call: &mut Call<'_, '_>) {
    let Call { socket, common, now, .. } = call;
    if socket.messages.is_awaiting || *now < socket.messages.planned || !may_send(&common.settings, socket) {
        return;
    }
    let sequence = socket.next_sequence();
    call.write(|connection, writer| connection.write_message(sequence, writer));
    call.recorder().counters.messages_sent += 1;
    let settings = &call.common.settings;
    let messages = &mut call.socket.messages;
    messages.last_sent = call.now;
    messages.sent += 1;
    if settings.spec.echo.answered_by == AnsweredBy::None {
        messages.planned = planned_after(settings, messages, call.now);
    } else {
        messages.is_awaiting = true;
    }
}

/// When the message after the last one is due: by the rate, or at once.
fn planned_after(settings: &Settings, messages: &Messages, now: ShardInstant) -> ShardInstant {
    let gap_ns = settings.message_gap_ns;
    gap_ns.map_or(now, |gap_ns| planned(messages.first_planned, messages.sent, gap_ns))
}

/// Whether the socket sends another message. Messages at a rate end with the hold; messages without a rate are all sent
/// before the socket closes.
fn may_send(settings: &Settings, socket: &Socket) -> bool {
    let is_cut_off = socket.state == State::Finishing && settings.message_gap_ns.is_some();
    socket.messages.sent < settings.spec.echo.count && !is_cut_off
}

/// When the next message is due or the awaited answer times out; `NEVER` before the outcome.
fn message_due(settings: &Settings, socket: &Socket) -> ShardInstant {
    let messages = &socket.messages;
    match socket.state {
        State::Held | State::Finishing if messages.is_awaiting => messages.last_sent + settings.handshake_ns,
        State::Held | State::Finishing if may_send(settings, socket) => messages.planned,
        _ => ShardInstant::NEVER,
    }
}

/// When message `number` of a socket is due. Rounding errors do not accumulate.
///
/// ```text
/// planned(k) = first + k * gap, rounded up to the resolution        k = 1, 2, ...
/// ```
fn planned(first: ShardInstant, number: u32, gap_ns: f64) -> ShardInstant {
    let exact = first + (f64::from(number) * gap_ns) as u64;
    ShardInstant::from_ns(exact.as_ns().div_ceil(RESOLUTION_NS).saturating_mul(RESOLUTION_NS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_planned_at_whole_milliseconds_and_keep_their_rate() {
        const GAP_NS: f64 = 1e9 / 300.0;
        for (first_ns, number, due_ms, why) in [
            (0, 1, 4, "3.33 ms, rounded up"),
            (0, 3, 10, "exactly"),
            (0, 300_000, 1_000_000, "no drift after a thousand seconds"),
            (500_000, 3, 11, "10.5 ms"),
        ] {
            let due = planned(ShardInstant::from_ns(first_ns), number, GAP_NS);
            assert_eq!(due.as_ns(), due_ms * RESOLUTION_NS, "{why}");
        }
    }
}
