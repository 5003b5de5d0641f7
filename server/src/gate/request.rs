//! One request: its connection, the step that follows, and the answers that all paths share.

use wire::engineio::HttpError;
use wire::http::{RequestHead, UpgradeRequest, write_switching_protocols};

use crate::gate::body::Posting;
use crate::gate::shared::GateShared;
use crate::gate::{answers, carrier};
use crate::metrics::Outcome;
use crate::session::engineio::Probe;
use crate::session::polling::Key;
use crate::session::{Reply, Session, Sessions};

/// The connection of a request.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The connection's number in the shard.
    pub number: u64,
    /// Bytes at the front of the input in which no head ends.
    pub seen_bytes: usize,
    /// The deadline for the connect packet of a new session, on the clock of the reply.
    pub connect_by_ns: u64,
    /// The result of the session lookup; `None` without a lookup.
    pub owner: Option<SessionOwner<'a>>,
}

/// The name of a session's user, as the frontend answers; `None` for an unknown session.
#[derive(Clone, Copy, Debug)]
pub struct SessionOwner<'a>(pub Option<&'a str>);

/// What follows after the input so far. A number of bytes is the part of the input that the request took.
#[derive(Debug)]
pub enum Step {
    /// The head is not complete.
    Incomplete,
    /// The head is complete, the body of a session's POST is not.
    Posting(Box<Posting>),
    /// The user of the session with this id must be looked up. The request stays in the input, to be handled again with
    /// the result in [`Connection::owner`].
    NeedsLookup(String),
    /// The request is answered and counted; the connection is closed once the reply is sent.
    Answered,
    /// The request, this many bytes of head and body, is answered. Another request may follow.
    Served(usize),
    /// A poll that waits for packets of its session.
    PollWaits(usize, Key),
    /// The connection must move to the shard of this number with its request; to `PARENT` for a page of all processes.
    Forward(u16),
    /// A WebSocket that may upgrade a polling session; its 101 is in the reply.
    Probing(usize, Box<Probe>),
    /// A session over a WebSocket; its 101 is in the reply.
    Opened(usize, Session),
}

/// A request with all that is needed to answer it.
pub(super) struct Request<'r, 'o> {
    /// The head, and the bytes after it.
    pub(super) input: &'r [u8],
    pub(super) connection: Connection<'r>,
    pub(super) shared: &'r GateShared,
    pub(super) sessions: &'r mut Sessions,
    pub(super) reply: &'r mut Reply<'o>,
}

impl Request<'_, '_> {
    pub(super) fn switch_protocols(&mut self, head: &RequestHead<'_>, upgrade: &UpgradeRequest<'_>) {
        let protocol = carrier::offered(head).find(|offered| *offered == carrier::SUBPROTOCOL);
        write_switching_protocols(self.reply.out, upgrade.key, protocol);
    }

    pub(super) fn engineio_error(&mut self, head: &RequestHead<'_>, error: HttpError) -> Step {
        let origin = self.shared.allowed_origin(head).map(|(_, origin)| origin);
        self.answer(Outcome::Answered, |out| answers::engineio(out, error, origin))
    }

    pub(super) fn answer(&mut self, outcome: Outcome, write: impl FnOnce(&mut Vec<u8>)) -> Step {
        write(self.reply.out);
        self.sessions.host.metrics.handshake(outcome);
        Step::Answered
    }
}
