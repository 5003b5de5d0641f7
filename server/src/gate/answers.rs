//! The HTTP answers of the gate after which it closes the connection. Those of long-polling, which keep the connection
//! open, are in [`polling`](crate::gate::polling).

use wire::{engineio::HttpError, http::write_response};

use crate::verify::Refusal;

/// The realm of the gate's challenges (RFC 6750 section 3).
const REALM: &str = "gatekeeper";
const TEXT: (&str, &str) = ("Content-Type", "text/plain; charset=utf-8");

/// The refusals of a token, formatted once, so that a flood of invalid tokens needs no formatting.
#[derive(Debug)]
pub struct Answers(Vec<(Refusal, Vec<u8>)>);

impl Answers {
    /// Formats the answer for every reason.
    pub fn prepare() -> Self {
        Self(Refusal::ALL.iter().map(|&refusal| (refusal, refusal_answer(refusal))).collect())
    }

    /// Refuses a token on a raw WebSocket: 401 with a challenge and the reason, or 431 for a token above the limit.
    pub fn refuse(&self, out: &mut Vec<u8>, refusal: Refusal) {
        if let Some((_, answer)) = self.0.iter().find(|(each, _)| *each == refusal) {
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

/// Defines functions that write a constant answer: status, reason phrase, headers, body.
macro_rules! constant_answers {
    ($($(#[$doc:meta])+ $name:ident: $status:literal $reason:literal [$($header:expr),*] $body:literal;)*) => {$(
        $(#[$doc])+
        pub fn $name(out: &mut Vec<u8>) {
            write_response(out, $status, $reason, &[$($header,)* TEXT], $body, false);
        }
    )*};
}

constant_answers! {
    /// A connection limit is reached.
    full: 503 "Service Unavailable" [("Retry-After", "1")] b"full";
    /// The frontend gave no answer about the session.
    lookup_failed: 503 "Service Unavailable" [("Retry-After", "1")] b"sessions cannot be looked up";
    /// The request took longer than a handshake may.
    request_timeout: 408 "Request Timeout" [] b"too slow";
    /// No page has this path.
    not_found: 404 "Not Found" [] b"not found";
    /// This path speaks WebSocket, version 13 (RFC 6455 section 4.2.2).
    upgrade_required: 426 "Upgrade Required" [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
        b"this is a WebSocket";
    /// A POST must state the length of its body, or send the body in chunks.
    length_required: 411 "Length Required" [] b"no length";
    /// The only expectation that the gate meets is `100-continue` (RFC 9110 section 10.1.1).
    expectation_failed: 417 "Expectation Failed" [] b"expect nothing but 100-continue";
    /// The gate does not read the body's transfer coding (RFC 9112 section 6.1).
    unknown_coding: 501 "Not Implemented" [] b"the one transfer coding is chunked";
    /// The body is longer than a message may be.
    body_too_large: 413 "Content Too Large" [] b"the body is too large";
}

/// 431: the head, or the token in it, is above its limit.
pub fn head_too_large(out: &mut Vec<u8>, what: &str) {
    write_response(out, 431, "Request Header Fields Too Large", &[TEXT], what.as_bytes(), false);
}

/// 400: `what` is wrong with the request.
pub fn bad_request(out: &mut Vec<u8>, what: &str) {
    write_response(out, 400, "Bad Request", &[TEXT], what.as_bytes(), false);
}

/// 405: this path knows only the methods `allowed`, GET among them.
pub fn bad_method(out: &mut Vec<u8>, allowed: &str) {
    write_response(out, 405, "Method Not Allowed", &[("Allow", allowed), TEXT], b"use GET", false);
}

/// Engine.IO's errors, a code and a message as JSON. A page of `origin` may read them.
pub fn engineio(out: &mut Vec<u8>, error: HttpError, origin: Option<&str>) {
    let reason = match error.status() {
        403 => "Forbidden",
        _ => "Bad Request",
    };
    let mut headers = cors(origin);
    headers.push(("Content-Type", "application/json"));
    write_response(out, error.status(), reason, &headers, error.body().as_bytes(), false);
}

/// The headers that let a page of `origin` read an answer (Fetch, "CORS protocol"); none without an origin.
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
    ok(out, "text/plain; version=0.0.4; charset=utf-8", page.as_bytes());
}

/// Removes the body of the answer that begins at `start`, for the method HEAD (RFC 9110 section 9.3.2).
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
    fn refusals_have_a_challenge_with_the_reason() {
        let answers = Answers::prepare();
        let expired = "Bearer realm=\"gatekeeper\", error=\"invalid_token\", error_description=\"expired\"";
        for (refusal, status, challenge, body) in [
            (Refusal::Expired, 401, Some(expired), "expired"),
            (Refusal::Missing, 401, Some("Bearer realm=\"gatekeeper\""), "missing"),
            (Refusal::TooLong, 431, None, "too_long"),
        ] {
            check(|out| answers.refuse(out, refusal), status, ("www-authenticate", challenge), body);
        }
    }

    #[test]
    fn answers_have_their_headers() {
        check(full, 503, ("retry-after", Some("1")), "full");
        check(lookup_failed, 503, ("retry-after", Some("1")), "sessions cannot be looked up");
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
