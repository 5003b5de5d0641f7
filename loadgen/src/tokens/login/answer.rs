//! The body of an answer: limited in length, searched for values, shown without secrets.

use std::borrow::Cow;
use std::fmt;

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::ground::outcome::FailureKind;
use crate::tokens::login::error::Broken;

/// Characters of an answer that an error shows.
const SHOWN_CHARS_MAX: usize = 80;
/// Keys of an answer's object that an error lists.
const SHOWN_KEYS_MAX: usize = 8;
/// What is searched for secrets: more than is shown, so that none is shown in part.
const SEARCHED_BYTES_MAX: usize = 8 * 1024;
/// Shorter secrets are not hidden: they may be parts of ordinary words.
const SECRET_CHARS_MIN: usize = 4;
/// Longer words without a space are taken for tokens and not shown.
const SHOWN_WORD_CHARS_MAX: usize = 32;

/// An answer's body.
pub(super) struct Body {
    content_type: String,
    bytes: Vec<u8>,
    /// Its beginning, as errors show it.
    shown: String,
}

impl Body {
    /// Reads it, unless it is longer than `bytes_max`.
    pub(super) async fn read(mut response: Response, bytes_max: usize) -> Result<Self, Broken> {
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or("no type");
        let content_type = content_type.split(';').next().unwrap_or_default().trim().to_owned();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > bytes_max {
                let problem = format!("answered more than {bytes_max} bytes");
                return Err(Broken::new(FailureKind::Body, problem));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Self { content_type, shown: shown(&bytes, &[]), bytes })
    }

    /// The same where errors do not show these texts: a service may repeat what it was sent.
    pub(super) fn hiding(self, secrets: &[&str]) -> Self {
        Self { shown: shown(&self.bytes, secrets), ..self }
    }

    /// Its text, with what is no UTF-8 replaced.
    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// The value that stands at a pointer (RFC 6901) in the body's JSON, a text, a number or a boolean as text;
    /// `texts_alone`: nothing but a text. Errors say what is `wanted` and how to say where it stands.
    pub(super) fn at(
        &self,
        pointer: &str,
        texts_alone: bool,
        wanted: &str,
        where_it_stands: &str,
        advice: &str,
    ) -> Result<String, Broken> {
        let broken = |problem: String| Broken::new(FailureKind::Body, problem);
        let Ok(json) = serde_json::from_slice::<Value>(&self.bytes) else {
            return Err(broken(format!("answered {self}, which is no JSON with {wanted}; {advice}")));
        };
        match json.pointer(pointer) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) if !texts_alone => Ok(value.to_string()),
            found => Err(broken(format!(
                "answered {}, with {} at {}; {where_it_stands}",
                shape(&json),
                found.map_or("nothing".to_owned(), shape),
                if pointer.is_empty() { "its top".to_owned() } else { format!("{pointer:?}") },
            ))),
        }
    }
}

/// The type and the beginning, for an error.
impl fmt::Display for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "({}: {:?})", self.content_type, self.shown)
    }
}

/// The beginning of a body, on one line, without secrets and without what may be a token.
fn shown(bytes: &[u8], secrets: &[&str]) -> String {
    let beginning = &bytes[..bytes.len().min(SEARCHED_BYTES_MAX)];
    let mut text = String::from_utf8_lossy(beginning).into_owned();
    for secret in secrets {
        if secret.chars().count() >= SECRET_CHARS_MIN {
            text = text.replace(secret, "…");
        }
    }
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .map(|word| if word.chars().count() > SHOWN_WORD_CHARS_MAX { "…" } else { word })
        .collect();
    words.join(" ").chars().take(SHOWN_CHARS_MAX).collect()
}

/// Whether a token can be sent in a query, a header and a cookie: visible ASCII, not empty.
pub(crate) fn is_sendable(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The type of a JSON value; of an object also its keys.
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
            format!("an object of {}", if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") })
        }
    }
}
