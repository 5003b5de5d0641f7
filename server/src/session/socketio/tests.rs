//! Packets of a Socket.IO client, and the answers.

use super::*;
use crate::session::app::App;
use crate::session::engine::Opening;
use crate::session::engineio::EngineIo;
use crate::session::testing::{NOW_S, frame, sent_frames, sessions, token};
use wire::frame::OpCode;

const S: u64 = 1_000_000_000;

/// A client's message: a packet's text, or an attachment.
enum Sent {
    Text(String),
    Binary(&'static [u8]),
}
use Sent::Binary;

fn text(text: impl Into<String>) -> Sent {
    Sent::Text(text.into())
}

/// Opens a session with the upgrade's token, if there is one, and sends the client's messages. In `answers` the random
/// session ids are replaced by `SID`.
fn check(version: Version, upgrade_token: Option<&str>, sent: &[Sent], answers: &[&str], end: Option<End>, why: &str) {
    let mut sessions = sessions(App::Echo);
    let host = &mut sessions.host;
    let verdict = upgrade_token.map(|token| host.admit(token.as_bytes()));
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, 0);
    let mut session = EngineIo::open(version, Opening::SocketIo(verdict), 10 * S, host, &mut reply);
    for sent in sent {
        let mut input = match sent {
            Sent::Text(text) => frame(OpCode::Text, text.as_bytes()),
            Binary(bytes) => frame(OpCode::Binary, bytes),
        };
        session.received(&mut input, host, &mut reply);
    }
    assert_eq!(reply.end, end, "{why}");
    let frames: Vec<_> = sent_frames(out).iter().map(|text| without_sid(text)).collect();
    let (open, frames) = frames.split_first().unwrap();
    assert!(open.starts_with(r#"T:0{"sid":"SID","upgrades":[]"#), "{open}");
    assert_eq!(open.contains("maxPayload"), version == Version::V4);
    assert_eq!(frames, answers, "{why}");
    session.ended(end.unwrap_or(End::Gone), &mut sessions);
    assert!(sessions.host.users.is_empty(), "{why}: every user is released");
}

fn without_sid(text: &str) -> String {
    match text.split_once(r#""sid":""#) {
        Some((before, after)) => format!(r#"{before}"sid":"SID{}"#, &after[20..]),
        None => text.to_owned(),
    }
}

const CONNECTED: &str = r#"T:40{"sid":"SID"}"#;

#[test]
fn version_5_is_authenticated_at_its_connect_packet() {
    let good = token("ann", None);
    let expired = token("ann", Some(NOW_S));
    let long = "a".repeat(900);
    let refused = |reason: &str| format!(r#"T:44{{"message":"not valid token","data":{{"reason":"{reason}"}}}}"#);
    let payload = |token: &str| text(format!(r#"40{{"token":"{token}"}}"#));
    for (upgrade, connect, answer, why) in [
        (Some(&*good), text("40"), CONNECTED.into(), "a valid token in the upgrade"),
        (None, payload(&good), CONNECTED.into(), "a valid token in the payload"),
        (Some(&*expired), text("40"), refused("expired"), "an invalid token in the upgrade"),
        (Some(&*expired), payload(&good), refused("expired"), "an invalid token in the upgrade, a valid one behind it"),
        (None, payload(&expired), refused("expired"), "an invalid token in the payload"),
        (None, text("40"), refused("missing"), "no token and no payload"),
        (None, text("40{}"), refused("missing"), "no token in the payload"),
        (None, text(r#"40{"token":7}"#), refused("malformed"), "a number as the token"),
        (None, payload(&long), refused("malformed"), "a text that is no token"),
    ] {
        check(Version::V4, upgrade, &[connect], &[&answer], None, why);
    }
}

#[test]
fn version_4_is_authenticated_by_the_upgrade() {
    let good = token("ann", None);
    let refused = r#"T:44"not valid token""#;
    for (upgrade, answer, why) in [
        (Some(&*good), "T:40", "a valid token"),
        (Some("garbage"), refused, "an invalid token"),
        (None, refused, "no token"),
    ] {
        check(Version::V3, upgrade, &[], &[answer], None, why);
    }
}

#[test]
fn packets_are_answered() {
    use Version::{V3, V4};
    let good = token("ann", None);
    let protocol = Some(End::Protocol);
    let placeholder = r#"["b",{"_placeholder":true,"num":0}]"#;
    let binary = || text(format!("451-{placeholder}"));
    let back = format!("T:451-{placeholder}");
    let other_v4 = r#"T:44/x,{"message":"Invalid namespace"}"#;
    let other_v3 = r#"T:44/x,"Invalid namespace""#;
    let who = [r#"T:431["ann"]"#];
    for (version, sent, answers, end, why) in [
        (V4, vec![text(r#"42["a",1]"#)], &[r#"T:42["a",1]"#][..], None, "an event"),
        (V4, vec![text(r#"427["a",1]"#)], &["T:437[1]"], None, "an acknowledgement"),
        (V4, vec![text(r#"421["whoami"]"#)], &who, None, "the user"),
        (V3, vec![text(r#"421["whoami"]"#)], &who, None, "the user, in version 4"),
        (V4, vec![binary(), Binary(b"xy")], &[&back, "B:xy"], None, "a binary event"),
        (V3, vec![binary(), Binary(b"\x04xy")], &[&back, "B:\x04xy"], None, "a binary event with Engine.IO 3's type"),
        (V4, vec![Binary(b"xy")], &["C:1002"], protocol, "an attachment without an event"),
        (V4, vec![binary(), text("42[1]")], &[&back, "C:1002"], protocol, "an event in place of an attachment"),
        (V4, vec![text("40/x,")], &[other_v4], None, "an unknown namespace"),
        (V3, vec![text("40/x?a=1,")], &[other_v3], None, "the answer's namespace has no query"),
        (V4, vec![text(r#"42/x,["a"]"#)], &["C:1002"], protocol, "an event to a namespace that was not joined"),
        (V4, vec![text("40")], &["C:1002"], protocol, "a second connect"),
        (V4, vec![text("4x")], &["C:1002"], protocol, "no Socket.IO packet"),
        (V4, vec![text("2[")], &["C:1002"], protocol, "a ping, which only the server sends"),
        (V4, vec![text("41"), text(r#"42["a"]"#)], &[], None, "an event after the disconnect"),
        (V4, vec![text("431[]")], &[], None, "an acknowledgement that was not requested"),
    ] {
        let (connect, connected) = match version {
            V4 => (Some(text("40")), CONNECTED),
            V3 => (None, "T:40"),
        };
        let sent: Vec<_> = connect.into_iter().chain(sent).collect();
        let answers: Vec<_> = [connected].into_iter().chain(answers.iter().copied()).collect();
        check(version, Some(&good), &sent, &answers, end, why);
    }
}

#[test]
fn first_packet_must_be_a_connect() {
    let good = token("ann", None);
    check(Version::V4, Some(&good), &[text(r#"42["a"]"#)], &["C:1002"], Some(End::Protocol), "an event");
}

#[test]
fn clients_that_neither_connect_nor_close_are_closed() {
    for (upgrade, connect, deadline_s, end, why) in [
        (None, None, 10, End::HandshakeTimeout, "no connect packet"),
        (None, Some("40"), LINGER.as_secs(), End::Refused, "refused and not closed"),
    ] {
        let mut sessions = sessions(App::Echo);
        let host = &mut sessions.host;
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, 0);
        let mut session = EngineIo::open(Version::V4, Opening::SocketIo(upgrade), 10 * S, host, &mut reply);
        if let Some(connect) = connect {
            session.received(&mut frame(OpCode::Text, connect.as_bytes()), host, &mut reply);
        }
        let due_ns = reply.deadline_ns.unwrap();
        assert_eq!(due_ns, deadline_s * S, "{why}");
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, due_ns);
        session.deadline(host, &mut reply);
        assert_eq!(reply.end, Some(end), "{why}");
    }
}

#[test]
fn client_is_disconnected_when_its_token_expires() {
    for version in [Version::V3, Version::V4] {
        let mut sessions = sessions(App::Echo);
        let host = &mut sessions.host;
        let verdict = Some(host.admit(token("ann", Some(NOW_S + 7)).as_bytes()));
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, 100 * S);
        let mut session = EngineIo::open(version, Opening::SocketIo(verdict), 110 * S, host, &mut reply);
        session.received(&mut frame(OpCode::Text, b"40"), host, &mut reply);
        assert_eq!(reply.deadline_ns, Some(107 * S), "{version:?}");

        out.clear();
        let mut reply = Reply::new(&mut out, 107 * S);
        session.deadline(host, &mut reply);
        assert_eq!(reply.end, Some(End::Expired), "{version:?}");
        assert_eq!(sent_frames(out), ["T:41", "C:1000"], "{version:?}");
    }
}

#[test]
fn token_that_expires_before_the_connect_is_refused() {
    for (connected_s, answer, end) in [(6, "T:40", End::Gone), (7, "T:44", End::Refused), (8, "T:44", End::Refused)] {
        let mut sessions = sessions(App::Echo);
        let host = &mut sessions.host;
        let verdict = Some(host.admit(token("ann", Some(NOW_S + 7)).as_bytes()));
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, 0);
        let mut session = EngineIo::open(Version::V4, Opening::SocketIo(verdict), 10 * S, host, &mut reply);

        out.clear();
        host.unix_ns += connected_s * S;
        let mut reply = Reply::new(&mut out, connected_s * S);
        session.received(&mut frame(OpCode::Text, b"40"), host, &mut reply);
        let frames = sent_frames(out);
        assert!(frames[0].starts_with(answer), "after {connected_s} s: {frames:?}");
        session.ended(end, &mut sessions);
        assert!(sessions.host.users.is_empty(), "after {connected_s} s");
    }
}
