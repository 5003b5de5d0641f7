//! One request at the gate: from the bytes of its head to a session or to an answer.

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
use crate::session::websocket::WebSocket;
use crate::session::{Auth, AuthenticatedUser, Reply, Session, Sessions};
use crate::verify::Refusal;

pub use crate::gate::body::Posting;
pub use crate::gate::request::{Connection, SessionOwner, Step};

/// The most bytes of a request's head: the longest token that is verified, and as much again for the rest.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Where the raw WebSocket is.
pub const WEBSOCKET_PATH: &str = "/ws";
/// Where Engine.IO is, as its clients expect it.
pub const ENGINEIO_PATH: &str = "/socket.io/";
/// Where Socket.IO's servers serve their client.
pub const CLIENT_PATH: &str = "/socket.io/socket.io.js";

/// Takes the request at the front of the `input` of `connection`.
pub fn take(
    input: &[u8],
    connection: Connection<'_>,
    shared: &GateShared,
    sessions: &mut Sessions,
    reply: &mut Reply<'_>,
) -> Step {
    let seen_bytes = connection.seen_bytes;
    if seen_bytes > 0 && input.len() < HEAD_BYTES_MAX && !ends_head(input, seen_bytes) {
        return Step::More;
    }
    let mut request = Request { input, connection, shared, sessions, reply };
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

impl Request<'_, '_> {
    fn route(&mut self, head: &RequestHead<'_>) -> Step {
        match head.path() {
            WEBSOCKET_PATH => self.websocket(head),
            ENGINEIO_PATH => self.engineio(head, true),
            ENGINEIO_ECHO_PATH if self.sessions.host.settings.app == App::Conformance => self.engineio(head, false),
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
            Err(step) => return step,
        };
        match verdict.unwrap_or_else(|| self.sessions.host.verdict_without_credentials()) {
            Ok(user) => {
                self.switch_protocols(head, &upgrade);
                self.sessions.host.metrics.handshake(Outcome::Established);
                let session = WebSocket::open(user, &mut self.sessions.host, self.reply);
                Step::Opened { used: head.bytes, session: Session::WebSocket(session) }
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Engine.IO: the session is opened first, the verdict follows in a packet of Socket.IO. The checks and their order
    /// are those of the reference implementation. Without Socket.IO there is no such packet: 403.
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
            // The answer names the version that the gate speaks (RFC 6455 section 4.4).
            Err(UpgradeError::BadVersion) => return self.no_upgrade(UpgradeError::BadVersion),
            Err(_) => return self.engineio_error(head, HttpError::BadRequest),
        };
        let form = match b64 {
            None | Some("" | "0" | "false") => Form::Binary,
            _ => Form::Text,
        };
        let verdict = match self.verdict(head) {
            Ok(verdict) => verdict,
            Err(step) => return step,
        };
        if verdict == Some(Err(Refusal::TooLong)) {
            return self.refuse(Refusal::TooLong);
        }
        let opening = if has_socketio {
            Opening::SocketIo(verdict)
        } else {
            match verdict.unwrap_or_else(|| self.sessions.host.verdict_without_credentials()) {
                Ok(user) => Opening::Messages(user),
                Err(refusal) => return self.forbid(head, refusal),
            }
        };
        let Some(upgrade) = upgrade else {
            return polling::open(self, head, version, form, opening);
        };
        self.switch_protocols(head, &upgrade);
        let by_ns = self.connection.connect_by_ns;
        let session = EngineIo::open(version, opening, by_ns, &mut self.sessions.host, self.reply).reading(form);
        Step::Opened { used: head.bytes, session: Session::EngineIo(Box::new(session)) }
    }

    /// The verdict on the request's credentials, `None` where it has none. `Err`: the frontend must be asked
    /// first.
    fn verdict(&mut self, head: &RequestHead<'_>) -> Result<Option<Result<AuthenticatedUser, Refusal>>, Step> {
        if self.sessions.host.settings.auth == Auth::Session {
            return self.verdict_on_session(head);
        }
        let token = carrier::token(head, &self.shared.origins);
        Ok(token.map(|token| self.sessions.host.admit(token.as_bytes())))
    }

    fn verdict_on_session(
        &mut self,
        head: &RequestHead<'_>,
    ) -> Result<Option<Result<AuthenticatedUser, Refusal>>, Step> {
        let session = match carrier::session(head, &self.shared.origins) {
            None => return Ok(None),
            Some(Err(refusal)) => return Ok(Some(Err(refusal))),
            Some(Ok(session)) => session,
        };
        match self.connection.owner {
            Some(SessionOwner(user)) => Ok(Some(self.sessions.host.admit_session_owner(user))),
            None => Err(Step::NeedsLookup { session: session.into_owned() }),
        }
    }

    /// Ordinary HTTP requests.
    fn page(&mut self, head: &RequestHead<'_>, path: &str) -> Step {
        if !head.has_one_host() {
            return self.no_upgrade(UpgradeError::NoHost);
        }
        let shared = self.shared;
        // Any other method is refused here, as by a gate of one process.
        let is_read = ["GET", "HEAD"].contains(&head.method);
        if shared.has_parent && path == "/metrics" && is_read {
            return Step::Forward { shard: PARENT };
        }
        let write = |out: &mut Vec<u8>| match (path, &shared.socketio_client) {
            ("/healthz", _) => answers::ok(out, "text/plain; charset=utf-8", b"ok"),
            ("/metrics", _) => {
                answers::metrics(out, &shared.metrics.render());
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

    fn refuse(&mut self, refusal: Refusal) -> Step {
        let shared = self.shared;
        self.answer(Outcome::Refused(refusal), |out| shared.answers.refuse(out, refusal))
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
        let origin = self.shared.allowed_origin(head).map(|(_, origin)| origin);
        self.answer(Outcome::Refused(refusal), |out| {
            answers::engineio(out, HttpError::Forbidden, origin);
        })
    }
}

#[cfg(test)]
mod tests;
