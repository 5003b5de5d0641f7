//! What comes back: a body of bounded length, the token in it, and what may be shown of it.

use std::fmt;

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::error::Broken;
use crate::outcome::FailureKind;
use crate::tokens::Token;

/// A token is sent in a request's head, of which servers take 8 to 64 KiB; an answer that is longer is no token.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// As much of an answer as tells a page from a message.
const SHOWN_CHARS_MAX: usize = 80;
/// Keys of an answer's object that an error lists.
const SHOWN_KEYS_MAX: usize = 8;
/// Longer words without a space are taken for tokens and not shown.
const SHOWN_WORD_CHARS_MAX: usize = 32;

/// An answer's body.
pub(super) struct Body {
    content_type: String,
    bytes: Vec<u8>,
}

impl Body {
    pub(super) async fn read(mut response: Response) -> Result<Self, Broken> {
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or("no type");
        let content_type = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > BODY_BYTES_MAX {
                let problem = format!("answered more than {BODY_BYTES_MAX} bytes");
                return Err(Broken::new(FailureKind::Body, problem));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Self {
            content_type,
            bytes,
        })
    }

    /// The token that stands at a pointer (RFC 6901) in the body's JSON.
    pub(super) fn token(&self, pointer: &str) -> Result<Token, Broken> {
        let broken = |problem: String| Broken::new(FailureKind::Body, problem);
        let Ok(json) = serde_json::from_slice::<Value>(&self.bytes) else {
            return Err(broken(format!(
                "answered {self}, which is no JSON with a token; check --token-url, and that the login gives a \
                 session for it"
            )));
        };
        match json.pointer(pointer) {
            Some(Value::String(token)) if is_sendable(token) => Ok(Token::from(token.as_str())),
            Some(Value::String(_)) => Err(broken(
                "answered a text that is no token: it is empty, or holds characters that no header can".to_owned(),
            )),
            found => Err(broken(format!(
                "answered {}, with {} at {}; say with --token-json-pointer where the token stands",
                shape(&json),
                found.map_or("nothing".to_owned(), shape),
                if pointer.is_empty() { "its top".to_owned() } else { format!("{pointer:?}") },
            ))),
        }
    }
}

/// The type and the beginning, for an error: on one line, and without what may be a token.
impl fmt::Display for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A character of UTF-8 has at most four bytes; what is beyond them would not be shown.
        let beginning = &self.bytes[..self.bytes.len().min(4 * SHOWN_CHARS_MAX)];
        let text = String::from_utf8_lossy(beginning);
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .map(|word| {
                if word.chars().count() > SHOWN_WORD_CHARS_MAX {
                    "…"
                } else {
                    word
                }
            })
            .collect();
        let shown: String = words.join(" ").chars().take(SHOWN_CHARS_MAX).collect();
        write!(out, "({}: {shown:?})", self.content_type)
    }
}

/// What travels in a query, a header and a cookie alike.
pub(crate) fn is_sendable(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What a JSON value is, without its values.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(members) => {
            let keys: Vec<&str> = members
                .keys()
                .map(String::as_str)
                .filter(|key| key.chars().count() <= SHOWN_WORD_CHARS_MAX)
                .take(SHOWN_KEYS_MAX)
                .collect();
            format!(
                "an object of {}",
                if keys.is_empty() {
                    "nothing".to_owned()
                } else {
                    keys.join(", ")
                }
            )
        }
    }
}
