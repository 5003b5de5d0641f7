//! The HTTP answers of the gate. Each closes its connection, but for those of long-polling, which are in
//! [`polling`](crate::gate::polling): the gate keeps only sockets open.

use wire::{engineio::HttpError, http::write_response};

use crate::verify::Refusal;

/// The realm of the gate's challenges (RFC 6750 section 3).
const REALM: &str = "gatekeeper";
const TEXT: (&str, &str) = ("Content-Type", "text/plain; charset=utf-8");

/// The answers that take the most hits, written once: a flood of invalid tokens costs no formatting.
#[derive(Debug)]
pub struct Answers {
    /// By the place of the reason in [`Refusal::ALL`].
    refusals: Vec<(Refusal, Vec<u8>)>,
}

impl Answers {
    /// Writes the answers.
    pub fn prepare() -> Self {
        let prepare = |&refusal| (refusal, refusal_answer(refusal));
        Self { refusals: Refusal::ALL.iter().map(prepare).collect() }
    }

    /// Refuses a token on a raw WebSocket: 401 with a challenge and the reason, or 431 for one above the limit.
    pub fn refuse(&self, out: &mut Vec<u8>, refusal: Refusal) {
        let prepared = self.refusals.iter().find(|(each, _)| *each == refusal);
        if let Some((_, answer)) = prepared {
            out.extend_from_slice(answer);
        }
    }
}

fn refusal_answer(refusal: Refusal) -> Vec<u8> {
    let mut out = Vec::new();
    if refusal == Refusal::TooLong {
        head_too_large(&mut out, refusal.as_str());
        return out;
    }
    // RFC 6750 section 3.1: a request without a token gets no error code.
    let challenge = match refusal {
        Refusal::Missing => format!("Bearer realm=\"{REALM}\""),
        _ => format!("Bearer realm=\"{REALM}\", error=\"invalid_token\", error_description=\"{}\"", refusal.as_str()),
    };
    let headers = [("WWW-Authenticate", challenge.as_str()), TEXT];
    write_response(&mut out, 401, "Unauthorized", &headers, refusal.as_str().as_bytes(), false);
    out
}

/// 431: the head, or the token in it, is above its limit.
pub fn head_too_large(out: &mut Vec<u8>, what: &str) {
    let reason = "Request Header Fields Too Large";
    write_response(out, 431, reason, &[TEXT], what.as_bytes(), false);
}

/// 503: as many connections as allowed are open.
pub fn full(out: &mut Vec<u8>) {
    let headers = [("Retry-After", "1"), TEXT];
    write_response(out, 503, "Service Unavailable", &headers, b"full", false);
}

/// 503: the session cannot be looked up now.
pub fn unanswered(out: &mut Vec<u8>) {
    let headers = [("Retry-After", "1"), TEXT];
    let body = b"sessions cannot be looked up";
    write_response(out, 503, "Service Unavailable", &headers, body, false);
}

/// 408: the request took longer than a handshake may.
pub fn too_slow(out: &mut Vec<u8>) {
    write_response(out, 408, "Request Timeout", &[TEXT], b"too slow", false);
}

/// 400: `what` is wrong with the request.
pub fn bad_request(out: &mut Vec<u8>, what: &str) {
    write_response(out, 400, "Bad Request", &[TEXT], what.as_bytes(), false);
}

/// 404: there is nothing here.
pub fn not_found(out: &mut Vec<u8>) {
    write_response(out, 404, "Not Found", &[TEXT], b"not found", false);
}

/// 405: only the methods `allowed`, GET among them, are known here.
pub fn bad_method(out: &mut Vec<u8>, allowed: &str) {
    let headers = [("Allow", allowed), TEXT];
    write_response(out, 405, "Method Not Allowed", &headers, b"use GET", false);
}

/// 426: this path speaks WebSocket, version 13 (RFC 6455 section 4.2.2).
pub fn upgrade_required(out: &mut Vec<u8>) {
    let headers = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), TEXT];
    let body = b"this is a WebSocket";
    write_response(out, 426, "Upgrade Required", &headers, body, false);
}

/// 411: a body has a length, or comes in chunks.
pub fn length_required(out: &mut Vec<u8>) {
    write_response(out, 411, "Length Required", &[TEXT], b"no length", false);
}

/// 417: the gate meets no expectation but that of a 100 (RFC 9110 section 10.1.1).
pub fn expectation_failed(out: &mut Vec<u8>) {
    let body = b"expect nothing but 100-continue";
    write_response(out, 417, "Expectation Failed", &[TEXT], body, false);
}

/// 501: a body is coded in a way that the gate does not read (RFC 9112 section 6.1).
pub fn unknown_coding(out: &mut Vec<u8>) {
    let body = b"the one transfer coding is chunked";
    write_response(out, 501, "Not Implemented", &[TEXT], body, false);
}

/// 413: the body is longer than a message may be.
pub fn body_too_large(out: &mut Vec<u8>) {
    let body = b"the body is too large";
    write_response(out, 413, "Content Too Large", &[TEXT], body, false);
}

/// Engine.IO's own errors, which carry a code and a message as JSON; `origin` is that of a page which may read them.
pub fn engineio(out: &mut Vec<u8>, error: HttpError, origin: Option<&str>) {
    let reason = match error.status() {
        403 => "Forbidden",
        _ => "Bad Request",
    };
    let mut headers = cors(origin);
    headers.push(("Content-Type", "application/json"));
    let body = error.body().as_bytes();
    write_response(out, error.status(), reason, &headers, body, false);
}

/// The headers that let a page of `origin` read an answer (Fetch, "CORS protocol"); none where there is no such page.
pub fn cors(origin: Option<&str>) -> Vec<(&str, &str)> {
    let Some(origin) = origin else {
        return Vec::new();
    };
    vec![("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true"), ("Vary", "Origin")]
}

/// 200 with a body.
pub fn ok(out: &mut Vec<u8>, content_type: &str, body: &[u8]) {
    let headers =
        [("Content-Type", content_type), ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-cache")];
    write_response(out, 200, "OK", &headers, body, false);
}

/// 200 with a page of metrics, in Prometheus' text format.
pub fn metrics(out: &mut Vec<u8>, page: &str) {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ok(out, content_type, page.as_bytes());
}

/// Takes the body off the answer that was appended from `start` on: what HEAD gets (RFC 9110 section 9.3.2).
pub fn cut_body(out: &mut Vec<u8>, start: usize) {
    let head_end = out[start..].windows(4).position(|four| four == b"\r\n\r\n");
    if let Some(head_bytes) = head_end {
        out.truncate(start + head_bytes + 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::http::ResponseHead;

    fn check(write: impl FnOnce(&mut Vec<u8>), status: u16, header: (&str, Option<&str>), body: &str) {
        let mut out = Vec::new();
        write(&mut out);
        let head = ResponseHead::parse(&out).unwrap().unwrap();
        assert_eq!(head.status, status);
        assert_eq!(head.header(header.0), header.1, "{status}");
        assert_eq!(head.header("connection"), Some("close"), "{status}");
        assert_eq!(&out[head.bytes..], body.as_bytes(), "{status}");
    }

    #[test]
    fn refusals_challenge() {
        let answers = Answers::prepare();
        let expired = "Bearer realm=\"gatekeeper\", error=\"invalid_token\", \
             error_description=\"expired\"";
        for (refusal, status, challenge, body) in [
            (Refusal::Expired, 401, Some(expired), "expired"),
            (Refusal::Missing, 401, Some("Bearer realm=\"gatekeeper\""), "missing"),
            (Refusal::TooLong, 431, None, "too_long"),
        ] {
            let challenge = ("www-authenticate", challenge);
            check(|out| answers.refuse(out, refusal), status, challenge, body);
        }
    }

    #[test]
    fn answers_have_their_headers() {
        check(full, 503, ("retry-after", Some("1")), "full");
        let body = "sessions cannot be looked up";
        check(unanswered, 503, ("retry-after", Some("1")), body);
        check(upgrade_required, 426, ("sec-websocket-version", Some("13")), "this is a WebSocket");
        let unknown = r#"{"code":0,"message":"Transport unknown"}"#;
        let json = ("content-type", Some("application/json"));
        check(|out| engineio(out, HttpError::UnknownTransport, None), 400, json, unknown);
        let head = |out: &mut Vec<u8>| {
            ok(out, "text/plain", b"ok");
            cut_body(out, 0);
        };
        check(head, 200, ("content-length", Some("2")), "");
    }
}
