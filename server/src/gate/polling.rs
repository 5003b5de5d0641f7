//! Engine.IO's long-polling over HTTP: requests to a session, and the answers to its polls.
//!
//! | request | answer |
//! |---|---|
//! | GET without `sid` | 200, a payload with the open packet: a new session |
//! | GET with `sid` | 200, a payload, as soon as the session has packets |
//! | POST with `sid` | 200 `ok`; the payload is accepted |
//! | a WebSocket with `sid` | 101, then `2probe`, `3probe`, `5`: the session is upgraded to the WebSocket |
//! | OPTIONS | 204 with the methods and headers that pages of another origin may use |
//!
//! An invalid request is answered with 400 and `{"code":n,"message":...}`; a body without a length with 411, a body above
//! `maxPayload` with 413, an expectation other than `100-continue` with 417, a transfer coding other than `chunked` with
//! 501. With `j` in the query, requests and answers use [`jsonp`]. A second poll, or a second POST, before the first is
//! answered ends the session, and so does a packet that breaks the protocol. Pages of the gate's origins may read the
//! answers.

use wire::engineio::{Form, HttpError, Version, encode_payload};
use wire::frame::write_close;
use wire::http::{ChunkError, RequestHead, UpgradeRequest, write_response};

use crate::gate::body::{Length, LengthError, Posting};
use crate::gate::request::{Request, Step};
use crate::gate::shared::GateShared;
use crate::gate::{answers, body, jsonp};
use crate::metrics::{End, Limit, Outcome};
use crate::session::close_code;
use crate::session::engine::Opening;
use crate::session::engineio::Probe;
use crate::session::polling::{Found, Key, Packets, Polled, WaitingPoll};

/// The headers that pages of other origins may send.
const ALLOW_HEADERS: &str = "Authorization, Content-Type";
/// The only expectation of clients that the gate meets, and its answer (RFC 9110 section 10.1.1).
const CONTINUE: &str = "100-continue";
const CONTINUES: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// How long a browser may cache the preflight's answer, in seconds.
const PREFLIGHT_MAX_AGE_S: &str = "600";

/// Whether the request has one Host, a valid `j`, and a body only in a POST: a GET with a body is an attempt to smuggle a
/// request.
pub(super) fn is_well_formed(head: &RequestHead<'_>) -> bool {
    let has_no_body = || matches!(body::length(head), Ok(Length::Unstated | Length::Bytes(0)));
    head.has_one_host() && jsonp::function(head).is_ok() && (head.method == "POST" || has_no_body())
}

/// Opens a session.
pub(super) fn open(
    request: &mut Request<'_, '_>,
    head: &RequestHead<'_>,
    version: Version,
    form: Form,
    opening: Opening,
) -> Step {
    let sessions = &mut *request.sessions;
    if sessions.polls.is_full() {
        if let Opening::SocketIo(Some(Ok(user))) | Opening::Messages(user) = opening {
            sessions.host.users.release(user.user);
        }
        return request.answer(Outcome::Full(Limit::Sessions), answers::full);
    }
    sessions.host.metrics.polling_sessions.add(1);
    let by_ns = request.connection.connect_by_ns;
    let packets = sessions.open(version, opening, form, by_ns, request.reply.now_ns);
    write_packets(request.reply.out, &packets, &waiting(request, head), request.shared);
    served(request, head, head.bytes)
}

/// A request to the session `sid`: a poll or a POST (`polls`), or a WebSocket.
pub(super) fn request_to_session(
    request: &mut Request<'_, '_>,
    head: &RequestHead<'_>,
    sid: &str,
    polls: bool,
) -> Step {
    let upgrade = UpgradeRequest::from_head(head);
    match (request.sessions.polls.find(sid), upgrade) {
        (Found::OtherShard(shard), _) if usize::from(shard) < request.shared.shards => Step::Forward(shard),
        (Found::OtherShard(_) | Found::Unknown, _) => request.engineio_error(head, HttpError::UnknownSid),
        (Found::Polling(key), _) if polls => match head.method {
            "GET" => get(request, head, key),
            "POST" => post(request, head, key),
            _ => request.engineio_error(head, HttpError::BadRequest),
        },
        (Found::Polling(key), Ok(upgrade)) => {
            let number = request.connection.number;
            request.switch_protocols(head, &upgrade);
            if !request.sessions.polls.probe(key, number) {
                return close_second_websocket(request);
            }
            Step::Probing(head.bytes, Box::new(Probe::new(key, number, &request.sessions.host)))
        }
        (Found::Upgraded, Ok(upgrade)) if !polls => {
            request.switch_protocols(head, &upgrade);
            close_second_websocket(request)
        }
        _ => request.engineio_error(head, HttpError::BadRequest),
    }
}

/// Answers whether a page of the request's origin may use the gate (Fetch, "CORS-preflight fetch").
pub(super) fn preflight(request: &mut Request<'_, '_>, head: &RequestHead<'_>) -> Step {
    let origin = request.shared.allowed_origin(head).map(|(_, origin)| origin);
    let mut headers = answers::cors(origin);
    if origin.is_some() {
        headers.extend([
            ("Access-Control-Allow-Methods", "GET, POST"),
            ("Access-Control-Allow-Headers", ALLOW_HEADERS),
            ("Access-Control-Max-Age", PREFLIGHT_MAX_AGE_S),
        ]);
    }
    write_response(request.reply.out, 204, "No Content", &headers, b"", head.keeps_alive());
    served(request, head, head.bytes)
}

/// Writes the answer to a poll.
pub(super) fn write_packets(out: &mut Vec<u8>, packets: &Packets, to: &WaitingPoll, shared: &GateShared) {
    let mut body = Vec::new();
    let allowed = match to.jsonp {
        Some(_) => Form::Text,
        None => packets.form,
    };
    let form = encode_payload(packets.version, &packets.items, allowed, &mut body);
    let content_type = match (form, to.jsonp) {
        (_, Some(j)) => {
            body = jsonp::script(j, &body);
            "text/javascript; charset=UTF-8"
        }
        (Form::Text, None) => "text/plain; charset=UTF-8",
        (Form::Binary, None) => "application/octet-stream",
    };
    write_ok(out, content_type, &body, to, shared);
}

fn get(request: &mut Request<'_, '_>, head: &RequestHead<'_>, key: Key) -> Step {
    let waiting = waiting(request, head);
    match request.sessions.polls.poll(key, waiting, request.reply.now_ns) {
        Some(Polled::Waits) => {
            request.sessions.end_if_draining(key);
            Step::PollWaits(head.bytes, key)
        }
        Some(Polled::Packets(packets)) => {
            write_packets(request.reply.out, &packets, &waiting, request.shared);
            served(request, head, head.bytes)
        }
        Some(Polled::Overlap) => {
            request.sessions.end(key, End::Protocol);
            request.engineio_error(head, HttpError::BadRequest)
        }
        None => request.engineio_error(head, HttpError::UnknownSid),
    }
}

fn post(request: &mut Request<'_, '_>, head: &RequestHead<'_>, key: Key) -> Step {
    let body_bytes_max = request.sessions.host.settings.message_bytes_max;
    let length = match body::length(head) {
        Ok(Length::Unstated) => return request.answer(Outcome::Answered, answers::length_required),
        Ok(Length::Bytes(bytes)) if bytes > body_bytes_max.into() => {
            return request.answer(Outcome::Answered, answers::body_too_large);
        }
        Ok(length) => length,
        Err(LengthError::Bad) => return request.engineio_error(head, HttpError::BadRequest),
        Err(LengthError::UnknownCoding) => return request.answer(Outcome::Answered, answers::unknown_coding),
    };
    let expects = head.header("expect");
    if expects.is_some_and(|expected| !expected.eq_ignore_ascii_case(CONTINUE)) {
        return request.answer(Outcome::Answered, answers::expectation_failed);
    }
    if !request.sessions.begin_post(key, request.connection.number) {
        return request.engineio_error(head, HttpError::BadRequest);
    }
    let mut posting = Posting::new(key, head.bytes, length, body_bytes_max);
    match posting.body(request.input) {
        Ok(Some((body, used))) => posted(request, head, key, &body, used),
        Ok(None) => {
            // A client that has begun to send the body does not wait for a 100.
            if expects.is_some() && request.input.len() == head.bytes {
                request.reply.out.extend_from_slice(CONTINUES);
            }
            Step::Posting(Box::new(posting))
        }
        Err(ChunkError::TooLong) => {
            request.sessions.polls.abandon_post(key);
            request.answer(Outcome::Answered, answers::body_too_large)
        }
        Err(ChunkError::Malformed(_)) => {
            request.sessions.end(key, End::Protocol);
            request.engineio_error(head, HttpError::BadRequest)
        }
    }
}

/// Handles a complete POST, which takes the first `used` bytes of the input.
fn posted(request: &mut Request<'_, '_>, head: &RequestHead<'_>, key: Key, body: &[u8], used: usize) -> Step {
    let waiting = waiting(request, head);
    let form = match head.header("content-type") {
        Some(kind) if kind.starts_with("application/octet-stream") => Form::Binary,
        _ => Form::Text,
    };
    let now_ns = request.reply.now_ns;
    let is_accepted = match waiting.jsonp {
        None => request.sessions.post(key, form, body, now_ns),
        Some(_) => {
            // A form without a payload counts as an empty payload, which is invalid.
            let payload = jsonp::payload(body).unwrap_or_default();
            request.sessions.post(key, Form::Text, payload.as_bytes(), now_ns)
        }
    };
    if !is_accepted {
        return request.engineio_error(head, HttpError::BadRequest);
    }
    // The content type and the body of the reference implementation, which clients may check.
    write_ok(request.reply.out, "text/html", b"ok", &waiting, request.shared);
    served(request, head, used)
}

/// Opens a WebSocket for a session that has one already, as the client expects, and closes it.
fn close_second_websocket(request: &mut Request<'_, '_>) -> Step {
    request.answer(Outcome::Answered, |out| {
        write_close(out, close_code::NORMAL, "the session has a WebSocket", None);
    })
}

fn served(request: &mut Request<'_, '_>, head: &RequestHead<'_>, used: usize) -> Step {
    if head.keeps_alive() { Step::Served(used) } else { request.answer(Outcome::Polled, |_| {}) }
}

fn waiting(request: &Request<'_, '_>, head: &RequestHead<'_>) -> WaitingPoll {
    WaitingPoll {
        connection: request.connection.number,
        keep_alive: head.keeps_alive(),
        origin: request.shared.allowed_origin(head).map(|(index, _)| index),
        // `is_well_formed` has refused an invalid `j`.
        jsonp: jsonp::function(head).unwrap_or_default(),
    }
}

fn write_ok(out: &mut Vec<u8>, content_type: &str, body: &[u8], to: &WaitingPoll, shared: &GateShared) {
    let origin = to.origin.and_then(|index| shared.origins.get(usize::from(index)));
    let mut headers = answers::cors(origin.map(String::as_str));
    let no_store = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")];
    headers.extend([("Content-Type", content_type)].into_iter().chain(no_store));
    write_response(out, 200, "OK", &headers, body, to.keep_alive);
}
