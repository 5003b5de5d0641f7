//! Heads under every cut of the input, and under bytes that are none.

use proptest::prelude::*;
use wire::http::{
    HeadError, RequestHead, ResponseHead, UpgradeRequest, client_key, percent_decode, write_response,
    write_switching_protocols, write_upgrade_request,
};

/// What a test wants to know of a head, apart from the buffer.
type Seen = Result<Option<(usize, String, Vec<(String, String)>)>, HeadError>;

fn request(buf: &[u8]) -> Seen {
    let head = RequestHead::parse(buf)?;
    Ok(head.map(|head| {
        let headers = head
            .headers()
            .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        (head.bytes, format!("{} {}", head.method, head.target), headers)
    }))
}

fn response(buf: &[u8]) -> Seen {
    let head = ResponseHead::parse(buf)?;
    Ok(head.map(|head| (head.bytes, format!("{} {}", head.status, head.reason), vec![])))
}

/// Every prefix of `text` is either unfinished or already what the whole is; more bytes change nothing.
fn check_cuts(text: &[u8], parse: fn(&[u8]) -> Seen) -> Result<(), TestCaseError> {
    let whole = parse(text);
    let end = match &whole {
        Ok(Some((bytes, ..))) => *bytes,
        _ => text.len(),
    };
    for cut in 0..text.len() {
        let part = parse(&text[..cut]);
        if cut >= end {
            prop_assert_eq!(&part, &whole, "what follows the head is not looked at");
        } else if part != Ok(None) {
            prop_assert!(whole.is_err(), "a prefix was refused, the whole was not: {:?}", part);
            prop_assert_eq!(&part, &whole, "after {} bytes", cut);
        }
    }
    Ok(())
}

/// Lines near enough to a head to get past its first bytes.
fn head_like(start: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => "[A-Za-z-]{1,12}: ?[ -~]{0,12}",
        1 => "[ -~\t]{0,12}",
        1 => "[ -~]{0,6}: [\\x00-\\x7f€é]{0,6}",
    ];
    (prop::collection::vec(line, 0..6), "[\r\n a]{0,6}").prop_map(move |(lines, after)| {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        format!("{start}\r\n{lines}\r\n{after}").into_bytes()
    })
}

proptest! {
    #[test]
    fn a_request_head_does_not_depend_on_the_cut(text in head_like("GET /ws?token=a HTTP/1.1")) {
        check_cuts(&text, request)?;
    }

    #[test]
    fn a_response_head_does_not_depend_on_the_cut(text in head_like("HTTP/1.1 401 No")) {
        check_cuts(&text, response)?;
    }

    #[test]
    fn any_bytes_give_a_result(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[GETHP/1. \r\n:%?&=;a-c]{0,60}".prop_map(String::into_bytes),
        ],
    ) {
        let _ = response(&bytes);
        if let Ok(Some(head)) = RequestHead::parse(&bytes) {
            let _ = (head.path(), head.query_value("a"), head.cookie("a"));
            let _ = UpgradeRequest::from_head(&head);
        }
        let _ = percent_decode(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_target_is_always_one_target(target in "/[ -~]{0,20}") {
        // Any text behind the scheme's slashes or the origin's first one splits without a panic.
        let text = format!("GET {} HTTP/1.1\r\n\r\n", target.replace(' ', "+"));
        if let Some(head) = RequestHead::parse(text.as_bytes()).unwrap_or_default() {
            let joined = match head.target.contains('?') {
                true => format!("{}?{}", head.path(), head.query()),
                false => head.path().to_owned(),
            };
            prop_assert_eq!(joined, head.target);
        }
    }

    /// Whatever text is written into a head, it stays one head with the fields that were meant.
    #[test]
    fn nothing_is_injected(
        target in any::<String>(),
        host in any::<String>(),
        value in any::<String>(),
        key in any::<[u8; 16]>(),
    ) {
        let key = client_key(key);
        let key = std::str::from_utf8(&key).unwrap();
        let target = format!("/{target}");
        let mut out = Vec::new();
        write_upgrade_request(&mut out, &target, &host, key, &[("X-Value", &value)]);
        let head = RequestHead::parse(&out).unwrap().unwrap();
        prop_assert_eq!(head.bytes, out.len());
        prop_assert_eq!(head.headers().count(), 6);
        prop_assert_eq!(UpgradeRequest::from_head(&head).unwrap().key, key);
        if !target.contains('%') {
            let decoded = percent_decode(head.target);
            prop_assert_eq!(decoded.as_deref(), Some(target.as_str()));
        }

        out.clear();
        write_switching_protocols(&mut out, key, Some(&value));
        let head = ResponseHead::parse(&out).unwrap().unwrap();
        prop_assert_eq!(head.bytes, out.len());
        let selected = head.header("sec-websocket-protocol").unwrap_or_default();
        prop_assert_eq!(head.check_upgrade(key, &[selected]), Ok(()));

        out.clear();
        write_response(&mut out, 400, &value, &[("X-Value", &value)], host.as_bytes(), false);
        let head = ResponseHead::parse(&out).unwrap().unwrap();
        prop_assert_eq!(&out[head.bytes..], host.as_bytes());
        let length = host.len().to_string();
        prop_assert_eq!(head.header("content-length"), Some(length.as_str()));
    }

    #[test]
    fn percent_decoding_undoes_encoding(text in any::<String>()) {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let decoded = percent_decode(&encoded);
        prop_assert_eq!(decoded.as_deref(), Some(text.as_str()));
    }
}
