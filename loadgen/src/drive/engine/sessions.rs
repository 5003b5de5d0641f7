//! Sessions that poll: what their connections share, and the actions that one leaves for another.
//!
//! A session's `Socket` lies on the connection of its GETs, so that its state, deadlines and messages are those of any
//! other socket. Its POSTs go over a second connection, as browsers have it, opened when there is something to send; the
//! WebSocket that it may move to is a third for a moment. A callback can change its own socket alone: what must happen
//! to another one is a [`DeferredAction`] of the next turn.
//!
//! ```text
//! GETs        open -> poll -> poll -> ...          the session's Socket; while a poll waits, the session is idle
//! POSTs       connect packet, messages, pongs      State::Posting
//! WebSocket   101 -> 2probe -> 3probe -> 5         State::Probing; then the Socket moves there
//! ```

use std::collections::HashMap;

use reactor::{Closed, Io, SocketId};

use crate::drive::engine::fault::{failure_of_closed, words_of_closed};
use crate::drive::engine::flight::{Flight, FlightId};
use crate::drive::engine::socket::{Socket, State};
use crate::ground::outcome::{FailureKind, Phase, TokenKind};
use crate::ground::time::ShardInstant;
use crate::speak::connection::Credentials;

/// The sessions of a shard that poll, by the number of their arrival, and their deferred actions.
#[derive(Debug, Default)]
pub struct Sessions {
    sessions: HashMap<u64, Box<Session>>,
    deferred: Vec<DeferredAction>,
}

/// What the connections of one session share.
#[derive(Debug)]
pub struct Session {
    /// The kind of its token.
    pub kind: TokenKind,
    /// The index of its target.
    pub target: u8,
    /// Its token and key.
    pub credentials: Credentials,
    /// Its handshake, as long as that has the session's number.
    pub flight: FlightId,
    /// Empty before the open packet.
    pub sid: String,
    /// The connection of its GETs.
    pub main: SocketId,
    /// When the GET that waits for its answer was sent.
    pub get_sent: Option<ShardInstant>,
    /// The server closes that connection after its answer: the next GET needs a new one.
    pub must_reconnect: bool,
    /// The connection of its POSTs, also while idle.
    pub post: Option<SocketId>,
    /// The POST that is not answered yet.
    pub posting: Option<Posting>,
    /// The packets of the next POST.
    pub payload: Vec<u8>,
    /// The WebSocket that it may move to.
    pub probe: Option<SocketId>,
    /// That WebSocket works: no further GET is sent.
    pub is_moving: bool,
    /// This side closes it: further POSTs are not timed.
    pub is_closing: bool,
}

/// A POST that is not answered yet.
#[derive(Debug, Default)]
pub struct Posting {
    /// Its body.
    pub payload: Vec<u8>,
    /// When it was written.
    pub sent: Option<ShardInstant>,
    /// It is on a connection, or waits for one that connects.
    pub is_assigned: bool,
    /// It closes the session.
    pub is_closing: bool,
    /// Its connection has carried an earlier one: the server may have closed it meanwhile, which is no failure.
    pub is_reused: bool,
}

/// Something to be done on another connection than that of the callback.
#[derive(Debug)]
pub enum DeferredAction {
    /// Send what there may be to post.
    Post(u64),
    /// A POST was answered: close the session if it is closing.
    PostAnswered(u64),
    /// Open the WebSocket that the session may move to.
    Probe(u64),
    /// Move the session once none of its requests is under way.
    Move(u64),
    /// Open a new connection for the next GET.
    Reconnect(Box<Socket>),
    /// Another connection of the session failed, in this phase if it is not the session's own, with these words.
    Fail(u64, Option<Phase>, FailureKind, String),
    /// Another connection received that the token is refused, for this reason.
    Refuse(u64, String),
    /// Close a connection whose session is over.
    Close(SocketId),
}

impl DeferredAction {
    /// A failure without words.
    pub fn fail(number: u64, phase: Option<Phase>, kind: FailureKind) -> Self {
        Self::Fail(number, phase, kind, String::new())
    }
}

impl Sessions {
    /// The session of a flight begins on connection `main`.
    pub fn begin(&mut self, main: SocketId, id: FlightId, flight: &Flight) {
        let session = Session {
            kind: flight.arrival.kind,
            target: flight.arrival.target,
            credentials: flight.credentials.clone(),
            flight: id,
            sid: String::new(),
            main,
            get_sent: None,
            must_reconnect: false,
            post: None,
            posting: None,
            payload: Vec::new(),
            probe: None,
            is_moving: false,
            is_closing: false,
        };
        self.sessions.insert(flight.arrival.number, Box::new(session));
    }

    /// The session of an arrival.
    pub fn get(&self, number: u64) -> Option<&Session> {
        self.sessions.get(&number).map(Box::as_ref)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut Session> {
        self.sessions.get_mut(&number).map(Box::as_mut)
    }

    /// Leaves an action for the next turn.
    pub fn defer(&mut self, action: DeferredAction) {
        self.deferred.push(action);
    }

    /// Takes the deferred actions.
    pub fn take_deferred(&mut self) -> Vec<DeferredAction> {
        std::mem::take(&mut self.deferred)
    }

    /// Whether a connection is another than the first of its session.
    pub fn is_later_connection(&self, socket: &Socket) -> bool {
        let is_open = || self.get(socket.number).is_some_and(|session| !session.sid.is_empty());
        socket.is_helper() || socket.connection.is_polling() && is_open()
    }

    /// Closes a session that is over, at once or when its last packets are posted.
    pub fn close_when_posted(&mut self, io: &mut Io<'_>, number: u64) {
        let has_unsent =
            self.get(number).is_some_and(|it| !it.sid.is_empty() && (it.posting.is_some() || !it.payload.is_empty()));
        if has_unsent {
            self.defer(DeferredAction::Post(number));
        } else {
            io.close();
        }
    }

    /// This side closes a session. Where thousands close at once, their POSTs wait here for each other: that is no latency
    /// of the target.
    pub fn start_closing(&mut self, number: u64) {
        if let Some(session) = self.get_mut(number) {
            session.is_closing = true;
        }
    }

    /// A helper's connection is gone. That matters to its session if something was under way on it.
    pub fn helper_closed(&mut self, id: SocketId, number: u64, why: &Closed) {
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        let kind = failure_of_closed(why, FailureKind::Reset);
        if session.probe == Some(id) {
            session.probe = None;
            return self.defer(DeferredAction::Fail(number, Some(Phase::Upgrade), kind, words_of_closed(why)));
        }
        if session.post != Some(id) {
            return;
        }
        session.post = None;
        let Some(posting) = &mut session.posting else {
            return;
        };
        let action = if posting.is_reused && matches!(why, Closed::Peer | Closed::Reset) {
            posting.is_reused = false;
            posting.is_assigned = false;
            DeferredAction::Post(number)
        } else {
            DeferredAction::Fail(number, None, kind, words_of_closed(why))
        };
        self.defer(action);
    }

    /// A helper's connection took too long over its request.
    pub fn helper_timed_out(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        socket.state_ends = ShardInstant::NEVER;
        let phase = (socket.state == State::Probing).then_some(Phase::Upgrade);
        self.defer(DeferredAction::fail(socket.number, phase, FailureKind::Timeout));
        io.close();
    }

    /// Takes the socket of a session that continues over a new connection; gives back any other.
    pub fn reconnect(&mut self, socket: Socket) -> Result<(), Socket> {
        match self.get_mut(socket.number) {
            Some(session) if session.must_reconnect && socket.state != State::Closing => {
                session.must_reconnect = false;
                // First of all: other actions on the session need its new connection.
                self.deferred.insert(0, DeferredAction::Reconnect(Box::new(socket)));
                Ok(())
            }
            _ => Err(socket),
        }
    }

    /// A session is over: its other connections are to be closed. Whether there was one.
    pub fn remove(&mut self, number: u64) -> bool {
        let Some(session) = self.sessions.remove(&number) else {
            return false;
        };
        let helpers = [session.post, session.probe];
        self.deferred.extend(helpers.into_iter().flatten().map(DeferredAction::Close));
        true
    }
}
