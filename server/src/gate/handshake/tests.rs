//! Requests that arrive whole and in parts.

use super::*;
use crate::session::testing::{sessions, token};
use proptest::prelude::*;

/// Passes `parts` to the gate one after the other, as the reactor does. Returns the answer, and how many bytes the request
/// took if it was complete.
fn answer(parts: &[&[u8]]) -> (String, Option<usize>) {
    let (shared, mut sessions) = (GateShared::new(Vec::new(), None, 1), sessions(App::Echo));
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, 0);
    let (mut held, mut seen_bytes) = (Vec::new(), 0);
    for part in parts {
        held.extend_from_slice(part);
        let connection = Connection { number: 1, seen_bytes, connect_by_ns: 1, owner: None };
        let used = match take(&held, connection, &shared, &mut sessions, &mut reply) {
            Step::Incomplete => {
                seen_bytes = held.len();
                continue;
            }
            Step::Answered => held.len(),
            Step::Opened(used, _) | Step::Served(used) => used,
            step => panic!("no request here names a session: {step:?}"),
        };
        return (String::from_utf8_lossy(&out).into_owned(), Some(used));
    }
    (String::from_utf8_lossy(&out).into_owned(), None)
}

fn upgrade(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

#[test]
fn request_in_parts_gets_the_same_answer() {
    let good = token("ann", None);
    for (request, status, why) in [
        (upgrade(&format!("/ws?token={good}")), 101, "accepted"),
        (upgrade("/ws?token=bad"), 401, "refused"),
        (upgrade("/socket.io/?EIO=2&transport=websocket"), 400, "no such version"),
        ("OPTIONS /socket.io/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 204, "a preflight"),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".into(), 200, "a page"),
        ("GET /healthz HTTP/1.1\nHost: a\n\n".into(), 200, "bare line ends (RFC 9112, 2.2)"),
        ("GET /none HTTP/1.1\r\nHost: a\r\n\r\n".into(), 404, "an unknown path"),
    ] {
        let bytes = request.as_bytes();
        let whole = answer(&[bytes]);
        assert!(whole.0.starts_with(&format!("HTTP/1.1 {status} ")), "{why}: {whole:?}");
        assert_eq!(whole.1, Some(bytes.len()), "{why}");
        for cut in 0..bytes.len() {
            assert_eq!(answer(&[&bytes[..cut], &bytes[cut..]]), whole, "{why}, cut at {cut}");
        }
        let bytewise: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(answer(&bytewise), whole, "{why}, byte by byte");
    }
}

#[test]
fn bytes_after_the_head_stay_for_the_session() {
    let head = upgrade(&format!("/ws?token={}", token("ann", None)));
    let (_, used) = answer(&[format!("{head}\u{81}\u{80}").as_bytes()]);
    assert_eq!(used, Some(head.len()));
}

proptest! {
    #[test]
    fn no_bytes_of_a_peer_cause_a_panic(parts in prop::collection::vec(any::<Vec<u8>>(), 1..4)) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        answer(&parts);
    }
}
