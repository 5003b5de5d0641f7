//! One request at the gate: from the bytes of its head to a session or to an answer.

use wire::{
    engineio::{Form, HttpError, Version},
    http::{HeadError, RequestHead, UpgradeError, UpgradeRequest, write_switching_protocols},
};

use crate::gate::{
    answers::{self, Answers},
    carrier,
    courier::PARENT,
    polling,
};
use crate::{
    metrics::{Metrics, Outcome},
    session::{
        Auth, Guest, Host, Reply, Session,
        app::{App, ENGINEIO_ECHO_PATH},
        engineio::{EngineIo, Opening, Probe},
        polling::Key,
        websocket::WebSocket,
    },
    verify::Refusal,
};

pub use crate::gate::body::Posting;

/// The most bytes of a request's head: the longest token that is verified, and as much again for the rest.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Where the raw WebSocket is.
pub const WEBSOCKET_PATH: &str = "/ws";
/// Where Engine.IO is, as its clients expect it.
pub const ENGINEIO_PATH: &str = "/socket.io/";
/// Where Socket.IO's servers serve their client.
pub const CLIENT_PATH: &str = "/socket.io/socket.io.js";

/// What the gate answers by, the same for all its shards.
#[derive(Debug)]
pub struct Site {
    /// Origins whose pages may use the token cookie, and read the answers of long-polling.
    pub origins: Vec<String>,
    /// The Socket.IO client served at [`CLIENT_PATH`], if any.
    pub socketio_client: Option<Vec<u8>>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Answers written once.
    pub answers: Answers,
    /// How many shards the gate has, over all its processes.
    pub shards: usize,
    /// Its processes, of which this is one, have a parent that answers for them all.
    pub has_parent: bool,
}

impl Site {
    /// A gate of `shards` shards, whose counters are all zero.
    pub fn new(origins: Vec<String>, socketio_client: Option<Vec<u8>>, shards: usize) -> Self {
        Self {
            origins,
            socketio_client,
            metrics: Metrics::new(shards),
            answers: Answers::prepare(),
            shards,
            has_parent: false,
        }
    }
}

/// The connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// Its number in the shard.
    pub number: u64,
    /// Bytes at the front of its input that were looked at before.
    pub seen_bytes: usize,
    /// When a session that it opens must be connected, on the clock of the reply.
    pub connect_by_ns: u64,
}

/// What came of the input so far.
#[derive(Debug)]
pub enum Step {
    /// The head is not whole yet.
    More,
    /// The head is whole, the body of a session's POST is not.
    Posting(Box<Posting>),
    /// The head is whole, and somebody must be asked about it first. It stays where it is, to be taken again once the
    /// answer is [told](Host::told).
    Asks {
        /// The session whose user it is about.
        session: String,
    },
    /// Answered and counted: the connection ends once the reply is sent.
    Answered,
    /// Answered; another request may follow behind the first `used` bytes.
    Served {
        /// The bytes of head and body.
        used: usize,
    },
    /// A poll that waits for its session to say something.
    Waits {
        /// The bytes of the head.
        used: usize,
        /// Whose poll it is.
        key: Key,
    },
    /// It asks for a session of another shard, where the connection is to go, request and all, or for what the parent
    /// of several processes tells.
    Elsewhere {
        /// That shard's number, or [`PARENT`].
        shard: u16,
    },
    /// A WebSocket, its 101 in the reply, that may take a session over.
    Probing {
        /// The bytes of the head.
        used: usize,
        /// What lives on the socket until then.
        probe: Box<Probe>,
    },
    /// A session began behind the first `used` bytes; its 101 is in the reply.
    Opened {
        /// The bytes of the head.
        used: usize,
        /// What lives on the socket from now on.
        session: Session,
    },
}

/// Takes the request at the front of the `input` of `connection`.
pub fn take(input: &[u8], connection: Connection, site: &Site, host: &mut Host, reply: &mut Reply<'_>) -> Step {
    let seen_bytes = connection.seen_bytes;
    if seen_bytes > 0 && input.len() < HEAD_BYTES_MAX && !ends_head(input, seen_bytes) {
        return Step::More;
    }
    let mut request = Request { input, connection, site, host, reply };
    match RequestHead::parse(&input[..input.len().min(HEAD_BYTES_MAX)]) {
        Ok(Some(head)) => {
            let start = request.reply.out.len();
            let step = request.route(&head);
            if head.method == "HEAD" && matches!(step, Step::Answered) {
                answers::cut_body(request.reply.out, start);
            }
            step
        }
        Ok(None) if input.len() < HEAD_BYTES_MAX => Step::More,
        Ok(None) | Err(HeadError::TooManyHeaders) => request.answer(Outcome::HeadTooLarge, |out| {
            answers::head_too_large(out, "the head is too large");
        }),
        Err(HeadError::Malformed(what)) => request.answer(Outcome::Malformed, |out| answers::bad_request(out, what)),
    }
}

/// Is there the end of a head among the bytes behind the first `seen_bytes`? Without this look a head that comes
/// byte by byte would be parsed as often, at a cost that grows with its square.
fn ends_head(input: &[u8], seen_bytes: usize) -> bool {
    let from = seen_bytes.saturating_sub(3).min(input.len());
    let fresh = &input[from..];
    fresh.windows(2).any(|two| two == b"\n\n") || fresh.windows(3).any(|three| three == b"\n\r\n")
}

/// A request under way, and what answers it.
pub(super) struct Request<'r, 'o> {
    /// The head, and what followed it.
    pub(super) input: &'r [u8],
    pub(super) connection: Connection,
    pub(super) site: &'r Site,
    pub(super) host: &'r mut Host,
    pub(super) reply: &'r mut Reply<'o>,
}

impl Request<'_, '_> {
    fn route(&mut self, head: &RequestHead<'_>) -> Step {
        match head.path() {
            WEBSOCKET_PATH => self.websocket(head),
            ENGINEIO_PATH => self.engineio(head, true),
            ENGINEIO_ECHO_PATH if self.host.settings.app == App::Conformance => self.engineio(head, false),
            path => self.page(head, path),
        }
    }

    /// A raw WebSocket: the verdict decides between the 101 and the 401.
    fn websocket(&mut self, head: &RequestHead<'_>) -> Step {
        let upgrade = match UpgradeRequest::from_head(head) {
            Ok(upgrade) => upgrade,
            Err(error) => return self.no_upgrade(error),
        };
        let verdict = match self.verdict(head) {
            Ok(verdict) => verdict,
            Err(asks) => return asks,
        };
        match verdict.unwrap_or_else(|| self.host.admit_unnamed()) {
            Ok(user) => {
                self.switch_protocols(head, &upgrade);
                self.host.metrics.handshake(Outcome::Established);
                let session = WebSocket::open(user, self.host, self.reply);
                Step::Opened { used: head.bytes, session: Session::WebSocket(session) }
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Engine.IO: the session comes first, the verdict is told in the protocol's own words. The checks and their order
    /// are those of the reference implementation. Without Socket.IO above there are no such words: 403.
    fn engineio(&mut self, head: &RequestHead<'_>, has_socketio: bool) -> Step {
        if head.method == "OPTIONS" && polling::is_sound(head) {
            return polling::preflight(self, head);
        }
        let [transport, sid, eio, b64] = head.query_values(["transport", "sid", "EIO", "b64"]);
        let polls = match transport {
            Some("websocket") => false,
            Some("polling") if polling::is_sound(head) => true,
            Some("polling") => return self.engineio_error(head, HttpError::BadRequest),
            _ => return self.engineio_error(head, HttpError::UnknownTransport),
        };
        if let Some(sid) = sid {
            return polling::of_session(self, head, sid, polls);
        }
        if head.method != "GET" {
            return self.engineio_error(head, HttpError::BadHandshakeMethod);
        }
        let Some(version) = eio.and_then(Version::from_query) else {
            return self.engineio_error(head, HttpError::UnsupportedProtocolVersion);
        };
        let upgrade = match UpgradeRequest::from_head(head) {
            _ if polls => None,
            Ok(upgrade) => Some(upgrade),
            // The client is told which it is to speak (RFC 6455 section 4.4).
            Err(UpgradeError::BadVersion) => return self.no_upgrade(UpgradeError::BadVersion),
            Err(_) => return self.engineio_error(head, HttpError::BadRequest),
        };
        let form = match b64 {
            None | Some("" | "0" | "false") => Form::Binary,
            _ => Form::Text,
        };
        let verdict = match self.verdict(head) {
            Ok(verdict) => verdict,
            Err(asks) => return asks,
        };
        if verdict == Some(Err(Refusal::TooLong)) {
            return self.refuse(Refusal::TooLong);
        }
        let opening = if has_socketio {
            Opening::SocketIo(verdict)
        } else {
            match verdict.unwrap_or_else(|| self.host.admit_unnamed()) {
                Ok(user) => Opening::Messages(user),
                Err(refusal) => return self.forbid(head, refusal),
            }
        };
        let Some(upgrade) = upgrade else {
            return polling::open(self, head, version, form, opening);
        };
        self.switch_protocols(head, &upgrade);
        let by_ns = self.connection.connect_by_ns;
        let session = EngineIo::open(version, opening, by_ns, self.host, self.reply).reading(form);
        Step::Opened { used: head.bytes, session: Session::EngineIo(Box::new(session)) }
    }

    /// The verdict on what the request brings to be let in by, `None` where it brings nothing. `Err`: somebody is to be
    /// asked first.
    fn verdict(&mut self, head: &RequestHead<'_>) -> Result<Option<Result<Guest, Refusal>>, Step> {
        if self.host.settings.auth == Auth::Session {
            return self.verdict_on_session(head);
        }
        let token = carrier::token(head, &self.site.origins);
        Ok(token.map(|token| self.host.admit(token.as_bytes())))
    }

    fn verdict_on_session(&mut self, head: &RequestHead<'_>) -> Result<Option<Result<Guest, Refusal>>, Step> {
        let session = match carrier::session(head, &self.site.origins) {
            None => return Ok(None),
            Some(Err(refusal)) => return Ok(Some(Err(refusal))),
            Some(Ok(session)) => session,
        };
        match self.host.told.take() {
            Some(user) => Ok(Some(self.host.admit_user(user.as_deref()))),
            None => Err(Step::Asks { session: session.into_owned() }),
        }
    }

    /// Everything that is no socket.
    fn page(&mut self, head: &RequestHead<'_>, path: &str) -> Step {
        if !head.has_one_host() {
            return self.no_upgrade(UpgradeError::NoHost);
        }
        let site = self.site;
        // Any other method is refused here, as by a gate of one process.
        let is_read = ["GET", "HEAD"].contains(&head.method);
        if site.has_parent && path == "/metrics" && is_read {
            return Step::Elsewhere { shard: PARENT };
        }
        let write = |out: &mut Vec<u8>| match (path, &site.socketio_client) {
            ("/healthz", _) => answers::ok(out, "text/plain; charset=utf-8", b"ok"),
            ("/metrics", _) => {
                answers::metrics(out, &site.metrics.render());
            }
            (CLIENT_PATH, Some(client)) => {
                answers::ok(out, "text/javascript; charset=utf-8", client);
            }
            _ => answers::not_found(out),
        };
        self.answer(Outcome::Answered, |out| match head.method {
            "GET" | "HEAD" => write(out),
            _ => answers::bad_method(out, "GET, HEAD"),
        })
    }

    pub(super) fn switch_protocols(&mut self, head: &RequestHead<'_>, upgrade: &UpgradeRequest<'_>) {
        let protocol =
            carrier::offered(head).any(|protocol| protocol == carrier::SUBPROTOCOL).then_some(carrier::SUBPROTOCOL);
        write_switching_protocols(self.reply.out, upgrade.key, protocol);
    }

    fn refuse(&mut self, refusal: Refusal) -> Step {
        let site = self.site;
        self.answer(Outcome::Refused(refusal), |out| site.answers.refuse(out, refusal))
    }

    fn no_upgrade(&mut self, error: UpgradeError) -> Step {
        match error {
            UpgradeError::NotGet => self.answer(Outcome::Answered, |out| answers::bad_method(out, "GET")),
            UpgradeError::NoUpgrade | UpgradeError::BadVersion => {
                self.answer(Outcome::Answered, answers::upgrade_required)
            }
            UpgradeError::NoHost | UpgradeError::BadKey => {
                let what = error.to_string();
                self.answer(Outcome::Malformed, |out| answers::bad_request(out, &what))
            }
        }
    }

    fn forbid(&mut self, head: &RequestHead<'_>, refusal: Refusal) -> Step {
        let origin = polling::page_of(head, self.site).map(|(_, origin)| origin);
        self.answer(Outcome::Refused(refusal), |out| {
            answers::engineio(out, HttpError::Forbidden, origin);
        })
    }

    pub(super) fn engineio_error(&mut self, head: &RequestHead<'_>, error: HttpError) -> Step {
        let origin = polling::page_of(head, self.site).map(|(_, origin)| origin);
        self.answer(Outcome::Answered, |out| {
            answers::engineio(out, error, origin);
        })
    }

    pub(super) fn answer(&mut self, outcome: Outcome, write: impl FnOnce(&mut Vec<u8>)) -> Step {
        write(self.reply.out);
        self.host.metrics.handshake(outcome);
        Step::Answered
    }
}

#[cfg(test)]
mod tests;
