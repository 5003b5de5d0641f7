//! Polling sessions against a scripted server; `peers` and `run` use real ones.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gatecrash::ground::outcome::{Failure, FailureKind, Outcome, Phase};
use gatecrash::ground::recorder::Metric;
use gatecrash::plan::hold::Hold;
use gatecrash::plan::model::Model;
use gatecrash::spec::{Echo, LoadSpec, Protocol, Transport};
use wire::engineio::{Form, HttpError, Item, Version, decode_payload, encode_payload};
use wire::http::{RequestHead, write_response};

use crate::engine_driver::{at, load, run, run_all};
use crate::engine_servers::{read_head, serve};

/// How the server deviates from a correct one.
#[derive(Clone, Copy, Default)]
struct Behaviour {
    /// Sends `Connection: close` with each answer, and closes.
    sends_close: bool,
    /// Closes after each answer without `Connection: close`.
    closes_silently: bool,
    /// The transports that the open packet offers as upgrades.
    upgrades: &'static str,
    /// Answers requests that begin so with a status and a body.
    answers: Option<(&'static str, u16, &'static str)>,
    /// Ends the connection of a session's polls once the session is established.
    drops_session: bool,
    /// Delays the answer to the closing POST by this time.
    closing_post_delay: Duration,
}

/// The packets that wait for each session, and the wake-up for the poll that waits for them.
#[derive(Default)]
struct Waiting(Mutex<HashMap<String, VecDeque<String>>>, Condvar);

impl Waiting {
    fn push(&self, sid: &str, packet: String) {
        let mut sessions = self.0.lock().unwrap();
        sessions.get_mut(sid).unwrap().push_back(packet);
        self.1.notify_all();
    }

    /// All that waits for a session, at least one packet.
    fn take(&self, sid: &str) -> Vec<String> {
        let mut sessions = self.0.lock().unwrap();
        loop {
            let packets = sessions.get_mut(sid).unwrap();
            if !packets.is_empty() {
                return packets.drain(..).collect();
            }
            sessions = self.1.wait(sessions).unwrap();
        }
    }
}

/// A Socket.IO server over polling alone, which acknowledges events with their own data.
fn server(version: Version, behaviour: Behaviour) -> SocketAddr {
    let waiting = Arc::new(Waiting::default());
    serve(move |mut stream| while answer_next(&mut stream, version, behaviour, &waiting) {})
}

fn answer_next(stream: &mut TcpStream, version: Version, behaviour: Behaviour, waiting: &Waiting) -> bool {
    let bytes = read_head(stream);
    let Ok(Some(head)) = RequestHead::parse(&bytes) else {
        return false;
    };
    let length = head.header("content-length").unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    let line = format!("{} {}", head.method, head.target);
    let sid = head.query_value("sid");
    let (status, packets) = match behaviour.answers {
        Some((begins, status, words)) if line.starts_with(begins) => (status, vec![words.into()]),
        _ => match (head.method, sid) {
            ("GET", None) => (200, open(version, behaviour, waiting)),
            ("GET", Some(sid)) => (200, waiting.take(sid)),
            ("POST", Some(sid)) => (200, take(version, sid, &body, waiting)),
            _ => panic!("{line}"),
        },
    };
    if behaviour.drops_session && packets.iter().any(|packet| packet.starts_with("40")) && sid.is_some() {
        // The next poll is read and not answered.
        respond(stream, version, status, &packets, false);
        read_head(stream);
        return false;
    }
    // Version 4's disconnect of the namespace stands first.
    if body.starts_with(b"41") {
        std::thread::sleep(behaviour.closing_post_delay);
    }
    respond(stream, version, status, &packets, behaviour.sends_close);
    !behaviour.sends_close && !behaviour.closes_silently
}

fn respond(stream: &mut TcpStream, version: Version, status: u16, packets: &[String], close: bool) {
    let mut body = Vec::new();
    if status == 200 && packets != ["ok"] {
        let items: Vec<_> = packets.iter().map(|text| Item::Text(text.into())).collect();
        encode_payload(version, &items, Form::Text, &mut body);
    } else {
        body.extend_from_slice(packets[0].as_bytes());
    }
    let mut out = Vec::new();
    write_response(&mut out, status, "So", &[], &body, !close);
    let _ = stream.write_all(&out);
}

fn open(version: Version, behaviour: Behaviour, waiting: &Waiting) -> Vec<String> {
    let mut sessions = waiting.0.lock().unwrap();
    let sid = format!("session-{}", sessions.len());
    sessions.insert(sid.clone(), VecDeque::new());
    let upgrades = behaviour.upgrades;
    let open = format!(r#"0{{"sid":"{sid}","upgrades":[{upgrades}],"pingInterval":100,"pingTimeout":20000}}"#);
    match version {
        Version::V3 => vec![open, "40".into()],
        Version::V4 => vec![open],
    }
}

fn take(version: Version, sid: &str, body: &[u8], waiting: &Waiting) -> Vec<String> {
    for item in decode_payload(version, Form::Text, body) {
        let Ok(Item::Text(packet)) = item else {
            panic!("{body:?}");
        };
        match &packet[..] {
            "2" => waiting.push(sid, "3".into()),
            "1" => waiting.push(sid, "6".into()),
            "41" => {}
            join if join.starts_with("40") => waiting.push(sid, r#"40{"sid":"x"}"#.into()),
            event => waiting.push(sid, event.replacen("42", "43", 1).replacen("\"message\",", "", 1)),
        }
    }
    vec!["ok".into()]
}

fn polling(version: Version, connections: u64) -> LoadSpec {
    LoadSpec {
        protocol: Protocol::SocketIo(version),
        transport: Transport::Polling,
        model: Model::Closed { concurrency: 4 },
        targets: at("/socket.io/"),
        echo: Echo { count: 2, event: "message".into(), ..load(1).echo },
        ..load(connections)
    }
}

#[test]
fn polling_sessions_survive_closed_connections() {
    for (behaviour, why) in [
        (Behaviour::default(), "it keeps them alive"),
        (Behaviour { sends_close: true, ..Behaviour::default() }, "it closes each and says so"),
    ] {
        for version in [Version::V3, Version::V4] {
            let measured = run(polling(version, 20), server(version, behaviour));
            measured.assert_outcomes(&[(Outcome::Established, 20)], why);
            let counters = measured.recorder.counters;
            let counted = (counters.echoes_answered, counters.dropped);
            assert_eq!(counted, (40, 0), "{version:?}: {why}");
            for (phase, least, why) in [
                (Phase::Connect, 20, "the first alone"),
                (Phase::Open, 20, "from the first request"),
                (Phase::Auth, 20, "from the open packet"),
                (
                    Phase::Poll,
                    40,
                    "what opened, and what brought the first messages: a session may end before its last POST is \
                     answered, where the server ends the connection that it lies on",
                ),
            ] {
                let held = measured.established(Metric::Phase(phase));
                assert!(held.count() >= least, "{phase:?} {}: {why}", held.count());
            }
            let upgrade = Metric::Phase(Phase::Upgrade);
            assert!(measured.established(upgrade).is_empty());
        }
    }
}

#[test]
fn engineio_3_sends_heartbeats_by_post() {
    let server = server(Version::V3, Behaviour::default());
    let load = LoadSpec { hold: Hold::For(std::time::Duration::from_millis(450)), ..polling(Version::V3, 2) };
    let measured = run_all(load, server, Outcome::Established, "held for four beats");
    let polls = measured.established(Metric::Phase(Phase::Poll));
    // One opens, two carry messages, one closes; the rest are heartbeats.
    assert!(polls.count() >= 2 * (4 + 2), "{}", polls.count());
}

#[test]
fn polling_failures_name_phase_and_kind() {
    let answering = |begins, status, words| Behaviour {
        answers: Some((begins, status, words)),
        upgrades: r#""websocket""#,
        ..Behaviour::default()
    };
    let failed = |phase, kind| (Outcome::Failed, Some((phase, kind)));
    let no_session = HttpError::UnknownSid;
    for (transport, behaviour, (outcome, failure), why) in [
        (
            Transport::Polling,
            answering("POST ", 400, no_session.body()),
            failed(Phase::Auth, FailureKind::EngineIo(no_session)),
            "another server's POST: no affinity",
        ),
        (Transport::Polling, answering("GET ", 503, "full"), failed(Phase::Open, FailureKind::Http(503)), "overloaded"),
        (
            Transport::Polling,
            answering("GET ", 400, HttpError::UnknownTransport.body()),
            failed(Phase::Open, FailureKind::EngineIo(HttpError::UnknownTransport)),
            "it does not poll",
        ),
        (Transport::Polling, answering("GET ", 200, "what?"), failed(Phase::Open, FailureKind::Protocol), "no packets"),
        (Transport::Polling, answering("GET ", 401, ""), (Outcome::FalseReject, None), "the token"),
        (
            Transport::Polling,
            answering("POST ", 401, ""),
            (Outcome::FalseReject, None),
            "the token, by a proxy that looks at each request",
        ),
        (Transport::Upgrade, Behaviour::default(), failed(Phase::Upgrade, FailureKind::NoUpgrade), "it offers none"),
        (
            Transport::Upgrade,
            answering("GET /socket.io/?EIO=4&transport=websocket", 400, HttpError::BadRequest.body()),
            failed(Phase::Upgrade, FailureKind::EngineIo(HttpError::BadRequest)),
            "a proxy that passes no upgrade on",
        ),
    ] {
        let load = LoadSpec { transport, ..polling(Version::V4, 5) };
        let measured = run(load, server(Version::V4, behaviour));
        measured.assert_outcomes(&[(outcome, 5)], why);
        let expected: Vec<_> = failure.map(|(phase, kind)| (Failure { phase, kind }, 5)).into_iter().collect();
        assert_eq!(measured.failures(), expected, "{why}");
    }
}

#[test]
fn dropped_poll_drops_the_session() {
    let behaviour = Behaviour { drops_session: true, ..Behaviour::default() };
    let mut load = polling(Version::V4, 5);
    load.echo.count = 0;
    load.hold = Hold::For(Duration::from_secs(60));
    let measured = run(load, server(Version::V4, behaviour));
    measured.assert_outcomes(&[(Outcome::Established, 5)], "all were let in");
    let reasons: Vec<_> = measured.recorder.drop_reasons().collect();
    assert_eq!(reasons, [(FailureKind::Closed(1006), 5)]);
}

#[test]
fn closing_post_is_not_timed() {
    let behaviour = Behaviour { closing_post_delay: Duration::from_secs(1), ..Behaviour::default() };
    let measured = run(polling(Version::V4, 5), server(Version::V4, behaviour));
    measured.assert_outcomes(&[(Outcome::Established, 5)], "all were let in");
    let poll = Metric::Phase(Phase::Poll);
    let held = measured.established(poll);
    assert!(held.count() >= 20, "{}", held.count());
    assert!(held.max_ns() < 1_000_000_000, "{}", held.max_ns());
}

#[test]
fn posts_on_a_closed_connection_are_repeated() {
    let behaviour = Behaviour { closes_silently: true, ..Behaviour::default() };
    // A connection that closes after a GET ends the session; after a POST the session goes on.
    let addr = server(Version::V4, Behaviour::default());
    let posts_hang_up = serve(move |mut client| {
        let mut first = [0; 4];
        if client.peek(&mut first).unwrap_or(0) < 4 {
            return;
        }
        let mut upstream = TcpStream::connect(addr).unwrap();
        if &first == b"POST" {
            let head = read_head(&mut client);
            let length = RequestHead::parse(&head).unwrap().unwrap();
            let length = length.header("content-length").unwrap().parse().unwrap();
            let mut body = vec![0; length];
            client.read_exact(&mut body).unwrap();
            upstream.write_all(&[head, body].concat()).unwrap();
            let mut answer = read_head(&mut upstream);
            answer.extend_from_slice(b"ok");
            let _ = client.write_all(&answer);
            return;
        }
        let mut back = upstream.try_clone().unwrap();
        let mut to = client.try_clone().unwrap();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut back, &mut to);
        });
        let _ = std::io::copy(&mut client, &mut upstream);
        let _ = upstream.shutdown(std::net::Shutdown::Both);
    });
    let measured = run_all(polling(Version::V4, 20), posts_hang_up, Outcome::Established, "POSTs alone");
    assert_eq!(measured.recorder.counters.echoes_answered, 40);
    let measured = run(polling(Version::V4, 5), server(Version::V4, behaviour));
    measured.assert_outcomes(&[(Outcome::Failed, 5)], "the GETs as well");
}
