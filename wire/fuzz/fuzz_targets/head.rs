//! Heads, both sides, and everything that is read out of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::http::{RequestHead, ResponseHead, UpgradeRequest, percent_decode};

fuzz_target!(|input: &[u8]| {
    request(input);
    response(input);
});

fn request(input: &[u8]) {
    let whole = RequestHead::parse(input);
    if let Ok(Some(head)) = &whole {
        let _ = UpgradeRequest::from_head(head).map(|upgrade| upgrade.protocols().count());
        let _ = (head.path(), head.cookie("sid"), head.headers().count());
        let _ = head.query_value("token").map(percent_decode);
        assert!(head.bytes <= input.len());
    }
    let part = RequestHead::parse(&input[..input.len() / 2]);
    match (part, whole) {
        (Ok(None), _) => {}
        (Ok(Some(part)), whole) => assert_eq!(part.bytes, whole.unwrap().unwrap().bytes),
        (Err(part), whole) => assert_eq!(part, whole.map(|_| ()).unwrap_err()),
    }
}

fn response(input: &[u8]) {
    let Ok(Some(head)) = ResponseHead::parse(input) else {
        return;
    };
    let _ = head.check_upgrade("dGhlIHNhbXBsZSBub25jZQ==", &["gatecrash"]);
    let _ = head.header("www-authenticate");
    assert!(head.bytes <= input.len());
}
