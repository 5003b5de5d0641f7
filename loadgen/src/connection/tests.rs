//! The state machine by tables: what a server says, what that tells the engine, what goes back.

use proptest::prelude::*;
use wire::engineio::Version;
use wire::frame::{Decoder, Message, OpCode, Side, write_close, write_frame};
use wire::http::write_switching_protocols;

use super::*;
use crate::outcome::FailureKind::{Closed, Http, Protocol as Broken, Redirect, Reset};
use crate::scenario::{Echo, Protocol, TokenIn};

const RAW: Protocol = Protocol::WebSocket;
const V3: Protocol = Protocol::SocketIo(Version::V3);
const V4: Protocol = Protocol::SocketIo(Version::V4);
const KEY: &[u8; 24] = b"dGhlIHNhbXBsZSBub25jZQ==";
const OPEN: &str =
    r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

/// One connection with a server that is written down.
struct Dialogue {
    connection: Connection,
    tools: Tools,
    credentials: Credentials,
    awaited: Option<u64>,
    events: Vec<Event>,
    out: Vec<u8>,
}

impl Dialogue {
    /// The upgrade is asked for.
    fn begin(protocol: Protocol, token_in: TokenIn) -> Self {
        let echo = Echo {
            count: 1,
            rate_per_s: None,
            bytes: 20,
            event: "echo".into(),
        };
        let profile = Profile::new(protocol, "localhost", "/", token_in, &[], echo);
        let mut dialogue = Self {
            connection: Connection::new(),
            tools: Tools::new(profile, Random::of_shard(0, 0)),
            credentials: Credentials {
                token: "a.b.c".into(),
                key: *KEY,
            },
            awaited: None,
            events: Vec::new(),
            out: Vec::new(),
        };
        let Self {
            connection,
            tools,
            credentials,
            out,
            ..
        } = &mut dialogue;
        connection.start(tools, credentials, out);
        assert!(out.starts_with(b"GET /"));
        out.clear();
        dialogue
    }

    /// The server says this; what is left over is offered again with what follows, as the reactor does.
    fn hear(&mut self, held: &mut Vec<u8>, bytes: &[u8]) {
        held.extend_from_slice(bytes);
        let mut used = 0;
        while used < held.len() {
            let credentials = Some(&self.credentials);
            let rest = &mut held[used..];
            let length = rest.len();
            let step = self.connection.receive(
                &mut self.tools,
                credentials,
                self.awaited,
                rest,
                &mut self.out,
            );
            assert!(step.used <= length, "no more than there is");
            used += step.used;
            match step.event {
                Some(event) => self.events.push(event),
                None if step.used == 0 => break,
                None => {}
            }
        }
        held.drain(..used);
    }

    /// What went back since the last time, frame by frame, in words.
    fn sent(&mut self) -> Vec<String> {
        let mut decoder = Decoder::new(Side::Client, 1_000_000);
        let mut bytes = std::mem::take(&mut self.out);
        let mut sent = Vec::new();
        let mut used = 0;
        while let Ok(Some(step)) = decoder.next(&mut bytes[used..]) {
            used += step.used;
            sent.push(match step.message {
                Some(Message::Text(text)) => text.into_owned(),
                Some(Message::Close { code, .. }) => format!("close {}", code.unwrap_or_default()),
                Some(Message::Pong(payload)) => {
                    format!("pong {}", String::from_utf8_lossy(payload))
                }
                other => format!("{other:?}"),
            });
        }
        assert_eq!(used, bytes.len(), "whole masked frames and nothing else");
        sent
    }
}

fn query() -> TokenIn {
    TokenIn::Query("token".into())
}

fn http(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A right 101, then what `then` appends.
fn upgraded(protocol: Option<&str>, then: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    let key = std::str::from_utf8(KEY).unwrap();
    write_switching_protocols(&mut out, key, protocol);
    then(&mut out);
    out
}

/// A right 101, then these text frames.
fn texts(texts: &[&str]) -> Vec<u8> {
    upgraded(None, |out| {
        for text in texts {
            write_frame(out, OpCode::Text, text.as_bytes(), None);
        }
    })
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    upgraded(None, |out| write_close(out, code, reason, None))
}

/// Says `server` at once and byte by byte: both must tell `events` and send `sent`.
#[track_caller]
fn check(
    protocol: Protocol,
    token_in: TokenIn,
    server: &[u8],
    events: &[Event],
    sent: &[&str],
    why: &str,
) {
    for chunk_bytes in [server.len().max(1), 1] {
        let mut dialogue = Dialogue::begin(protocol, token_in.clone());
        let mut held = Vec::new();
        for chunk in server.chunks(chunk_bytes) {
            dialogue.hear(&mut held, chunk);
        }
        assert_eq!(dialogue.events, events, "{why}");
        assert_eq!(dialogue.sent(), sent, "{why}");
    }
}

#[test]
fn the_answer_to_the_upgrade_decides() {
    let failed = |kind| vec![Event::Failed(kind)];
    for (server, events, why) in [
        (upgraded(None, |_| ()), vec![Event::Admitted], "a right 101"),
        (
            http("401 Unauthorized"),
            vec![Event::Refused],
            "the token is refused",
        ),
        (
            http("403 Forbidden"),
            vec![Event::Refused],
            "the token is refused",
        ),
        (http("404 Not Found"), failed(Http(404)), "no socket there"),
        (
            http("429 Too Many Requests"),
            failed(Http(429)),
            "load, not the token",
        ),
        (
            http("431 Too Long"),
            failed(Http(431)),
            "the request, not the token",
        ),
        (
            http("503 Service Unavailable"),
            failed(Http(503)),
            "load, not the token",
        ),
        (http("200 OK"), failed(Http(200)), "a page"),
        (
            http("301 Moved"),
            failed(Redirect),
            "redirects are not followed",
        ),
        (
            http("302 Found"),
            failed(Redirect),
            "redirects are not followed",
        ),
        (
            b"SSH-2.0-OpenSSH\r\n".to_vec(),
            failed(Broken),
            "no HTTP at all",
        ),
        (
            http("101 Switching Protocols"),
            failed(Broken),
            "a 101 for somebody else",
        ),
        (
            upgraded(Some("chat"), |_| ()),
            failed(Broken),
            "a subprotocol nobody offered",
        ),
        (
            [
                b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(),
                upgraded(None, |_| ()),
            ]
            .concat(),
            vec![Event::Admitted],
            "an interim answer comes first",
        ),
    ] {
        check(RAW, query(), &server, &events, &[], why);
    }
}

#[test]
fn a_subprotocol_must_be_one_that_was_offered() {
    for (selected, event, why) in [
        (Some("gatecrash"), Event::Admitted, "the one that is meant"),
        (
            Some("bearer.a.b.c"),
            Event::Admitted,
            "the token's own entry was offered as well",
        ),
        (None, Event::Admitted, "a server need not select any"),
        (
            Some("bearer.x.y.z"),
            Event::Failed(Broken),
            "another token was not offered",
        ),
    ] {
        let server = upgraded(selected, |_| ());
        check(RAW, TokenIn::Subprotocol, &server, &[event], &[], why);
    }
}

#[test]
fn a_raw_socket_can_be_refused_after_its_101() {
    let message = Event::Message { answers: false };
    let failed = |code| Event::Failed(Closed(code));
    for (server, then, sent, why) in [
        (
            close(4401, "expired"),
            Event::Refused,
            "close 4401",
            "private code of a 401",
        ),
        (
            close(1008, ""),
            Event::Refused,
            "close 1008",
            "policy violation",
        ),
        (
            close(1000, ""),
            failed(1000),
            "close 1000",
            "says nothing of the token",
        ),
        (
            close(1011, ""),
            failed(1011),
            "close 1011",
            "the server's own fault",
        ),
        (
            close(4429, ""),
            failed(4429),
            "close 4429",
            "load, not the token",
        ),
        (
            upgraded(None, |out| write_frame(out, OpCode::Close, b"", None)),
            failed(1005),
            "close 1000",
            "no code at all, which must not be said",
        ),
        (
            upgraded(None, |out| {
                write_frame(out, OpCode::Text, b"x", Some([1; 4]))
            }),
            Event::Failed(Broken),
            "close 1002",
            "servers do not mask",
        ),
        (
            upgraded(None, |out| write_frame(out, OpCode::Text, b"\xff", None)),
            Event::Failed(Broken),
            "close 1007",
            "text is UTF-8",
        ),
    ] {
        check(
            RAW,
            query(),
            &server,
            &[Event::Admitted, then],
            &[sent],
            why,
        );
    }
    check(
        RAW,
        query(),
        &texts(&["hi"]),
        &[Event::Admitted, message],
        &[],
        "a message accepts",
    );
    let ping = upgraded(None, |out| write_frame(out, OpCode::Ping, b"p", None));
    check(
        RAW,
        query(),
        &ping,
        &[Event::Admitted],
        &["pong p"],
        "a ping accepts nothing",
    );
}

#[test]
fn socketio_goes_through_open_and_connect() {
    use Event::{Authenticated, Failed, Opened, Refused, Upgraded};
    let auth = || TokenIn::Auth("token".into());
    let joined = r#"40{"sid":"x"}"#;
    let refused = r#"44{"message":"not valid token","data":{"reason":"expired"}}"#;
    for (protocol, token_in, server, events, sent, why) in [
        (
            V4,
            query(),
            texts(&[]),
            vec![Upgraded],
            vec![],
            "no packet yet",
        ),
        (
            V4,
            query(),
            texts(&[OPEN]),
            vec![Upgraded, Opened],
            vec!["40"],
            "4: the client joins",
        ),
        (
            V4,
            auth(),
            texts(&[OPEN]),
            vec![Upgraded, Opened],
            vec![r#"40{"token":"a.b.c"}"#],
            "the token in the connect packet",
        ),
        (
            V3,
            query(),
            texts(&[OPEN]),
            vec![Upgraded, Opened],
            vec![],
            "3: the server joins",
        ),
        (
            V4,
            query(),
            texts(&[OPEN, "2", joined]),
            vec![Upgraded, Opened, Authenticated],
            vec!["40", "3"],
            "let in, and a heartbeat in between",
        ),
        (
            V3,
            query(),
            texts(&[OPEN, "40"]),
            vec![Upgraded, Opened, Authenticated],
            vec![],
            "3",
        ),
        (
            V4,
            query(),
            texts(&[OPEN, refused]),
            vec![Upgraded, Opened, Refused],
            vec!["40", "close 1000"],
            "refused by the middleware",
        ),
        (
            V3,
            query(),
            texts(&[OPEN, r#"44"not valid token""#]),
            vec![Upgraded, Opened, Refused],
            vec!["close 1000"],
            "refused by the middleware, version 3",
        ),
        (
            V4,
            query(),
            texts(&[OPEN, "40/admin,", "42[\"early\"]", "6"]),
            vec![Upgraded, Opened],
            vec!["40"],
            "another namespace, an event before its time, a noop",
        ),
        (
            V4,
            query(),
            texts(&[OPEN, "41"]),
            vec![Upgraded, Opened, Failed(Closed(1005))],
            vec!["40", "close 1000"],
            "sent away without a word",
        ),
        (
            V4,
            query(),
            texts(&["1"]),
            vec![Upgraded, Failed(Closed(1005))],
            vec!["close 1000"],
            "Engine.IO's close",
        ),
        (
            V4,
            query(),
            close(4403, "no"),
            vec![Upgraded, Refused],
            vec!["close 4403"],
            "refused by a close code",
        ),
        (
            V4,
            query(),
            texts(&["0{}"]),
            vec![Upgraded, Failed(Broken)],
            vec!["close 1002"],
            "an open packet without a session",
        ),
        (
            V4,
            query(),
            texts(&["40"]),
            vec![Upgraded, Failed(Broken)],
            vec!["close 1002"],
            "a message before the session",
        ),
        (
            V4,
            query(),
            texts(&["hello"]),
            vec![Upgraded, Failed(Broken)],
            vec!["close 1002"],
            "no Engine.IO: an echo server, say",
        ),
        (
            V4,
            query(),
            texts(&[OPEN, "4x"]),
            vec![Upgraded, Opened, Failed(Broken)],
            vec!["40", "close 1002"],
            "no Socket.IO",
        ),
    ] {
        check(protocol, token_in, &server, &events, &sent, why);
    }
}

#[test]
fn the_servers_words_are_the_reason() {
    for (protocol, server, reason) in [
        (RAW, http("401 Unauthorized"), "401 Unauthorized"),
        (RAW, close(4401, "expired"), "closed 4401 expired"),
        (
            V3,
            texts(&[OPEN, r#"44"not valid token""#]),
            "not valid token",
        ),
        (
            V4,
            texts(&[OPEN, r#"44{"message":"not valid token","data":"x"}"#]),
            "not valid token: x",
        ),
    ] {
        let mut dialogue = Dialogue::begin(protocol, query());
        dialogue.hear(&mut Vec::new(), &server);
        assert_eq!(dialogue.events.last(), Some(&Event::Refused));
        assert_eq!(dialogue.tools.reason, reason);
    }
}

/// An established connection.
fn established(protocol: Protocol) -> Dialogue {
    let mut dialogue = Dialogue::begin(protocol, query());
    let server = if protocol == RAW {
        texts(&["hi"])
    } else {
        texts(&[OPEN, "40"])
    };
    dialogue.hear(&mut Vec::new(), &server);
    dialogue.events.clear();
    dialogue.sent();
    dialogue
}

#[test]
fn an_answer_is_known_by_its_number() {
    const OTHER: &str = "00000000000000ac....";
    const OURS: &str = "00000000000000ab....";
    let event = |payload: &str| format!(r#"42["echo","{payload}"]"#);
    for (protocol, answer, answers, why) in [
        (RAW, OURS.to_owned(), true, "the same text"),
        (RAW, OTHER.to_owned(), false, "another's text"),
        (RAW, format!("{OURS}."), false, "longer by one"),
        (V4, event(OURS), true, "an event of the same name"),
        (V3, event(OURS), true, "version 3 is no different"),
        (V4, event(OTHER), false, "another's event"),
        (
            V4,
            format!(r#"42["news","{OURS}"]"#),
            false,
            "another event",
        ),
        (
            V4,
            format!(r#"42[ "echo", "{OURS}", {{"at":1}} ]"#),
            true,
            "JSON with spaces, and more",
        ),
        (V4, r#"42["echo"]"#.to_owned(), false, "no payload"),
        (V4, r#"42["echo",1]"#.to_owned(), false, "no text"),
        (
            V4,
            "43171[]".to_owned(),
            true,
            "the acknowledgement of 0xab",
        ),
        (V4, "43172[]".to_owned(), false, "another acknowledgement"),
    ] {
        let mut dialogue = established(protocol);
        dialogue.awaited = Some(0xab);
        let Dialogue {
            connection,
            tools,
            out,
            ..
        } = &mut dialogue;
        connection.say(tools, 0xab, out);
        let said = match protocol {
            RAW => OURS.to_owned(),
            _ => format!(r#"42171["echo","{OURS}"]"#),
        };
        assert_eq!(dialogue.sent(), [said], "{why}");
        let mut frame = Vec::new();
        write_frame(&mut frame, OpCode::Text, answer.as_bytes(), None);
        dialogue.hear(&mut Vec::new(), &frame);
        assert_eq!(dialogue.events, [Event::Message { answers }], "{why}");
    }
}

#[test]
fn a_binary_echo_of_a_raw_socket_counts() {
    let mut dialogue = established(RAW);
    dialogue.awaited = Some(0xab);
    let mut frame = Vec::new();
    write_frame(&mut frame, OpCode::Binary, b"00000000000000ab....", None);
    dialogue.hear(&mut Vec::new(), &frame);
    assert_eq!(dialogue.events, [Event::Message { answers: true }]);
}

#[test]
fn an_established_socket_closes_from_either_side() {
    for (protocol, said, why) in [
        (RAW, vec!["close 1000"], "a close frame"),
        (V4, vec!["41", "close 1000"], "the namespace first"),
    ] {
        let mut dialogue = established(protocol);
        dialogue
            .connection
            .close(&mut dialogue.tools, &mut dialogue.out);
        dialogue
            .connection
            .close(&mut dialogue.tools, &mut dialogue.out);
        assert_eq!(dialogue.sent(), said, "{why}, once");
        let mut answer = Vec::new();
        write_frame(&mut answer, OpCode::Text, b"late", None);
        write_close(&mut answer, 1000, "", None);
        dialogue.hear(&mut Vec::new(), &answer);
        assert_eq!(
            dialogue.events,
            [Event::Closed(1000)],
            "{why}: late words are passed over"
        );
        assert_eq!(dialogue.sent(), [""; 0], "a close is answered once");
    }
    for (packet, why) in [
        ("41", "the namespace is left"),
        ("1", "the session is closed"),
    ] {
        let mut dialogue = established(V4);
        let mut frame = Vec::new();
        write_frame(&mut frame, OpCode::Text, packet.as_bytes(), None);
        dialogue.hear(&mut Vec::new(), &frame);
        assert_eq!(dialogue.events, [Event::Closed(1005)], "{why}");
        assert_eq!(dialogue.sent(), ["close 1000"], "{why}");
    }
}

#[test]
fn only_engineio_3_has_a_heartbeat_of_its_own() {
    let slow = OPEN.replace("25000", "0");
    for (protocol, open, heartbeat_ms, why) in [
        (V4, OPEN, None, "the server pings"),
        (V3, OPEN, Some(25_000), "the client pings"),
        (
            V3,
            slow.as_str(),
            Some(HEARTBEAT_MS_MIN),
            "a server cannot make us spin",
        ),
    ] {
        let mut dialogue = Dialogue::begin(protocol, query());
        dialogue.hear(&mut Vec::new(), &texts(&[open, "40"]));
        assert_eq!(dialogue.connection.heartbeat_ms(), heartbeat_ms, "{why}");
    }
    let mut dialogue = established(V3);
    dialogue
        .connection
        .beat(&mut dialogue.tools, &mut dialogue.out);
    assert_eq!(dialogue.sent(), ["2"]);
}

#[test]
fn the_end_of_tcp_means_what_the_stage_makes_of_it() {
    for (protocol, server, kind, why) in [
        (RAW, Vec::new(), Reset, "no answer at all"),
        (RAW, b"HTTP/1.1 101 Swi".to_vec(), Broken, "half an answer"),
        (RAW, upgraded(None, |_| ()), Closed(1006), "no close frame"),
        (V4, upgraded(None, |_| ()), Closed(1006), "no open packet"),
        (V4, texts(&[OPEN]), Closed(1006), "no connect packet"),
    ] {
        let mut dialogue = Dialogue::begin(protocol, query());
        dialogue.hear(&mut Vec::new(), &server);
        assert_eq!(dialogue.connection.when_ended(), kind, "{why}");
    }
    assert_eq!(Connection::new().when_ended(), Reset, "not even asked");
}

proptest! {
    #[test]
    fn no_bytes_of_a_server_can_break_it(
        version in 0..3_usize,
        upgrade: bool,
        texts in proptest::collection::vec("[0-6]?[0-6]?[a-z0-9{}\\[\\]\",:/-]{0,20}", 0..6),
        noise in proptest::collection::vec(any::<u8>(), 0..64),
        chunk_bytes in 1..40_usize,
    ) {
        let mut server = Vec::new();
        if upgrade {
            server = super::tests::texts(&[OPEN]);
            for text in &texts {
                write_frame(&mut server, OpCode::Text, text.as_bytes(), None);
            }
        }
        server.extend_from_slice(&noise);
        let protocol = [RAW, V3, V4][version];
        let (mut whole, mut cut) =
            (Dialogue::begin(protocol, query()), Dialogue::begin(protocol, query()));
        whole.awaited = Some(1);
        cut.awaited = Some(1);
        whole.hear(&mut Vec::new(), &server);
        let mut held = Vec::new();
        for chunk in server.chunks(chunk_bytes) {
            cut.hear(&mut held, chunk);
        }
        prop_assert_eq!(&whole.events, &cut.events);
        prop_assert_eq!(whole.sent(), cut.sent());
    }
}
