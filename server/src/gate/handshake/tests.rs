//! Requests, whole and cut anywhere.

use super::*;
use crate::session::testing::{sessions, token};
use proptest::prelude::*;

fn shared() -> GateShared {
    GateShared::new(Vec::new(), None, 1)
}

/// Hands `parts` over one after the other, as the reactor does; what the gate wrote and the bytes it used once it
/// stopped asking for more.
fn play(parts: &[&[u8]]) -> (String, Option<usize>) {
    let (shared, mut sessions) = (shared(), sessions(App::Echo));
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, 0);
    let (mut held, mut seen_bytes) = (Vec::new(), 0);
    let mut used = None;
    for part in parts {
        held.extend_from_slice(part);
        let connection = Connection { number: 1, seen_bytes, connect_by_ns: 1, owner: None };
        match take(&held, connection, &shared, &mut sessions, &mut reply) {
            Step::More => seen_bytes = held.len(),
            Step::Answered => used = Some(held.len()),
            Step::Opened { used: bytes, .. } | Step::Served { used: bytes } => {
                used = Some(bytes);
            }
            step => panic!("no session was asked for: {step:?}"),
        }
        if used.is_some() {
            break;
        }
    }
    (String::from_utf8_lossy(&out).into_owned(), used)
}

fn upgrade(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

#[test]
fn a_request_is_answered_alike_however_it_is_cut() {
    let good = token("ann", None);
    for (request, status, why) in [
        (upgrade(&format!("/ws?token={good}")), 101, "let in"),
        (upgrade("/ws?token=bad"), 401, "refused"),
        (upgrade("/socket.io/?EIO=2&transport=websocket"), 400, "no such version"),
        ("OPTIONS /socket.io/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 204, "a preflight"),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".into(), 200, "a page"),
        ("GET /healthz HTTP/1.1\nHost: a\n\n".into(), 200, "bare line ends (RFC 9112, 2.2)"),
        ("GET /none HTTP/1.1\r\nHost: a\r\n\r\n".into(), 404, "nothing there"),
    ] {
        let bytes = request.as_bytes();
        let whole = play(&[bytes]);
        assert!(whole.0.starts_with(&format!("HTTP/1.1 {status} ")), "{why}: {whole:?}");
        assert_eq!(whole.1, Some(bytes.len()), "{why}");
        for cut in 0..bytes.len() {
            let cut_in_two = play(&[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(cut_in_two, whole, "{why}, cut at {cut}");
        }
        let bytewise: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(play(&bytewise), whole, "{why}, byte by byte");
    }
}

#[test]
fn bytes_behind_the_head_are_left_for_the_session() {
    let head = upgrade(&format!("/ws?token={}", token("ann", None)));
    let (_, used) = play(&[format!("{head}\u{81}\u{80}").as_bytes()]);
    assert_eq!(used, Some(head.len()));
}

proptest! {
    #[test]
    fn nothing_a_peer_sends_panics(parts in prop::collection::vec(any::<Vec<u8>>(), 1..4)) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        play(&parts);
    }
}
