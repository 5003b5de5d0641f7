//! Handles one request: from the bytes of its head to a session or an answer.

use wire::engineio::{Form, HttpError, Version};
use wire::http::{HeadError, RequestHead, UpgradeError, UpgradeRequest};

use crate::gate::process_links::PARENT;
use crate::gate::request::Request;
use crate::gate::shared::GateShared;
use crate::gate::{answers, carrier, polling};
use crate::metrics::Outcome;
use crate::session::app::{App, ENGINEIO_ECHO_PATH};
use crate::session::engine::Opening;
use crate::session::engineio::EngineIo;
use crate::session::socketio::Verdict;
use crate::session::websocket::WebSocket;
use crate::session::{Auth, Reply, Session, Sessions};
use crate::verify::Refusal;

pub use crate::gate::body::Posting;
pub use crate::gate::request::{Connection, SessionOwner, Step};

/// The longest head of a request: twice the longest token that is verified.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

const WEBSOCKET_PATH: &str = "/ws";
/// The path at which clients of Socket.IO expect Engine.IO.
const ENGINEIO_PATH: &str = "/socket.io/";
/// The path at which servers of Socket.IO serve the JavaScript client.
const CLIENT_PATH: &str = "/socket.io/socket.io.js";

/// Handles the request at the front of `input`, which `connection` received.
pub fn take(
    input: &[u8],
    connection: Connection<'_>,
    shared: &GateShared,
    sessions: &mut Sessions,
    reply: &mut Reply<'_>,
) -> Step {
    let seen_bytes = connection.seen_bytes;
    if seen_bytes > 0 && input.len() < HEAD_BYTES_MAX && !ends_head(input, seen_bytes) {
        return Step::Incomplete;
    }
    let mut request = Request { input, connection, shared, sessions, reply };
    match RequestHead::parse(&input[..input.len().min(HEAD_BYTES_MAX)]) {
        Ok(Some(head)) => {
            let start = request.reply.out.len();
            let step = request.route(&head).unwrap_or_else(|step| step);
            if head.method == "HEAD" && matches!(step, Step::Answered) {
                answers::cut_body(request.reply.out, start);
            }
            step
        }
        Ok(None) if input.len() < HEAD_BYTES_MAX => Step::Incomplete,
        Ok(None) | Err(HeadError::TooManyHeaders) => {
            request.answer(Outcome::HeadTooLarge, |out| answers::head_too_large(out, "the head is too large"))
        }
        Err(HeadError::Malformed(what)) => request.answer(Outcome::Malformed, |out| answers::bad_request(out, what)),
    }
}

/// Whether a head ends in the bytes after the first `seen_bytes`. Without this check a head that arrives byte by byte
/// would be parsed once per byte, at a cost that grows with the square of its length.
fn ends_head(input: &[u8], seen_bytes: usize) -> bool {
    let from = seen_bytes.saturating_sub(3).min(input.len());
    let unseen = &input[from..];
    unseen.windows(2).any(|two| two == b"\n\n") || unseen.windows(3).any(|three| three == b"\n\r\n")
}

/// `Err` is a result too, one that ends the route early.
type Routed = Result<Step, Step>;

impl Request<'_, '_> {
    fn route(&mut self, head: &RequestHead<'_>) -> Routed {
        match head.path() {
            WEBSOCKET_PATH => self.websocket(head),
            ENGINEIO_PATH => self.engineio(head, true),
            ENGINEIO_ECHO_PATH if self.sessions.host.settings.app == App::Conformance => self.engineio(head, false),
            path => Ok(self.page(head, path)),
        }
    }

    /// A raw WebSocket: the verdict decides between the 101 and the 401.
    fn websocket(&mut self, head: &RequestHead<'_>) -> Routed {
        let upgrade = UpgradeRequest::from_head(head).map_err(|error| self.refuse_upgrade(error))?;
        let verdict = self.verdict(head)?.unwrap_or_else(|| self.sessions.host.verdict_without_credentials());
        let user = verdict.map_err(|refusal| self.refuse(refusal))?;
        self.switch_protocols(head, &upgrade);
        self.sessions.host.metrics.handshake(Outcome::Established);
        let session = WebSocket::open(user, &mut self.sessions.host, self.reply);
        Ok(Step::Opened(head.bytes, Session::WebSocket(session)))
    }

    /// Engine.IO: the session is opened first, the verdict follows in a packet of Socket.IO. Without Socket.IO there is no
    /// such packet, and a refusal is answered with 403. The checks and their order are those of the reference
    /// implementation.
    fn engineio(&mut self, head: &RequestHead<'_>, has_socketio: bool) -> Routed {
        if head.method == "OPTIONS" && polling::is_well_formed(head) {
            return Ok(polling::preflight(self, head));
        }
        let [transport, sid, eio, b64] = head.query_values(["transport", "sid", "EIO", "b64"]);
        let polls = match transport {
            Some("websocket") => false,
            Some("polling") if polling::is_well_formed(head) => true,
            Some("polling") => return Err(self.engineio_error(head, HttpError::BadRequest)),
            _ => return Err(self.engineio_error(head, HttpError::UnknownTransport)),
        };
        if let Some(sid) = sid {
            return Ok(polling::request_to_session(self, head, sid, polls));
        }
        if head.method != "GET" {
            return Err(self.engineio_error(head, HttpError::BadHandshakeMethod));
        }
        let version = eio.and_then(Version::from_query);
        let version = version.ok_or_else(|| self.engineio_error(head, HttpError::UnsupportedProtocolVersion))?;
        let upgrade = match UpgradeRequest::from_head(head) {
            _ if polls => None,
            Ok(upgrade) => Some(upgrade),
            // The answer names the version that the gate speaks (RFC 6455 section 4.4).
            Err(UpgradeError::BadVersion) => return Err(self.refuse_upgrade(UpgradeError::BadVersion)),
            Err(_) => return Err(self.engineio_error(head, HttpError::BadRequest)),
        };
        let form = match b64 {
            None | Some("" | "0" | "false") => Form::Binary,
            _ => Form::Text,
        };
        let verdict = self.verdict(head)?;
        if verdict == Some(Err(Refusal::TooLong)) {
            return Err(self.refuse(Refusal::TooLong));
        }
        let opening = if has_socketio {
            Opening::SocketIo(verdict)
        } else {
            let verdict = verdict.unwrap_or_else(|| self.sessions.host.verdict_without_credentials());
            Opening::Messages(verdict.map_err(|refusal| self.forbid(head, refusal))?)
        };
        let Some(upgrade) = upgrade else {
            return Ok(polling::open(self, head, version, form, opening));
        };
        self.switch_protocols(head, &upgrade);
        let by_ns = self.connection.connect_by_ns;
        let session = EngineIo::open(version, opening, by_ns, &mut self.sessions.host, self.reply).reading(form);
        Ok(Step::Opened(head.bytes, Session::EngineIo(Box::new(session))))
    }

    /// The verdict on the request's credentials; `None` without credentials. `Err`: the session must be looked up first.
    fn verdict(&mut self, head: &RequestHead<'_>) -> Result<Verdict, Step> {
        let origins = &self.shared.origins;
        if self.sessions.host.settings.auth != Auth::Session {
            let token = carrier::token(head, origins);
            return Ok(token.map(|token| self.sessions.host.admit(token.as_bytes())));
        }
        match (carrier::session(head, origins), self.connection.owner) {
            (None, _) => Ok(None),
            (Some(Err(refusal)), _) => Ok(Some(Err(refusal))),
            (Some(Ok(_)), Some(SessionOwner(user))) => Ok(Some(self.sessions.host.admit_session_owner(user))),
            (Some(Ok(session)), None) => Err(Step::NeedsLookup(session.into_owned())),
        }
    }

    /// Ordinary HTTP requests.
    fn page(&mut self, head: &RequestHead<'_>, path: &str) -> Step {
        if !head.has_one_host() {
            return self.refuse_upgrade(UpgradeError::NoHost);
        }
        if !["GET", "HEAD"].contains(&head.method) {
            return self.answer(Outcome::Answered, |out| answers::bad_method(out, "GET, HEAD"));
        }
        let shared = self.shared;
        if shared.has_parent && path == "/metrics" {
            return Step::Forward(PARENT);
        }
        self.answer(Outcome::Answered, |out| match (path, &shared.socketio_client) {
            ("/healthz", _) => answers::ok(out, "text/plain; charset=utf-8", b"ok"),
            ("/metrics", _) => answers::metrics(out, &shared.metrics.render()),
            (CLIENT_PATH, Some(client)) => answers::ok(out, "text/javascript; charset=utf-8", client),
            _ => answers::not_found(out),
        })
    }

    fn refuse(&mut self, refusal: Refusal) -> Step {
        let shared = self.shared;
        self.answer(Outcome::Refused(refusal), |out| shared.answers.refuse(out, refusal))
    }

    fn refuse_upgrade(&mut self, error: UpgradeError) -> Step {
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
        let origin = self.shared.allowed_origin(head).map(|(_, origin)| origin);
        self.answer(Outcome::Refused(refusal), |out| answers::engineio(out, HttpError::Forbidden, origin))
    }
}

#[cfg(test)]
mod tests;
