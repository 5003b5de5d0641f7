//! Long-polling by script elements (JSONP), for pages without XMLHttpRequest. The parameter `j` of the query selects it.
//!
//! The answer to a GET calls `___eio[j]` with the payload as a string. A POST is a form with the payload in the field
//! `d`. Clients of Engine.IO 3 use it with the option `forceJSONP`; the reference implementation serves it in both
//! versions. Scripts of any page may send such requests, so only the query may carry a token.

use std::borrow::Cow;

use wire::http::{RequestHead, percent_decode};

/// The number of the function that the script calls; `Ok(None)` without `j`, an error where `j` is no number. Any other
/// text would be unsafe, because `j` becomes a part of the script.
pub(super) fn function(head: &RequestHead<'_>) -> Result<Option<u32>, ()> {
    let Some(j) = head.query_value("j") else {
        return Ok(None);
    };
    if !j.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    j.parse().map(Some).map_err(drop)
}

/// The script that calls function `j` with `payload`.
pub(super) fn script(j: u32, payload: &[u8]) -> Vec<u8> {
    let payload = String::from_utf8_lossy(payload);
    let literal = serde_json::Value::from(payload).to_string();
    // JSON allows these line separators in strings, JavaScript before 2019 does not.
    let literal = literal.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    format!("___eio[{j}]({literal});").into_bytes()
}

/// The payload in a form; `None` without the field `d`, or where its encoding is wrong.
pub(super) fn payload(form: &[u8]) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let sent = form.split('&').find_map(|field| field.strip_prefix("d="))?;
    let spaced: Cow<'_, str> = match sent.contains('+') {
        true => sent.replace('+', " ").into(),
        false => sent.into(),
    };
    Some(unescape(&percent_decode(&spaced)?))
}

/// Decodes line feeds. Forms may change them, so clients write `\n` for a line feed and `\\n` for the two characters `\n`.
fn unescape(text: &str) -> String {
    let mut payload = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        payload.push_str(before);
        let (decoded, length) = if escape.starts_with("\\\\n") {
            ("\\n", 3)
        } else if escape.starts_with("\\n") {
            ("\n", 2)
        } else {
            ("\\", 1)
        };
        payload.push_str(decoded);
        rest = &escape[length..];
    }
    payload.push_str(rest);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_carry_payloads() {
        for (form, expected, why) in [
            ("d=4%3A4abc", Some("4:4abc"), "percent-encoded"),
            ("d=2%3A4+", Some("2:4 "), "a plus is a space"),
            ("d=%2B", Some("+"), "an encoded plus is a plus"),
            ("a=1&d=1%3A2", Some("1:2"), "after another field"),
            (r"d=a\nb", Some("a\nb"), "a line feed"),
            (r"d=a\\nb", Some("a\\nb"), "a backslash and an n"),
            (r"d=a\\\nb", Some("a\\\\nb"), "two backslashes and an n"),
            (r"d=a\tb\\", Some(r"a\tb\\"), "other backslashes stay"),
            ("d=", Some(""), "an empty payload"),
            ("a=1", None, "no field d"),
            ("d=%zz", None, "a wrong encoding"),
        ] {
            assert_eq!(payload(form.as_bytes()).as_deref(), expected, "{why}");
        }
        assert_eq!(payload(b"d=\xff"), None, "no UTF-8");
    }

    #[test]
    fn scripts_call_the_function_with_the_payload() {
        for (payload, script_text, why) in [
            ("2:40", r#"___eio[7]("2:40");"#, "a payload"),
            ("\"\\\n", r#"___eio[7]("\"\\\n");"#, "characters that JSON escapes"),
            ("\u{2028}\u{2029}", r#"___eio[7]("\u2028\u2029");"#, "line separators"),
        ] {
            assert_eq!(script(7, payload.as_bytes()), script_text.as_bytes(), "{why}");
        }
    }

    #[test]
    fn function_must_be_a_number() {
        for (query, expected, why) in [
            ("a=1", Ok(None), "no j"),
            ("j=0", Ok(Some(0)), "the smallest"),
            ("j=12", Ok(Some(12)), "two digits"),
            ("j=", Err(()), "empty"),
            ("j=1]alert(1)//", Err(()), "an injected script"),
            ("j=99999999999", Err(()), "more than a u32"),
        ] {
            let head = format!("GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = RequestHead::parse(head.as_bytes()).unwrap().unwrap();
            assert_eq!(function(&head), expected, "{why}");
        }
    }
}
