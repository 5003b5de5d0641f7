//! What is done about sessions that poll between callbacks.

use reactor::{Closed, Connect, Io, SocketId, Sockets};

use crate::drive::engine::Engine;
use crate::drive::engine::arrive::kind_of;
use crate::drive::engine::flight::FlightId;
use crate::drive::engine::handshake::{UNSAID, kind_of_closed};
use crate::drive::engine::polling::{Errand, Polling, Posting};
use crate::drive::engine::socket::{Life, NEVER_NS, Socket};
use crate::ground::outcome::{FailureKind, Phase};
use crate::speak::connection::{Connection, Event};

impl Engine {
    /// Does what callbacks have left to do, and what that leaves in turn.
    pub(in crate::drive::engine) fn run_errands(&mut self, sockets: &mut Sockets<'_, Socket>) {
        while !self.polls.errands.is_empty() {
            for errand in std::mem::take(&mut self.polls.errands) {
                self.run_errand(sockets, errand);
            }
            // Sockets that were closed here are told of only after the turn.
            self.again = true;
        }
    }

    fn run_errand(&mut self, sockets: &mut Sockets<'_, Socket>, errand: Errand) {
        match &errand {
            Errand::Post(number)
            | Errand::Posted(number)
            | Errand::Probe(number)
            | Errand::Move(number)
            | Errand::Break(number, ..)
            | Errand::Refuse(number, _) => self.turn_to_arrival(*number),
            Errand::Anew(socket) => self.turn_to(socket.target),
            // Nothing of it is counted any more.
            Errand::Close(_) => {}
        }
        match errand {
            Errand::Post(number) => self.post(sockets, number),
            Errand::Posted(number) => self.with_session(sockets, number, |engine, io, socket| {
                if socket.life == Life::Leaving {
                    engine.let_go(io, socket);
                }
            }),
            Errand::Probe(number) => {
                let now_ns = sockets.now_ns();
                self.stamp_session(number, |flight| flight.moving_ns = Some(now_ns));
                self.open_helper(sockets, number, Life::Probing);
            }
            Errand::Move(number) => self.move_session(sockets, number),
            Errand::Anew(socket) => self.reconnect(sockets, *socket),
            Errand::Break(number, phase, kind) => {
                self.stamp_session(number, |flight| flight.broke_in = phase);
                self.with_session(sockets, number, |engine, io, socket| {
                    engine.session_broke(io, socket, kind);
                });
            }
            Errand::Refuse(number, words) => {
                self.with_session(sockets, number, |engine, io, socket| {
                    engine.tools.reason = words;
                    if socket.flight.is_none() {
                        engine.session_broke(io, socket, FailureKind::Reset);
                    } else {
                        engine.happened(io, socket, Event::Refused);
                    }
                });
            }
            Errand::Close(id) => {
                sockets.with(id, |io, _| io.close());
            }
        }
    }

    /// Acts on the connection that a session's `Socket` lies on, unless that is gone or about to be.
    fn with_session(
        &mut self,
        sockets: &mut Sockets<'_, Socket>,
        number: u64,
        act: impl FnOnce(&mut Self, &mut Io<'_>, &mut Socket),
    ) {
        let Some(main) = self.polls.sessions.get(&number).map(|polling| polling.main) else {
            return;
        };
        self.with(sockets, main, act);
    }

    /// Acts on a connection; `false`: it is gone, or about to be.
    fn with(
        &mut self,
        sockets: &mut Sockets<'_, Socket>,
        id: SocketId,
        act: impl FnOnce(&mut Self, &mut Io<'_>, &mut Socket),
    ) -> bool {
        sockets.with(id, |io, socket| {
            act(self, io, socket);
            self.arm(io, socket);
            self.count_sent(io);
        })
    }

    /// Sends what there is to post, one POST at a time.
    fn post(&mut self, sockets: &mut Sockets<'_, Socket>, number: u64) {
        let Some(polling) = self.polls.sessions.get_mut(&number) else {
            return;
        };
        if polling.posting.is_none() && !polling.payload.is_empty() && !polling.sid.is_empty() {
            polling.posting = Some(Posting {
                payload: std::mem::take(&mut polling.payload),
                leaves: polling.leaving,
                ..Posting::default()
            });
        }
        let Some(posting) = polling.posting.as_mut().filter(|posting| !posting.under_way) else {
            return;
        };
        posting.under_way = true;
        posting.reused = polling.post.is_some();
        let sent =
            polling.post.is_some_and(|id| self.with(sockets, id, |engine, io, socket| engine.write_post(io, socket)));
        if !sent {
            self.open_helper(sockets, number, Life::Posting);
        }
    }

    /// Opens another connection of a session, by the way of its first.
    fn open_helper(&mut self, sockets: &mut Sockets<'_, Socket>, number: u64, life: Life) {
        let Some(polling) = self.polls.sessions.get_mut(&number) else {
            return;
        };
        let Some((to, from)) = self.target.route(number) else {
            return;
        };
        let deadline_ns = sockets.now_ns().saturating_add(self.limits.connect_ns);
        let mut socket = Socket::new(number, polling.kind, self.facing, FlightId::NONE, deadline_ns);
        socket.life = life;
        if life == Life::Probing {
            socket.connection = Connection::probe();
            socket.until_ns = sockets.now_ns().saturating_add(self.limits.handshake_ns);
        }
        let until_ns = socket.until_ns;
        let tls = self.tls.clone();
        match sockets.connect(Connect { to, from, tls }, socket, Some(until_ns)) {
            Ok(id) if life == Life::Posting => {
                polling.post = Some(id);
                if let Some(posting) = &mut polling.posting {
                    posting.reused = false;
                }
            }
            Ok(id) => polling.probe = Some(id),
            Err((error, _)) => {
                let phase = (life == Life::Probing).then_some(Phase::Upgrade);
                let errand = Errand::Break(number, phase, kind_of(&error));
                self.polls.errands.push(errand);
            }
        }
    }

    /// Goes on over a new connection: the server has ended the last one with its answer.
    fn reconnect(&mut self, sockets: &mut Sockets<'_, Socket>, socket: Socket) {
        let number = socket.number;
        let Some((to, from)) = self.target.route(number) else {
            return;
        };
        let tls = self.tls.clone();
        match sockets.connect(Connect { to, from, tls }, socket, None) {
            Ok(id) => {
                if let Some(polling) = self.polls.sessions.get_mut(&number) {
                    polling.main = id;
                }
                self.with(sockets, id, |_, _, _| {});
            }
            Err((error, mut socket)) => {
                let now_ns = sockets.now_ns();
                self.session_gone(&mut socket, now_ns, &Closed::Failed(error.kind()));
            }
        }
    }

    /// The connection of a session is gone, and with it the session.
    fn session_gone(&mut self, socket: &mut Socket, now_ns: u64, why: &Closed) {
        if socket.flight.is_none() {
            self.lost(socket, now_ns, kind_of_closed(why, UNSAID));
        } else {
            self.broke(socket, now_ns, why);
        }
        self.forget_session(socket.number);
    }

    /// Moves a session to its WebSocket, once nothing of it is under way by polling.
    fn move_session(&mut self, sockets: &mut Sockets<'_, Socket>, number: u64) {
        let Some(polling) = self.polls.sessions.get(&number) else {
            return;
        };
        let Polling { main, probe: Some(probe), get_sent_ns: None, posting: None, .. } = **polling else {
            return;
        };
        if !polling.payload.is_empty() {
            return self.polls.errands.push(Errand::Post(number));
        }
        // What stays behind on the old connection belongs to nobody.
        let mut left = Some(Socket::new(number, polling.kind, self.facing, FlightId::NONE, NEVER_NS));
        if let Some(left) = &mut left {
            left.life = Life::Posting;
        }
        let mut session = None;
        sockets.with(main, |io, socket| {
            session = left.take().map(|left| std::mem::replace(socket, left));
            io.clear_deadline();
            io.close();
        });
        if session.is_none() {
            return;
        }
        if let Some(polling) = self.polls.sessions.get_mut(&number) {
            polling.probe = None;
        }
        self.forget_session(number);
        self.with(sockets, probe, |engine, io, socket| {
            if let Some(mut session) = session.take() {
                std::mem::swap(socket, &mut session);
                let probe = session.connection;
                let connection = &mut socket.connection;
                connection.move_to(probe, &mut engine.tools, io.out());
                engine.moved(io, socket);
            }
        });
        // The WebSocket has gone in the same moment.
        if let Some(mut session) = session {
            let now_ns = sockets.now_ns();
            self.session_gone(&mut session, now_ns, &Closed::Reset);
        }
    }
}
