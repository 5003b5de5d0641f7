//! Handshakes, by tables: what a server sends, which events that gives, what is sent back.

use super::*;
use crate::ground::outcome::FailureKind::{Closed, Disconnected, Http, Protocol as Broken, Redirect};

#[test]
fn the_status_of_the_upgrade_answer_decides() {
    let failed = |kind| vec![Event::Failed(kind)];
    for (server, events, why) in [
        (upgraded(None, |_| ()), vec![Event::Accepted], "a correct 101"),
        (http("401 Unauthorized"), vec![Event::Refused], "the token is refused"),
        (http("403 Forbidden"), vec![Event::Refused], "the token is refused"),
        (http("404 Not Found"), failed(Http(404)), "no socket there"),
        (http("429 Too Many Requests"), failed(Http(429)), "load, not the token"),
        (http("431 Too Long"), failed(Http(431)), "the request, not the token"),
        (http("503 Service Unavailable"), failed(Http(503)), "load, not the token"),
        (http("200 OK"), failed(Http(200)), "a page"),
        (http("301 Moved"), failed(Redirect), "redirects are not followed"),
        (http("302 Found"), failed(Redirect), "redirects are not followed"),
        (b"SSH-2.0-OpenSSH\r\n".to_vec(), failed(Broken), "no HTTP at all"),
        (http("101 Switching Protocols"), failed(Broken), "a 101 without the right key"),
        (upgraded(Some("chat"), |_| ()), failed(Broken), "a subprotocol that was not offered"),
        (
            [b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(), upgraded(None, |_| ())].concat(),
            vec![Event::Accepted],
            "an interim answer comes first",
        ),
    ] {
        check(RAW, query(), &server, &events, &[], why);
    }
}

#[test]
fn a_subprotocol_must_be_one_that_was_offered() {
    for (selected, event, why) in [
        (Some("gatecrash"), Event::Accepted, "the expected one"),
        (Some("bearer.a.b.c"), Event::Accepted, "the token's own entry was offered as well"),
        (None, Event::Accepted, "a server need not select any"),
        (Some("bearer.x.y.z"), Event::Failed(Broken), "another token was not offered"),
    ] {
        let server = upgraded(selected, |_| ());
        check(RAW, TokenIn::Subprotocol, &server, &[event], &[], why);
    }
}

#[test]
fn a_raw_websocket_can_be_refused_after_its_101() {
    let message = Event::Message { is_answer: false };
    let failed = |code| Event::Failed(Closed(code));
    for (server, then, sent, why) in [
        (close(4401, "expired"), Event::Refused, "close 4401", "private code of a 401"),
        (close(1008, ""), Event::Refused, "close 1008", "policy violation"),
        (close(1000, ""), failed(1000), "close 1000", "not about the token"),
        (close(1011, ""), failed(1011), "close 1011", "the server's own fault"),
        (close(4429, ""), failed(4429), "close 4429", "load, not the token"),
        (
            upgraded(None, |out| write_frame(out, OpCode::Close, b"", None)),
            failed(1005),
            "close 1000",
            "no code at all: 1005 must not be sent",
        ),
        (
            upgraded(None, |out| write_frame(out, OpCode::Text, b"x", Some([1; 4]))),
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
        check(RAW, query(), &server, &[Event::Accepted, then], &[sent], why);
    }
    check(RAW, query(), &texts(&["hi"]), &[Event::Accepted, message], &[], "a message accepts");
    let ping = upgraded(None, |out| write_frame(out, OpCode::Ping, b"p", None));
    check(RAW, query(), &ping, &[Event::Accepted], &["pong p"], "a ping accepts nothing");
}

/// Each handshake begins with the 101, and with the open packet where the server sends [`OPEN`].
#[test]
fn socketio_needs_an_open_and_a_connect_packet() {
    use Event::{Authenticated, Failed, Refused};
    let auth = || TokenIn::Auth("token".into());
    let connected = r#"40{"sid":"x"}"#;
    let refused = r#"44{"message":"not valid token","data":{"reason":"expired"}}"#;
    let broken = || Some(Failed(Broken));
    for (protocol, token_in, server, event, sent, why) in [
        (V4, query(), &[][..], None, &[][..], "no packet yet"),
        (V4, query(), &[OPEN], None, &["40"], "4: the client joins"),
        (V4, auth(), &[OPEN], None, &[r#"40{"token":"a.b.c"}"#], "the token in the connect packet"),
        (V3, query(), &[OPEN], None, &[], "3: the server joins"),
        (V4, query(), &[OPEN, "2", connected], Some(Authenticated), &["40", "3"], "a heartbeat before the answer"),
        (V3, query(), &[OPEN, "40"], Some(Authenticated), &[], "accepted, version 3"),
        (V4, query(), &[OPEN, refused], Some(Refused), &["40", "close 1000"], "refused by the middleware"),
        (V3, query(), &[OPEN, r#"44"no""#], Some(Refused), &["close 1000"], "refused by the middleware, version 3"),
        (V4, query(), &[OPEN, "40/admin,", "42[\"early\"]", "6"], None, &["40"], "another namespace, an event, a noop"),
        (
            V4,
            query(),
            &[OPEN, "41"],
            Some(Failed(Disconnected)),
            &["40", "close 1000"],
            "disconnected without a reason",
        ),
        (V4, query(), &["1"], Some(Failed(Closed(1005))), &["close 1000"], "Engine.IO's close"),
        (V4, query(), &["0{}"], broken(), &["close 1002"], "an open packet without a session"),
        (V4, query(), &["40"], broken(), &["close 1002"], "a message before the session"),
        (V4, query(), &["hello"], broken(), &["close 1002"], "no Engine.IO, for instance an echo server"),
        (V4, query(), &[OPEN, "4x"], broken(), &["40", "close 1002"], "no Socket.IO"),
    ] {
        let is_opened = server.first() == Some(&OPEN);
        let events: Vec<Event> = [Some(Event::Upgraded), is_opened.then(opened), event].into_iter().flatten().collect();
        check(protocol, token_in, &texts(server), &events, sent, why);
    }
    let events = [Event::Upgraded, Refused];
    check(V4, query(), &close(4403, "no"), &events, &["close 4403"], "refused by a close code");
}

#[test]
fn the_reason_of_a_refusal_is_the_servers_text() {
    for (protocol, server, reason) in [
        (RAW, http("401 Unauthorized"), "401 Unauthorized"),
        (RAW, close(4401, "expired"), "closed 4401 expired"),
        (V3, texts(&[OPEN, r#"44"not valid token""#]), "not valid token"),
        (V4, texts(&[OPEN, r#"44{"message":"not valid token","data":"x"}"#]), "not valid token: x"),
    ] {
        let mut dialogue = Dialogue::begin(protocol, query());
        dialogue.receive(&mut Vec::new(), &server);
        assert_eq!(dialogue.events.last(), Some(&Event::Refused));
        assert_eq!(dialogue.scratch.reason, reason);
    }
}
