//! The JSON of a packet: whether it has the shape that its kind demands, and the name of an event.

use std::borrow::Cow;

use crate::error::PacketError;
use crate::limits::NESTING_MAX;
use crate::socketio::kind::Kind;

/// Whether `data` is JSON, or nothing, of the shape that `kind` demands.
pub(super) fn check(kind: Kind, id: Option<u64>, data: &str) -> Result<(), PacketError> {
    if !data.is_empty() {
        if nesting(data) > NESTING_MAX {
            return Err(PacketError::TooDeep);
        }
        // Skipping a value takes serde_json no recursion.
        serde_json::from_str::<serde::de::IgnoredAny>(data).map_err(|_| PacketError::NotJson)?;
    }
    let first = data.trim_start_matches(WHITESPACE).bytes().next();
    match kind {
        Kind::Connect if !matches!(first, None | Some(b'{')) => Err(PacketError::BadData("an object, or nothing")),
        Kind::Disconnect if first.is_some() => Err(PacketError::BadData("empty")),
        Kind::Event | Kind::BinaryEvent if !starts_with_name(data) => {
            Err(PacketError::BadData("an array that starts with an event's name"))
        }
        Kind::Ack | Kind::BinaryAck if first != Some(b'[') => Err(PacketError::BadData("an array")),
        Kind::Ack | Kind::BinaryAck if id.is_none() => Err(PacketError::BadId),
        _ => Ok(()),
    }
}

/// The first element of an event's array, as [`Packet::event_name`](crate::socketio::Packet::event_name) says; `None` also
/// for text that never passed [`check`].
pub(super) fn event_name(data: &str) -> Option<Cow<'_, str>> {
    let first = after_bracket(data)?;
    let Some(string) = first.strip_prefix('"') else {
        let end = first.find([',', ']'])?;
        return Some(Cow::Borrowed(first[..end].trim_end_matches(WHITESPACE)));
    };
    let end = string.find(['"', '\\'])?;
    if string[end..].starts_with('"') {
        return Some(Cow::Borrowed(&string[..end]));
    }
    let mut values = serde_json::Deserializer::from_str(first).into_iter::<String>();
    values.next()?.ok().map(Cow::Owned)
}

fn starts_with_name(data: &str) -> bool {
    after_bracket(data)
        .and_then(|first| first.bytes().next())
        .is_some_and(|byte| matches!(byte, b'"' | b'-' | b'0'..=b'9'))
}

/// What follows the opening bracket of an array.
fn after_bracket(data: &str) -> Option<&str> {
    let elements = data.trim_start_matches(WHITESPACE).strip_prefix('[')?;
    Some(elements.trim_start_matches(WHITESPACE))
}

/// How deep brackets and braces nest outside of strings, at most; of text that is JSON, this is its depth.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        if escaped {
            escaped = false;
            continue;
        }
        match byte {
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What JSON calls whitespace (RFC 8259 section 2).
const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_names() {
        for (data, name, why) in [
            ("[\"echo\",1]", Some("echo"), "as it stands"),
            (" [\n\"echo\"]", Some("echo"), "behind whitespace"),
            ("[\"\"]", Some(""), "empty"),
            ("[\"a\\\"b\\u20ac\",1]", Some("a\"b€"), "unescaped"),
            ("[\"a\\\\\",1]", Some("a\\"), "an escaped backslash ends no string early"),
            ("[-1.5 ,2]", Some("-1.5"), "a number"),
            ("[\"\\ud800\"]", None, "half a surrogate pair is no text"),
            ("[\"a", None, "never decoded, cut"),
            ("", None, "never decoded, empty"),
        ] {
            assert_eq!(event_name(data).as_deref(), name, "{why}");
        }
    }

    #[test]
    fn brackets_are_counted_outside_of_strings() {
        for (json, depth, why) in [
            ("1", 0, "no bracket"),
            ("[]", 1, "an array"),
            (r#"[{"a":[]},[]]"#, 3, "the deepest counts"),
            (r#"["[[", "\"[["]"#, 1, "brackets in strings, behind an escaped quote too"),
            (r#"["\\",[]]"#, 2, "an escaped backslash escapes nothing"),
        ] {
            assert_eq!(nesting(json), depth, "{why}");
        }
    }
}
