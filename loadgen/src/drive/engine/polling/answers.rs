//! What comes in over the connections of a session that polls.

use reactor::Io;
use wire::engineio::{Form, Item, decode_payload};

use crate::drive::engine::Engine;
use crate::drive::engine::polling::Errand;
use crate::drive::engine::socket::{Life, NEVER_NS, Socket};
use crate::ground::outcome::{FailureKind, Phase};
use crate::speak::connection::{Answer, Content, Event, answer};

/// How a payload that is none ends an established session (RFC 6455's "protocol error", for want of a code of its own).
const BAD_PAYLOAD: u16 = 1002;

impl Engine {
    /// Bytes on the connection of a session's GETs; answers how many were used.
    pub(in crate::drive::engine) fn polled(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &[u8]) -> usize {
        let mut used = 0;
        while used < input.len() {
            let Answer { used: bytes, keep_alive, content } = match answer(&mut self.tools, &input[used..]) {
                Ok(Some(answer)) => answer,
                Ok(None) => break,
                Err(kind) => {
                    self.session_broke(io, socket, kind);
                    return input.len();
                }
            };
            used += bytes;
            match content {
                Content::Interim => {}
                Content::Body(form, body) => {
                    if socket.life != Life::Leaving {
                        self.poll_answered(io, socket, form, &body);
                    }
                    self.poll_again(io, socket, keep_alive);
                }
                Content::Refused if !socket.flight.is_none() => {
                    self.happened(io, socket, Event::Refused);
                }
                Content::Refused => self.session_broke(io, socket, FailureKind::Reset),
                Content::Failed(kind) => self.session_broke(io, socket, kind),
            }
        }
        used
    }

    /// Bytes on the connection of its POSTs.
    pub(in crate::drive::engine) fn posted(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &[u8]) -> usize {
        let number = socket.number;
        let mut used = 0;
        while used < input.len() {
            let answer = match answer(&mut self.tools, &input[used..]) {
                Ok(Some(answer)) => answer,
                Ok(None) => break,
                Err(kind) => {
                    self.polls.errands.push(Errand::Break(number, None, kind));
                    return input.len();
                }
            };
            used += answer.used;
            match answer.content {
                Content::Interim => {}
                Content::Body(..) => self.post_answered(io, socket, answer.keep_alive),
                Content::Refused => {
                    let words = self.tools.reason.clone();
                    self.polls.errands.push(Errand::Refuse(number, words));
                }
                Content::Failed(kind) => {
                    self.polls.errands.push(Errand::Break(number, None, kind));
                }
            }
        }
        used
    }

    /// Bytes on a WebSocket that a session is to move to.
    pub(in crate::drive::engine) fn probed(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        let number = socket.number;
        let Some(polling) = self.polls.sessions.get_mut(&number) else {
            io.close();
            return input.len();
        };
        let mut used = 0;
        while used < input.len() {
            let credentials = Some(&polling.credentials);
            let (tools, rest) = (&mut self.tools, &mut input[used..]);
            let step = socket.connection.receive(tools, credentials, None, rest, io.out());
            used += step.used;
            let broken = |kind| Errand::Break(number, Some(Phase::Upgrade), kind);
            let errand = match step.event {
                Some(Event::Upgraded) => {
                    socket.connection.ping_probe(&mut self.tools, io.out());
                    continue;
                }
                Some(Event::Probed) => {
                    polling.pausing = true;
                    Errand::Move(number)
                }
                Some(Event::Refused) => Errand::Refuse(number, self.tools.reason.clone()),
                Some(Event::Failed(kind)) => broken(kind),
                Some(Event::Closed(code)) => broken(FailureKind::Closed(code)),
                Some(_) => continue,
                None if step.used == 0 => break,
                None => continue,
            };
            self.polls.errands.push(errand);
            // What follows is the session's, once it has moved here.
            break;
        }
        used
    }

    /// Takes the packets of a GET's answer, one after the other.
    fn poll_answered(&mut self, io: &mut Io<'_>, socket: &mut Socket, form: Form, body: &[u8]) {
        let number = socket.number;
        let Some(version) = self.tools.profile.engineio() else {
            return;
        };
        let sent_ns = match self.polls.sessions.get_mut(&number) {
            Some(polling) => polling.get_sent_ns.take(),
            None => None,
        };
        // Of an established session the GET waited for something to happen.
        if let Some(sent_ns) = sent_ns
            && socket.life == Life::Handshaking
        {
            self.count_poll(number, io.now_ns().saturating_sub(sent_ns));
        }
        for item in decode_payload(version, form, body) {
            let Some(polling) = self.polls.sessions.get_mut(&number) else {
                return;
            };
            let awaited = socket.awaited();
            let event = match item {
                Ok(Item::Text(packet)) => socket.connection.receive_packet(
                    &mut self.tools,
                    Some(&polling.credentials),
                    awaited,
                    &packet,
                    &mut polling.payload,
                ),
                // An attachment of an event: nothing that was asked for.
                Ok(Item::Binary(_)) => None,
                Err(_) if socket.flight.is_none() => Some(Event::Closed(BAD_PAYLOAD)),
                Err(_) => Some(Event::Failed(FailureKind::Protocol)),
            };
            if !polling.payload.is_empty() {
                self.polls.errands.push(Errand::Post(number));
            }
            if let Some(event) = event {
                self.happened(io, socket, event);
            }
            // What is decided cannot be decided again.
            if socket.life == Life::Leaving {
                return;
            }
        }
    }

    /// Goes on to the next GET, over a new connection where the server ends this one, unless the session takes leave.
    fn poll_again(&mut self, io: &mut Io<'_>, socket: &Socket, keep_alive: bool) {
        let Some(polling) = self.polls.sessions.get_mut(&socket.number) else {
            return io.close();
        };
        if socket.life == Life::Leaving {
            self.let_go(io, socket);
        } else if keep_alive {
            self.write_poll(io, socket.number);
        } else {
            polling.anew = true;
            io.close();
        }
    }

    fn post_answered(&mut self, io: &mut Io<'_>, socket: &mut Socket, keep_alive: bool) {
        let (number, now_ns) = (socket.number, io.now_ns());
        let Some(polling) = self.polls.sessions.get_mut(&number) else {
            return io.close();
        };
        socket.until_ns = NEVER_NS;
        let answered = polling.posting.take();
        let (more, pausing) = (!polling.payload.is_empty(), polling.pausing);
        if !keep_alive {
            polling.post = None;
            io.close();
        }
        let timed = answered.filter(|posting| !posting.leaves);
        if let Some(sent_ns) = timed.and_then(|posting| posting.sent_ns) {
            self.count_poll(number, now_ns.saturating_sub(sent_ns));
        }
        let errands = &mut self.polls.errands;
        errands.push(match more {
            true => Errand::Post(number),
            false => Errand::Posted(number),
        });
        if pausing && !more {
            errands.push(Errand::Move(number));
        }
        self.arm(io, socket);
    }
}
