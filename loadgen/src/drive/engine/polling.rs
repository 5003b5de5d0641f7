//! Sessions that poll: what their connections share, and what is done about one on behalf of another.
//!
//! A session's `Socket` lies on the connection of its GETs, so that its life, deadlines and talk are those of any other
//! socket. Its POSTs go over a second connection, as browsers have it, opened when there is something to say; a WebSocket
//! that it is to move to is a third for a moment. A callback reaches its own socket alone: what it makes due on another
//! is an [`Errand`], done in the turn that follows.
//!
//! ```text
//! GETs        open -> poll -> poll -> ...          the Socket; a poll that waits is the parked session
//! POSTs       connect packet, messages, pongs      Life::Posting
//! WebSocket   101 -> 2probe -> 3probe -> 5         Life::Probing; then the Socket moves there
//! ```

mod answers;
mod errands;

use std::collections::HashMap;

use reactor::{Closed, Io, SocketId};
use wire::engineio::Open;

use crate::drive::engine::Engine;
use crate::drive::engine::flight::{Flight, FlightId};
use crate::drive::engine::handshake::kind_of_closed;
use crate::drive::engine::socket::{Life, NEVER_NS, Socket};
use crate::ground::outcome::{FailureKind, Phase, TokenKind};
use crate::speak::connection::{Ask, Connection, Credentials, Tools};
use crate::spec::Transport;

/// The sessions of a shard that poll, by the number of their arrival, and what is to be done about them.
#[derive(Debug, Default)]
pub struct Polls {
    sessions: HashMap<u64, Box<Polling>>,
    errands: Vec<Errand>,
}

/// What the connections of one session share.
#[derive(Debug)]
struct Polling {
    kind: TokenKind,
    credentials: Credentials,
    /// Its handshake, as long as that bears the session's number.
    flight: FlightId,
    /// Empty until the open packet is there.
    sid: String,
    /// The connection of its GETs.
    main: SocketId,
    /// When the GET that is out was sent.
    get_sent_ns: Option<u64>,
    /// The server ends that connection with its answer: the next GET goes over a new one.
    anew: bool,
    /// The connection of its POSTs, idle ones included.
    post: Option<SocketId>,
    posting: Option<Posting>,
    /// The packets of the next POST.
    payload: Vec<u8>,
    /// The WebSocket that it is to move to.
    probe: Option<SocketId>,
    /// That WebSocket works: no GET follows the one that is out.
    pausing: bool,
    /// It takes leave: what is posted from here on is timed by nobody.
    leaving: bool,
}

/// A POST that is to be answered.
#[derive(Debug, Default)]
struct Posting {
    payload: Vec<u8>,
    sent_ns: Option<u64>,
    /// It is on a connection, or on its way to one.
    under_way: bool,
    /// It takes leave.
    leaves: bool,
    /// Its connection had served before: the server may have closed it as the POST was sent, which is nobody's fault.
    reused: bool,
}

/// Something to be done on another connection than the one whose callback wants it.
#[derive(Debug)]
enum Errand {
    /// There may be something to post.
    Post(u64),
    /// A POST was answered: a session that takes leave is over.
    Posted(u64),
    /// A WebSocket is to be tried.
    Probe(u64),
    /// The session may move, once nothing of it is under way.
    Move(u64),
    /// The next GET needs a new connection.
    Anew(Box<Socket>),
    /// Another connection of the session broke, in this phase if it is not the session's own.
    Break(u64, Option<Phase>, FailureKind),
    /// Another connection was told that the token is refused, in these words.
    Refuse(u64, String),
    /// The session of this connection is over.
    Close(SocketId),
}

impl Engine {
    /// An arrival's session begins on this connection.
    pub(super) fn begin_polling(&mut self, main: SocketId, flight: FlightId) {
        let Some(Flight { begun, credentials, .. }) = self.flights.get(flight) else {
            return;
        };
        let polling = Polling {
            kind: begun.kind,
            credentials: credentials.clone(),
            flight,
            sid: String::new(),
            main,
            get_sent_ns: None,
            anew: false,
            post: None,
            posting: None,
            payload: Vec::new(),
            probe: None,
            pausing: false,
            leaving: false,
        };
        self.polls.sessions.insert(begun.number, Box::new(polling));
    }

    /// Whether a connection is not the first of its session.
    pub(super) fn is_later_connection(&self, socket: &Socket) -> bool {
        let helps = matches!(socket.life, Life::Posting | Life::Probing);
        let session = self.polls.sessions.get(&socket.number);
        helps || socket.connection.polls() && session.is_some_and(|polling| !polling.sid.is_empty())
    }

    /// A later connection of a session is up: it gets what it was opened for.
    pub(super) fn later_connection_up(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        match socket.life {
            Life::Posting => self.write_post(io, socket),
            Life::Probing => {
                if let Some(polling) = self.polls.sessions.get(&socket.number) {
                    let Polling { credentials, sid, .. } = &**polling;
                    let connection = &mut socket.connection;
                    connection.start_probe(&self.tools, credentials, sid, io.out());
                }
            }
            _ => self.write_poll(io, socket.number),
        }
    }

    /// The first request of a session is written.
    pub(super) fn session_asked(&mut self, socket: &Socket, now_ns: u64) {
        if let Some(polling) = self.polls.sessions.get_mut(&socket.number) {
            polling.get_sent_ns = Some(now_ns);
        }
    }

    /// A session has its id; where it is to move, that is tried at once, as browsers do.
    pub(super) fn session_opened(&mut self, socket: &Socket, open: Open) {
        let number = socket.number;
        if let Some(polling) = self.polls.sessions.get_mut(&number) {
            polling.sid = open.sid;
        }
        if self.scenario.transport != Transport::Upgrade {
            return;
        }
        let offered = open.upgrades.iter().any(|transport| transport == "websocket");
        self.polls.errands.push(match offered {
            true => Errand::Probe(number),
            false => Errand::Break(number, Some(Phase::Upgrade), FailureKind::NoUpgrade),
        });
    }

    /// Lets a connection write where its bytes go: to its socket, or to the session's next POST.
    pub(super) fn write(
        &mut self,
        io: &mut Io<'_>,
        socket: &mut Socket,
        write: impl FnOnce(&mut Connection, &mut Tools, &mut Vec<u8>),
    ) {
        if !socket.connection.polls() {
            return write(&mut socket.connection, &mut self.tools, io.out());
        }
        if let Some(polling) = self.polls.sessions.get_mut(&socket.number) {
            let payload = &mut polling.payload;
            write(&mut socket.connection, &mut self.tools, payload);
            self.polls.errands.push(Errand::Post(socket.number));
        }
    }

    /// Lets a session that takes leave go, at once or when its last words are posted.
    pub(super) fn let_go(&mut self, io: &mut Io<'_>, socket: &Socket) {
        let unsaid = self.polls.sessions.get(&socket.number).is_some_and(|polling| {
            !polling.sid.is_empty() && (polling.posting.is_some() || !polling.payload.is_empty())
        });
        if unsaid {
            self.polls.errands.push(Errand::Post(socket.number));
        } else {
            io.close();
        }
    }

    /// A session takes leave of its own accord. Where thousands do so at once, the POSTs wait for each other here: that
    /// is no latency of the target.
    pub(super) fn session_leaves(&mut self, socket: &Socket) {
        if let Some(polling) = self.polls.sessions.get_mut(&socket.number) {
            polling.leaving = true;
        }
    }

    /// A session broke over something that came in by polling.
    pub(super) fn session_broke(&mut self, io: &mut Io<'_>, socket: &mut Socket, kind: FailureKind) {
        let now_ns = io.now_ns();
        if !socket.flight.is_none() {
            return self.failed(io, socket, now_ns, kind);
        }
        self.lost(socket, now_ns, kind);
        self.leave(socket, now_ns);
        io.close();
    }

    /// A connection is gone that served a session beside its own. `why` it ended is the session's matter if something
    /// was under way.
    pub(super) fn helper_gone(&mut self, id: SocketId, socket: &Socket, why: &Closed) {
        let Some(polling) = self.polls.sessions.get_mut(&socket.number) else {
            return;
        };
        let kind = kind_of_closed(why, FailureKind::Reset);
        if polling.probe == Some(id) {
            polling.probe = None;
            let phase = Some(Phase::Upgrade);
            let errand = Errand::Break(socket.number, phase, kind);
            return self.polls.errands.push(errand);
        }
        if polling.post != Some(id) {
            return;
        }
        polling.post = None;
        let Some(posting) = &mut polling.posting else {
            return;
        };
        let errand = if posting.reused && matches!(why, Closed::Peer | Closed::Reset) {
            posting.reused = false;
            posting.under_way = false;
            Errand::Post(socket.number)
        } else {
            Errand::Break(socket.number, None, kind)
        };
        self.polls.errands.push(errand);
    }

    /// A helping connection took too long over what it was opened for.
    pub(super) fn helper_late(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        socket.until_ns = NEVER_NS;
        let phase = (socket.life == Life::Probing).then_some(Phase::Upgrade);
        let errand = Errand::Break(socket.number, phase, FailureKind::Timeout);
        self.polls.errands.push(errand);
        io.close();
    }

    /// Takes a session over whose connection the server has ended, if the session goes on over a new one.
    pub(super) fn goes_on(&mut self, socket: Socket) -> Result<(), Socket> {
        let session = self.polls.sessions.get_mut(&socket.number);
        match session {
            Some(polling) if polling.anew && socket.life != Life::Leaving => {
                polling.anew = false;
                // Before anything else that is to be done about it: that needs its new connection.
                let errand = Errand::Anew(Box::new(socket));
                self.polls.errands.insert(0, errand);
                Ok(())
            }
            _ => Err(socket),
        }
    }

    /// A session is over: its other connections are closed.
    pub(super) fn forget_session(&mut self, number: u64) {
        if let Some(polling) = self.polls.sessions.remove(&number) {
            let helpers = [polling.post, polling.probe];
            let errands = helpers.into_iter().flatten().map(Errand::Close);
            self.polls.errands.extend(errands);
            self.again = true;
        }
    }

    /// Sends a session's next GET, unless it is about to move.
    fn write_poll(&mut self, io: &mut Io<'_>, number: u64) {
        let Some(polling) = self.polls.sessions.get_mut(&number) else {
            return io.close();
        };
        if polling.pausing {
            return self.polls.errands.push(Errand::Move(number));
        }
        let ask = Ask::Poll { sid: &polling.sid };
        let token = polling.credentials.token.as_deref();
        self.tools.profile.write_ask(io.out(), ask, token);
        polling.get_sent_ns = Some(io.now_ns());
    }

    /// Sends the POST that is due, over its own connection.
    fn write_post(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        let Some(polling) = self.polls.sessions.get_mut(&socket.number) else {
            return io.close();
        };
        let Some(posting) = &mut polling.posting else {
            return;
        };
        let body_bytes = posting.payload.len();
        let ask = Ask::Post { sid: &polling.sid, body_bytes };
        let token = polling.credentials.token.as_deref();
        self.tools.profile.write_ask(io.out(), ask, token);
        io.out().extend_from_slice(&posting.payload);
        posting.sent_ns = Some(io.now_ns());
        socket.until_ns = io.now_ns().saturating_add(self.limits.handshake_ns);
        self.arm(io, socket);
    }

    /// Counts a request that was answered: with its handshake, or by itself once that is decided.
    fn count_poll(&mut self, number: u64, took_ns: u64) {
        let Some(polling) = self.polls.sessions.get(&number) else {
            return;
        };
        let (flight, kind) = (polling.flight, polling.kind);
        match self.flights.get_mut(flight) {
            Some(flight) if flight.begun.number == number => flight.polled(took_ns),
            _ => {
                let outcome = self.scenario.mix.expected(kind).when_accepted();
                self.recorder.phase(Phase::Poll, outcome, kind, took_ns);
            }
        }
    }

    /// Stamps the handshake of a session, if that is still under way.
    fn stamp_session(&mut self, number: u64, stamp: impl FnOnce(&mut Flight)) {
        let session = self.polls.sessions.get(&number);
        let flight = session.and_then(|polling| self.flights.get_mut(polling.flight));
        if let Some(flight) = flight.filter(|flight| flight.begun.number == number) {
            stamp(flight);
        }
    }
}
