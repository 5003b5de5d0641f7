//! The answers of Engine.IO's polling transport: HTTP responses with payloads in them.

use std::borrow::Cow;

use wire::engineio::{Form, HttpError};
use wire::http::ResponseHead;

use crate::ground::outcome::FailureKind;
use crate::speak::connection::{Tools, refusal};

/// What a request was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'b> {
    /// Bytes of the input that it took.
    pub used: usize,
    /// Whether the connection can be used again.
    pub keep_alive: bool,
    /// What it says.
    pub content: Content<'b>,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'b> {
    /// Nothing yet: an interim answer (RFC 9110 section 15.2).
    Interim,
    /// A body with packets in this form, or with `ok`.
    Body(Form, Cow<'b, [u8]>),
    /// The token is refused; the words are in [`Tools::reason`].
    Refused,
    /// It is no answer to go on with.
    Failed(FailureKind),
}

/// The answer at the front of `input`. `Ok(None)`: more bytes are needed.
pub fn answer<'b>(tools: &mut Tools, input: &'b [u8]) -> Result<Option<Answer<'b>>, FailureKind> {
    let protocol = |_| FailureKind::Protocol;
    let Some(head) = ResponseHead::parse(input).map_err(protocol)? else {
        return Ok(None);
    };
    let rest = &input[head.bytes..];
    if matches!(head.status, 100..=199) {
        return Ok(Some(Answer { used: head.bytes, keep_alive: true, content: Content::Interim }));
    }
    let body = match head.body(rest) {
        Ok(Some(body)) => body,
        Ok(None) => return Ok(None),
        // A refusal by something in between is told by its status alone.
        Err(_) if head.status != 200 => wire::http::Body { bytes: rest.len(), content: Cow::Borrowed(rest) },
        Err(error) => return Err(protocol(error)),
    };
    let content = match head.status {
        200 => Content::Body(form(&head), body.content),
        status if refusal::is_refusing_status(status) => {
            refusal::of_response(&mut tools.reason, &head, &body.content);
            Content::Refused
        }
        300..=399 if head.status != 304 => Content::Failed(FailureKind::Redirect),
        status => Content::Failed(failure(status, &body.content)),
    };
    Ok(Some(Answer { used: head.bytes + body.bytes, keep_alive: head.keeps_alive(), content }))
}

/// What a status means that neither grants nor refuses: by Engine.IO's own name where the body gives it.
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
    use crate::speak::connection::{Profile, Random};
    use crate::spec::{Echo, Protocol, TokenIn};

    #[test]
    fn answers_are_told_apart() {
        let echo = Echo {
            count: 0,
            rate_per_s: None,
            bytes: 16,
            event: "echo".into(),
            answered_by: crate::spec::AnsweredBy::Any,
        };
        let version = wire::engineio::Version::V4;
        let token_in = TokenIn::Query("token".into());
        let protocol = Protocol::SocketIo(version);
        let profile = Profile::new(protocol, "h", "/", token_in, &[], echo);
        let mut tools = Tools::new(profile, Random::of_shard(1, 0));
        let unknown_sid = HttpError::UnknownSid;
        for (response, content, why) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                Content::Body(Form::Text, b"ok"[..].into()),
                "a POST was taken",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 0\r\n\r\n",
                Content::Body(Form::Binary, b""[..].into()),
                "version 3's bytes",
            ),
            ("HTTP/1.1 100 Continue\r\n\r\n", Content::Interim, "the answer is still to come"),
            (
                "HTTP/1.1 400 Bad Request\r\nContent-Length: 41\r\n\r\n{\"code\":1,\"message\":\"Session ID unknown\"}",
                Content::Failed(FailureKind::EngineIo(unknown_sid)),
                "another server's session",
            ),
            (
                "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
                Content::Failed(FailureKind::Http(400)),
                "not Engine.IO's own words",
            ),
            ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", Content::Refused, "the token"),
            (
                "HTTP/1.1 502 Bad Gateway\r\n\r\nbroken",
                Content::Failed(FailureKind::Http(502)),
                "a proxy that says no length",
            ),
            ("HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", Content::Failed(FailureKind::Redirect), "elsewhere"),
        ] {
            let seen = answer(&mut tools, response.as_bytes()).unwrap();
            let seen = seen.map(|answer| (answer.used, answer.content));
            assert_eq!(seen, Some((response.len(), content)), "{why}");
        }
        for (bytes, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", Ok(None)),
            ("HTTP/1.1 200 OK\r\n\r\n", Err(FailureKind::Protocol)),
            ("220 mail\r\n", Err(FailureKind::Protocol)),
        ] {
            assert_eq!(answer(&mut tools, bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
