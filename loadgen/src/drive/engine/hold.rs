//! What an established socket does: it talks, keeps its heartbeat, and leaves.

use reactor::{Io, Sockets};

use crate::drive::engine::handshake::beat_after;
use crate::drive::engine::socket::{Life, NEVER_NS, Socket, Talk};
use crate::drive::engine::{Engine, ns};
use crate::ground::outcome::{FailureKind, Outcome};
use crate::plan::hold::Hold;
use crate::spec::{AnsweredBy, Close};

/// The reactor's deadlines are whole milliseconds, so messages are planned at whole milliseconds: a finer plan would
/// show the timer's grain as the generator's lag.
const GRAIN_NS: u64 = 1_000_000;

impl Engine {
    /// Begins to hold a socket that was let in at `since_ns` and is established now.
    pub(super) fn hold(&mut self, io: &mut Io<'_>, socket: &mut Socket, since_ns: u64, now_ns: u64) {
        socket.life = Life::Held;
        socket.until_ns = match self.scenario.hold {
            Hold::For(time) => since_ns.saturating_add(ns(time)),
            Hold::Drawn(lifetime) => {
                let time = lifetime.of_arrival(self.scenario.seed, socket.number);
                since_ns.saturating_add(ns(time))
            }
            Hold::UntilEnd => NEVER_NS,
        };
        if now_ns >= socket.until_ns {
            self.hold_over(io, socket, now_ns);
        } else {
            self.leave_if_done(io, socket, now_ns);
        }
    }

    /// Its time is over; a message that is on its way is still waited for.
    pub(super) fn hold_over(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        socket.life = Life::Overdue;
        socket.until_ns = NEVER_NS;
        self.leave_if_done(io, socket, now_ns);
    }

    /// Sends the first message, at the authenticated instant. On a raw WebSocket that is before the verdict: its
    /// answer ends the grace.
    pub(super) fn begin_talk(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        socket.talk.began_ns = now_ns;
        socket.talk.planned_ns = now_ns;
        self.speak_if_due(io, socket, now_ns);
    }

    /// A message came in.
    pub(super) fn message(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64, answers: bool) {
        if answers {
            self.answered(io, socket, now_ns);
        }
        if socket.life == Life::Grace {
            self.grace_over(io, socket, now_ns);
        } else if answers {
            self.leave_if_done(io, socket, now_ns);
        }
    }

    pub(super) fn talk_if_due(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        if now_ns < self.message_ns(socket) {
            return;
        }
        if socket.talk.awaiting {
            // A server that leaves one message unanswered is not asked again.
            self.recorder.counters.echoes_unanswered += 1;
            socket.talk.awaiting = false;
            socket.talk.sent = self.scenario.echo.count;
        } else {
            self.speak_if_due(io, socket, now_ns);
        }
        self.leave_if_done(io, socket, now_ns);
    }

    pub(super) fn beat_if_due(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        if now_ns >= socket.beat_ns {
            self.write(io, socket, |connection, tools, out| connection.beat(tools, out));
            socket.beat_ns = beat_after(socket, now_ns);
        }
    }

    /// The peer has closed: of its own accord, or in answer to us. It hangs up next.
    pub(super) fn peer_closed(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64, code: u16) {
        if socket.life != Life::Leaving {
            self.drop_held(socket, now_ns, FailureKind::Closed(code));
        }
        self.leave(socket, now_ns);
        if socket.connection.polls() {
            // Nobody hangs up on a session.
            self.let_go(io, socket);
        }
    }

    /// A decided socket is gone, for this reason.
    pub(super) fn lost(&mut self, socket: &Socket, now_ns: u64, why: FailureKind) {
        if socket.is_held() {
            self.drop_held(socket, now_ns, why);
        }
    }

    /// Closes what is held until the end.
    pub(super) fn close_held(&mut self, sockets: &mut Sockets<'_, Socket>) {
        self.again = true;
        sockets.for_each(|io, socket| {
            self.turn_to(socket.target);
            let now_ns = io.now_ns();
            self.leave_if_done(io, socket, now_ns);
            self.arm(io, socket);
            self.count_sent(io);
        });
    }

    /// Interrupts what is under way and closes what is held.
    pub(super) fn stop(&mut self, sockets: &mut Sockets<'_, Socket>, t0_ns: u64) {
        self.again = true;
        self.interrupt(sockets.now_ns(), t0_ns);
        sockets.for_each(|io, socket| {
            self.turn_to(socket.target);
            let now_ns = io.now_ns();
            let begun = socket.life;
            self.decide(socket, Outcome::Interrupted, now_ns);
            match begun {
                Life::Connecting | Life::Handshaking => {
                    self.leave(socket, now_ns);
                    io.close();
                }
                Life::Grace | Life::Moving | Life::Held | Life::Overdue => {
                    self.say_goodbye(io, socket, now_ns);
                }
                Life::Posting | Life::Probing | Life::Leaving => {}
            }
            self.arm(io, socket);
            self.count_sent(io);
        });
    }

    /// Sets the socket's deadline to what comes next.
    pub(super) fn arm(&self, io: &mut Io<'_>, socket: &Socket) {
        socket.arm(io, self.message_ns(socket).min(self.outlived_ns(socket)));
    }

    fn answered(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        let talk = &mut socket.talk;
        talk.awaiting = false;
        // A plan of its own, or that of the arrival: without either there is no response, only service.
        let planned = self.limits.planned || self.limits.message_gap_ns.is_some();
        let lag_ns = planned.then(|| talk.sent_ns.saturating_sub(talk.planned_ns));
        let service_ns = now_ns.saturating_sub(talk.sent_ns);
        talk.planned_ns = self.planned_after(talk, now_ns);
        self.recorder.echo(socket.kind, service_ns, lag_ns);
        self.speak_if_due(io, socket, now_ns);
    }

    fn speak_if_due(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        if socket.talk.awaiting || now_ns < socket.talk.planned_ns || !self.may_speak(socket) {
            return;
        }
        let sequence = socket.next_sequence();
        self.write(io, socket, |connection, tools, out| connection.say(tools, sequence, out));
        self.recorder.counters.messages_sent += 1;
        let talk = &mut socket.talk;
        talk.sent_ns = now_ns;
        talk.sent += 1;
        if self.scenario.echo.answered_by == AnsweredBy::None {
            talk.planned_ns = self.planned_after(talk, now_ns);
        } else {
            talk.awaiting = true;
        }
    }

    /// When the message after the last one is due: by the rate, or at once.
    fn planned_after(&self, talk: &Talk, now_ns: u64) -> u64 {
        let gap_ns = self.limits.message_gap_ns;
        gap_ns.map_or(now_ns, |gap_ns| planned_ns(talk.began_ns, talk.sent, gap_ns))
    }

    /// Whether another message is to follow. Planned messages end with the hold; those that follow each other at once
    /// are finished first.
    fn may_speak(&self, socket: &Socket) -> bool {
        let cut_off = socket.life == Life::Overdue && self.limits.message_gap_ns.is_some();
        socket.talk.sent < self.scenario.echo.count && !cut_off
    }

    /// When the talk needs attention: the next message is due, or the answer is overdue. Before the verdict nothing is.
    fn message_ns(&self, socket: &Socket) -> u64 {
        let talk = &socket.talk;
        match socket.life {
            Life::Held | Life::Overdue if talk.awaiting => talk.sent_ns.saturating_add(self.limits.handshake_ns),
            Life::Held | Life::Overdue if self.may_speak(socket) => talk.planned_ns,
            _ => NEVER_NS,
        }
    }

    fn leave_if_done(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        let over = match socket.life {
            Life::Overdue => true,
            Life::Held => self.heard.close && self.scenario.hold == Hold::UntilEnd,
            _ => false,
        };
        if over && !socket.talk.awaiting && !self.may_speak(socket) {
            self.say_goodbye(io, socket, now_ns);
        }
    }

    fn say_goodbye(&mut self, io: &mut Io<'_>, socket: &mut Socket, now_ns: u64) {
        match self.scenario.close {
            Close::Disconnect => self.write(io, socket, |connection, tools, out| {
                connection.close(tools, out);
            }),
            Close::Frame => self.write(io, socket, |connection, tools, out| {
                connection.close_frame(tools, out);
            }),
            Close::Fin => io.finish(),
            Close::Reset => io.reset(),
        }
        socket.talk.awaiting = false;
        self.session_leaves(socket);
        self.expects_no_close(socket);
        self.held -= 1;
        self.leave(socket, now_ns);
    }

    /// The peer ended a socket that was to be held.
    fn drop_held(&mut self, socket: &Socket, now_ns: u64, why: FailureKind) {
        self.held -= 1;
        if !self.closed_at_exp(socket, now_ns) {
            self.recorder.dropped(why);
        }
        if socket.talk.awaiting {
            self.recorder.counters.echoes_unanswered += 1;
        }
    }
}

/// When message `number` of a talk is due; rounding never adds up.
///
/// ```text
/// planned(k) = began + k * gap, rounded up to the grain        k = 1, 2, ...
/// ```
fn planned_ns(began_ns: u64, number: u32, gap_ns: f64) -> u64 {
    let exact_ns = began_ns.saturating_add((f64::from(number) * gap_ns) as u64);
    exact_ns.div_ceil(GRAIN_NS).saturating_mul(GRAIN_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_planned_at_whole_milliseconds_and_keep_their_rate() {
        const GAP_NS: f64 = 1e9 / 300.0;
        for (began_ns, number, due_ms, why) in [
            (0, 1, 4, "3.33 ms, rounded up"),
            (0, 3, 10, "exactly"),
            (0, 300_000, 1_000_000, "no drift after a thousand seconds"),
            (500_000, 3, 11, "10.5 ms"),
        ] {
            assert_eq!(planned_ns(began_ns, number, GAP_NS), due_ms * GRAIN_NS, "{why}");
        }
    }
}
