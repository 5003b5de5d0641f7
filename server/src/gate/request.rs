//! One request: the connection it came by, what it becomes, and the answers that all paths share.

use wire::engineio::HttpError;
use wire::http::{RequestHead, UpgradeRequest, write_switching_protocols};

use crate::gate::body::Posting;
use crate::gate::shared::GateShared;
use crate::gate::{answers, carrier};
use crate::metrics::Outcome;
use crate::session::engineio::Probe;
use crate::session::polling::Key;
use crate::session::{Reply, Session, Sessions};

/// The connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Its number in the shard.
    pub number: u64,
    /// Bytes at the front of its input that were looked at before.
    pub seen_bytes: usize,
    /// When a session that it opens must be connected, on the clock of the reply.
    pub connect_by_ns: u64,
    /// The frontend's answer about the request's session; `None` where it was not asked.
    pub owner: Option<SessionOwner<'a>>,
}

/// The name of a session's user, as the frontend answers; `None` for an unknown session.
#[derive(Clone, Copy, Debug)]
pub struct SessionOwner<'a>(pub Option<&'a str>);

/// What the input so far led to.
#[derive(Debug)]
pub enum Step {
    /// The head is not complete.
    More,
    /// The head is complete, the body of a session's POST is not.
    Posting(Box<Posting>),
    /// The head is complete, and the frontend must be asked for the user of its session. The request stays in the
    /// input, to be taken again with the answer in [`Connection::owner`].
    NeedsLookup {
        /// The session's id.
        session: String,
    },
    /// Answered and counted: the connection ends once the reply is sent.
    Answered,
    /// Answered; another request may follow behind the first `used` bytes.
    Served {
        /// The bytes of head and body.
        used: usize,
    },
    /// A poll that waits for packets of its session.
    Waits {
        /// The bytes of the head.
        used: usize,
        /// Its session.
        key: Key,
    },
    /// Its session is another shard's: the connection is to move there with its request. Or it asks for a page of
    /// the parent of several processes.
    Forward {
        /// That shard's number, or `PARENT`.
        shard: u16,
    },
    /// A WebSocket, its 101 in the reply, that may take a session over.
    Probing {
        /// The bytes of the head.
        used: usize,
        /// The state of the socket until then.
        probe: Box<Probe>,
    },
    /// A session began behind the first `used` bytes; its 101 is in the reply.
    Opened {
        /// The bytes of the head.
        used: usize,
        /// The state of the socket from now on.
        session: Session,
    },
}

/// A request under way, with what is needed to answer it.
pub(super) struct Request<'r, 'o> {
    /// The head, and the bytes behind it.
    pub(super) input: &'r [u8],
    pub(super) connection: Connection<'r>,
    pub(super) shared: &'r GateShared,
    pub(super) sessions: &'r mut Sessions,
    pub(super) reply: &'r mut Reply<'o>,
}

impl Request<'_, '_> {
    pub(super) fn switch_protocols(&mut self, head: &RequestHead<'_>, upgrade: &UpgradeRequest<'_>) {
        let protocol =
            carrier::offered(head).any(|protocol| protocol == carrier::SUBPROTOCOL).then_some(carrier::SUBPROTOCOL);
        write_switching_protocols(self.reply.out, upgrade.key, protocol);
    }

    pub(super) fn engineio_error(&mut self, head: &RequestHead<'_>, error: HttpError) -> Step {
        let origin = self.shared.allowed_origin(head).map(|(_, origin)| origin);
        self.answer(Outcome::Answered, |out| {
            answers::engineio(out, error, origin);
        })
    }

    pub(super) fn answer(&mut self, outcome: Outcome, write: impl FnOnce(&mut Vec<u8>)) -> Step {
        write(self.reply.out);
        self.sessions.host.metrics.handshake(outcome);
        Step::Answered
    }
}
