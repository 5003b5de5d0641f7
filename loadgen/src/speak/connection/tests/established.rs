//! Established connections: messages, heartbeats, and closing from either side.

use super::*;
use crate::ground::outcome::FailureKind::{Closed, Disconnected, Protocol as Broken, Reset};

/// An established connection.
fn established(protocol: Protocol) -> Dialogue {
    let mut dialogue = Dialogue::begin(protocol, query());
    let server = if protocol == RAW { texts(&["hi"]) } else { texts(&[OPEN, "40"]) };
    dialogue.receive(&mut Vec::new(), &server);
    dialogue.events.clear();
    dialogue.sent();
    dialogue
}

#[test]
fn an_answer_is_matched_by_its_number() {
    const OTHER: &str = "00000000000000ac....";
    const OURS: &str = "00000000000000ab....";
    let event = |payload: &str| format!(r#"42["echo","{payload}"]"#);
    for (protocol, answer, is_answer, why) in [
        (RAW, OURS.to_owned(), true, "the same text"),
        (RAW, OTHER.to_owned(), false, "another's text"),
        (RAW, format!("{OURS}."), false, "longer by one"),
        (V4, event(OURS), true, "an event of the same name"),
        (V3, event(OURS), true, "version 3 is no different"),
        (V4, event(OTHER), false, "another's event"),
        (V4, format!(r#"42["news","{OURS}"]"#), false, "another event"),
        (V4, format!(r#"42[ "echo", "{OURS}", {{"at":1}} ]"#), true, "JSON with spaces, and more"),
        (V4, r#"42["echo"]"#.to_owned(), false, "no payload"),
        (V4, r#"42["echo",1]"#.to_owned(), false, "no text"),
        (V4, "43171[]".to_owned(), true, "the acknowledgement of 0xab"),
        (V4, "43172[]".to_owned(), false, "another acknowledgement"),
    ] {
        let mut dialogue = established(protocol);
        dialogue.awaited = Some(0xab);
        dialogue.write(|connection, writer| connection.write_message(0xab, writer));
        let sent = match protocol {
            RAW => OURS.to_owned(),
            _ => format!(r#"42171["echo","{OURS}"]"#),
        };
        assert_eq!(dialogue.sent(), [sent], "{why}");
        let mut frame = Vec::new();
        write_frame(&mut frame, OpCode::Text, answer.as_bytes(), None);
        dialogue.receive(&mut Vec::new(), &frame);
        assert_eq!(dialogue.events, [Event::Message { is_answer }], "{why}");
    }
}

#[test]
fn a_binary_echo_of_a_raw_websocket_is_an_answer() {
    let mut dialogue = established(RAW);
    dialogue.awaited = Some(0xab);
    let mut frame = Vec::new();
    write_frame(&mut frame, OpCode::Binary, b"00000000000000ab....", None);
    dialogue.receive(&mut Vec::new(), &frame);
    assert_eq!(dialogue.events, [Event::Message { is_answer: true }]);
}

#[test]
fn an_established_socket_closes_from_either_side() {
    for (protocol, frames, why) in
        [(RAW, vec!["close 1000"], "a close frame"), (V4, vec!["41", "close 1000"], "the namespace first")]
    {
        let mut dialogue = established(protocol);
        dialogue.write(Connection::close);
        dialogue.write(Connection::close);
        assert_eq!(dialogue.sent(), frames, "{why}, once");
        let mut answer = Vec::new();
        write_frame(&mut answer, OpCode::Text, b"late", None);
        write_close(&mut answer, 1000, "", None);
        dialogue.receive(&mut Vec::new(), &answer);
        assert_eq!(dialogue.events, [Event::Closed(Closed(1000))], "{why}: late messages are ignored");
        assert_eq!(dialogue.sent(), [""; 0], "a close is answered once");
    }
    for (packet, kind, why) in
        [("41", Disconnected, "the namespace is left"), ("1", Closed(1005), "the session is closed")]
    {
        let mut dialogue = established(V4);
        let mut frame = Vec::new();
        write_frame(&mut frame, OpCode::Text, packet.as_bytes(), None);
        dialogue.receive(&mut Vec::new(), &frame);
        assert_eq!(dialogue.events, [Event::Closed(kind)], "{why}");
        assert_eq!(dialogue.sent(), ["close 1000"], "{why}");
    }
}

#[test]
fn only_engineio_3_clients_send_heartbeats() {
    let slow = OPEN.replace("25000", "0");
    for (protocol, open, heartbeat_ms, why) in [
        (V4, OPEN, None, "the server pings"),
        (V3, OPEN, Some(25_000), "the client pings"),
        (V3, slow.as_str(), Some(HEARTBEAT_MS_MIN), "a server cannot make the client spin"),
    ] {
        let mut dialogue = Dialogue::begin(protocol, query());
        dialogue.receive(&mut Vec::new(), &texts(&[open, "40"]));
        assert_eq!(dialogue.connection.heartbeat_ms(), heartbeat_ms, "{why}");
    }
    let mut dialogue = established(V3);
    dialogue.write(Connection::write_heartbeat);
    assert_eq!(dialogue.sent(), ["2"]);
}

#[test]
fn the_meaning_of_a_fin_depends_on_the_stage() {
    for (protocol, server, kind, why) in [
        (RAW, Vec::new(), Reset, "no answer at all"),
        (RAW, b"HTTP/1.1 101 Swi".to_vec(), Broken, "half an answer"),
        (RAW, upgraded(None, |_| ()), Closed(1006), "no close frame"),
        (V4, upgraded(None, |_| ()), Closed(1006), "no open packet"),
        (V4, texts(&[OPEN]), Closed(1006), "no connect packet"),
    ] {
        let mut dialogue = Dialogue::begin(protocol, query());
        dialogue.receive(&mut Vec::new(), &server);
        assert_eq!(dialogue.connection.failure_at_fin(), kind, "{why}");
    }
    assert_eq!(Connection::new().failure_at_fin(), Reset, "not even asked");
}
