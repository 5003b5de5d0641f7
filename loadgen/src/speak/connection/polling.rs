//! The answers of Engine.IO's polling transport: HTTP responses with payloads in them.

use std::borrow::Cow;

use wire::engineio::{Form, HttpError};
use wire::http::ResponseHead;

use crate::ground::outcome::FailureKind;
use crate::speak::connection::refusal;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollAnswer<'b> {
    /// Bytes of the input that it took.
    pub used: usize,
    /// Whether the connection can be used again.
    pub keep_alive: bool,
    /// What it contains.
    pub content: PollContent<'b>,
}

/// What an answer contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollContent<'b> {
    /// Nothing yet: an interim answer (RFC 9110 section 15.2).
    Interim,
    /// A body with packets in this form, or with `ok`.
    Body(Form, Cow<'b, [u8]>),
    /// The token is refused.
    Refused,
    /// The session cannot go on.
    Failed(FailureKind),
}

/// Parses the answer at the front of `input`; of a refusal or a failure it writes the server's words into `reason`. `Ok(None)`: more
/// bytes are needed.
pub fn parse_poll_answer<'b>(reason: &mut String, input: &'b [u8]) -> Result<Option<PollAnswer<'b>>, FailureKind> {
    let head = match ResponseHead::parse(input) {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(None),
        Err(error) => return Err(broken(reason, &error)),
    };
    let rest = &input[head.bytes..];
    if matches!(head.status, 100..=199) {
        return Ok(Some(PollAnswer { used: head.bytes, keep_alive: true, content: PollContent::Interim }));
    }
    let body = match head.body(rest) {
        Ok(Some(body)) => body,
        Ok(None) => return Ok(None),
        // A proxy may refuse with a status alone.
        Err(_) if head.status != 200 => wire::http::Body { bytes: rest.len(), content: Cow::Borrowed(rest) },
        Err(error) => return Err(broken(reason, &error)),
    };
    let content = match head.status {
        200 => PollContent::Body(form(&head), body.content),
        status if refusal::is_refusing_status(status) => {
            refusal::of_response(reason, &head, &body.content);
            PollContent::Refused
        }
        status => {
            refusal::of_failed_response(reason, &head, &body.content);
            PollContent::Failed(match status {
                300..=399 if status != 304 => FailureKind::Redirect,
                _ => failure(status, &body.content),
            })
        }
    };
    Ok(Some(PollAnswer { used: head.bytes + body.bytes, keep_alive: head.keeps_alive(), content }))
}

/// An answer breaks HTTP's rules; `reason` says which.
fn broken(reason: &mut String, error: &dyn std::error::Error) -> FailureKind {
    refusal::explain(reason, format_args!("{error} (RFC 9112)"));
    FailureKind::Protocol
}

/// What a status means that neither accepts nor refuses: Engine.IO's own error where the body names one.
pub(super) fn failure(status: u16, body: &[u8]) -> FailureKind {
    HttpError::from_body(body).map_or(FailureKind::Http(status), FailureKind::EngineIo)
}

/// Version 3 sends packets as bytes where one of them is binary.
fn form(head: &ResponseHead<'_>) -> Form {
    let is_bytes = head.header("content-type").is_some_and(|kind| kind.starts_with("application/octet-stream"));
    if is_bytes { Form::Binary } else { Form::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_classified() {
        let mut reason = String::new();
        let unknown_sid = HttpError::UnknownSid;
        for (response, content, why) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                PollContent::Body(Form::Text, b"ok"[..].into()),
                "a POST was taken",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 0\r\n\r\n",
                PollContent::Body(Form::Binary, b""[..].into()),
                "version 3's bytes",
            ),
            ("HTTP/1.1 100 Continue\r\n\r\n", PollContent::Interim, "the answer is still to come"),
            (
                "HTTP/1.1 400 Bad Request\r\nContent-Length: 41\r\n\r\n{\"code\":1,\"message\":\"Session ID unknown\"}",
                PollContent::Failed(FailureKind::EngineIo(unknown_sid)),
                "another server's session",
            ),
            (
                "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
                PollContent::Failed(FailureKind::Http(400)),
                "no error of Engine.IO",
            ),
            ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", PollContent::Refused, "the token"),
            (
                "HTTP/1.1 502 Bad Gateway\r\n\r\nbroken",
                PollContent::Failed(FailureKind::Http(502)),
                "a proxy that sends no length",
            ),
            (
                "HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n",
                PollContent::Failed(FailureKind::Redirect),
                "elsewhere",
            ),
        ] {
            let seen = parse_poll_answer(&mut reason, response.as_bytes()).unwrap();
            let seen = seen.map(|answer| (answer.used, answer.content));
            assert_eq!(seen, Some((response.len(), content)), "{why}");
        }
        for (bytes, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", Ok(None)),
            ("HTTP/1.1 200 OK\r\n\r\n", Err(FailureKind::Protocol)),
            ("220 mail\r\n", Err(FailureKind::Protocol)),
        ] {
            assert_eq!(parse_poll_answer(&mut reason, bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
