//! Which answers of a server refuse the token, and the reason that they give.
//!
//! A refusal is about the token; anything else that ends a handshake is a failure of the service. HTTP refuses by 401 and
//! 403, Socket.IO by its connect error, and a server that upgrades first by a close code.
//! 429 and 503, and the codes modelled on them, are about load: never a refusal.

use std::fmt::{self, Write};

use serde_json::Value;
use wire::http::ResponseHead;

/// The beginning of a page says which server it is of.
const BODY_SHOWN_BYTES_MAX: usize = 120;
/// The most bytes of a body that are taken for a reason; a longer one is a page.
const BODY_BYTES_MAX: usize = 256;

/// Whether this HTTP status refuses the token.
pub fn is_refusing_status(status: u16) -> bool {
    matches!(status, 401 | 403)
}

/// Writes the reason of a refused upgrade: the challenge's `error_description` (RFC 6750 section 3), else a short body of
/// plain text if it is already there in `body`, else the reason phrase of the status line.
pub fn of_response(reason: &mut String, head: &ResponseHead<'_>, body: &[u8]) {
    reason.clear();
    let text = head
        .header("www-authenticate")
        .and_then(error_description)
        .or_else(|| plain_text(head, body))
        .unwrap_or(head.reason);
    // Writing to a String cannot fail.
    let _ = write!(reason, "{}", head.status);
    if !text.is_empty() {
        let _ = write!(reason, " {text}");
    }
}

/// Writes what was received in place of an upgrade: the status line, where a redirect leads, and how the body begins.
pub fn of_failed_response(reason: &mut String, head: &ResponseHead<'_>, body: &[u8]) {
    explain(reason, format_args!("HTTP {} {}", head.status, head.reason));
    if let Some(location) = head.header("location") {
        let _ = write!(reason, ", Location: {location}");
    }
    let begin = &body[..body.len().min(BODY_SHOWN_BYTES_MAX)];
    if !begin.is_empty() {
        let _ = write!(reason, ", the body begins: {}", String::from_utf8_lossy(begin));
    }
}

/// Writes what broke.
pub fn explain(reason: &mut String, words: fmt::Arguments<'_>) {
    reason.clear();
    let _ = reason.write_fmt(words);
}

/// Writes the close code and the server's reason.
pub fn of_close(reason: &mut String, code: u16, text: &str) {
    reason.clear();
    let _ = write!(reason, "closed {code}");
    if !text.is_empty() {
        let _ = write!(reason, " {text}");
    }
}

/// Writes the reason of a refused namespace from the JSON of a connect error.
///
/// In version 4 of the protocol any JSON, mostly a string; in version 5 an object with a `message`, and in `data`
/// what the middleware added.
pub fn of_connect_error(reason: &mut String, data: &str) {
    reason.clear();
    match serde_json::from_str(data) {
        Ok(Value::String(text)) => reason.push_str(&text),
        Ok(Value::Object(error)) => {
            let message = error.get("message").and_then(Value::as_str);
            reason.push_str(message.unwrap_or("connect error"));
            if let Some(more) = error.get("data").and_then(detail) {
                let _ = write!(reason, ": {more}");
            }
        }
        _ => reason.push_str("connect error"),
    }
}

/// The reason in a connect error's `data`.
fn detail(data: &Value) -> Option<&str> {
    ["reason", "message", "code"].iter().find_map(|name| data.get(name)?.as_str()).or(data.as_str())
}

fn error_description(challenge: &str) -> Option<&str> {
    let (_, value) = challenge.split_once("error_description=\"")?;
    let (text, _) = value.split_once('"')?;
    (!text.is_empty()).then_some(text)
}

fn plain_text<'b>(head: &ResponseHead<'_>, body: &'b [u8]) -> Option<&'b str> {
    let is_text = head.header("content-type").is_some_and(|kind| kind.starts_with("text/plain"));
    let bytes: usize = head.header("content-length")?.parse().ok()?;
    if !is_text || bytes > BODY_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(body.get(..bytes)?).ok()?.trim();
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_bytes(response: &str) -> String {
        let head = ResponseHead::parse(response.as_bytes()).unwrap().unwrap();
        let mut reason = "left over".to_owned();
        of_response(&mut reason, &head, &response.as_bytes()[head.bytes..]);
        reason
    }

    #[test]
    fn the_reason_of_a_refused_upgrade_is_the_servers() {
        for (response, reason, why) in [
            ("HTTP/1.1 401 Unauthorized\r\n\r\n", "401 Unauthorized", "nothing but a status line"),
            ("HTTP/1.1 403 \r\n\r\n", "403", "not even a phrase"),
            (
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error=\"invalid_token\", \
                 error_description=\"expired\"\r\n\r\n",
                "401 expired",
                "RFC 6750's description",
            ),
            (
                "HTTP/1.1 401 No\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nexpiredHTTP",
                "401 expired",
                "a body of plain text, and no byte beyond it",
            ),
            (
                "HTTP/1.1 401 No\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nexpired",
                "401 No",
                "a body that is not all there yet",
            ),
            (
                "HTTP/1.1 401 No\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>",
                "401 No",
                "a page is no reason",
            ),
        ] {
            assert_eq!(of_bytes(response), reason, "{why}");
        }
    }

    #[test]
    fn the_reason_of_a_refused_namespace_is_the_servers() {
        for (data, reason, why) in [
            (r#""not valid token""#, "not valid token", "version 4: a string"),
            (r#"{"message":"no"}"#, "no", "version 5: an error's message"),
            (r#"{"message":"no","data":"expired"}"#, "no: expired", "data as a string"),
            (r#"{"message":"no","data":{"reason":"expired"}}"#, "no: expired", "data as an object"),
            (r#"{"message":"no","data":{"n":[1]}}"#, "no", "data without a reason"),
            (r#"{"data":7}"#, "connect error", "no message at all"),
            ("[1]", "connect error", "no error at all"),
            ("", "connect error", "nothing"),
            ("{", "connect error", "no JSON"),
        ] {
            let mut text = "left over".to_owned();
            of_connect_error(&mut text, data);
            assert_eq!(text, reason, "{why}");
        }
    }
}
