//! Broken servers: every arrival ends in the one right outcome, its failure named by phase and kind.

use std::net::SocketAddr;
use std::time::Duration;

use gatecrash::ground::outcome::FailureKind::{self, Closed, Disconnected, Http, Protocol as Broken};
use gatecrash::ground::outcome::{Failure, Outcome, Phase, TokenKind};
use gatecrash::plan::model::Model;
use gatecrash::spec::{LoadSpec, Protocol};
use rustix::net::sockopt::set_socket_linger;
use wire::engineio::Version;

use crate::engine_driver::{load, run};
use crate::engine_servers::{OPEN, WebSocket, answering, nowhere, read_head, serve};

const RAW: Protocol = Protocol::WebSocket;
const V3: Protocol = Protocol::SocketIo(Version::V3);
const V4: Protocol = Protocol::SocketIo(Version::V4);

/// Arrivals of each run; more than the places of its closed model.
const ARRIVALS: u64 = 5;

fn of(protocol: Protocol, model: Model) -> LoadSpec {
    LoadSpec { protocol, model, ..load(ARRIVALS) }
}

/// Both models, since a failure must also give its place back.
fn both_models(protocol: Protocol) -> [LoadSpec; 2] {
    let closed = Model::Closed { concurrency: 2 };
    [of(protocol, load(1).model), of(protocol, closed)]
}

#[track_caller]
fn fails(addr: SocketAddr, protocol: Protocol, phase: Phase, kind: FailureKind, why: &str) {
    for load in both_models(protocol) {
        let seen = run(load, addr);
        seen.assert_outcomes(&[(Outcome::Failed, ARRIVALS)], why);
        assert_eq!(seen.failures(), [(Failure { phase, kind }, ARRIVALS)], "{why}");
    }
}

#[track_caller]
fn refuses(addr: SocketAddr, protocol: Protocol, reason: &str, why: &str) {
    for load in both_models(protocol) {
        let seen = run(load, addr);
        seen.assert_outcomes(&[(Outcome::FalseReject, ARRIVALS)], why);
        assert_eq!(seen.failures(), [], "{why}: a refusal is no failure");
        let reasons: Vec<_> = seen.recorder.refusal_reasons().collect();
        assert_eq!(reasons, [(TokenKind::Valid, reason, ARRIVALS)], "{why}");
    }
}

#[test]
fn http_answers_are_told_apart() {
    for (status, kind, why) in [
        ("200 OK", Http(200), "a page"),
        ("302 Found", FailureKind::Redirect, "a redirect, which is not followed"),
        ("404 Not Found", Http(404), "no socket there"),
        ("429 Too Many Requests", Http(429), "load, not the token"),
        ("502 Bad Gateway", Http(502), "a proxy without a server"),
        ("503 Service Unavailable", Http(503), "load, not the token"),
    ] {
        let addr = answering(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        fails(addr, RAW, Phase::Upgrade, kind, why);
    }
    for (status, why) in [("401 Unauthorized", "who are you"), ("403 Forbidden", "not you")] {
        let addr = answering(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        refuses(addr, RAW, status, why);
        refuses(addr, V4, status, why);
    }
}

#[test]
fn servers_that_answer_no_http_are_named() {
    let upgrade = Phase::Upgrade;
    fails(nowhere(), RAW, Phase::Connect, FailureKind::Refused, "nothing listens");
    fails(answering("HTTP/1.1 101 Swi"), RAW, upgrade, Broken, "half an answer");
    fails(answering("220 mail\r\n"), RAW, upgrade, Broken, "garbage");
    fails(answering(""), RAW, upgrade, FailureKind::Reset, "closes without an answer");
    let resets = serve(|mut stream| {
        read_head(&mut stream);
        set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    fails(resets, RAW, upgrade, FailureKind::Reset, "resets");
    let foreign = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    fails(answering(foreign), RAW, upgrade, Broken, "a 101 for another key");
}

#[test]
fn a_close_soon_after_the_101_is_a_verdict() {
    let closing = |code: u16, words: &'static str| {
        serve(move |stream| {
            if let Some(mut socket) = WebSocket::accept(stream) {
                socket.close(code, words);
                socket.hear_all();
            }
        })
    };
    refuses(closing(4401, "expired"), RAW, "closed 4401 expired", "a 401 after the 101");
    refuses(closing(1008, ""), RAW, "closed 1008", "policy");
    refuses(closing(4403, "no"), V4, "closed 4403 no", "the same on Socket.IO");
    fails(closing(1011, ""), RAW, Phase::Auth, Closed(1011), "the server's own fault");
    fails(closing(1013, ""), V4, Phase::Open, Closed(1013), "before the open packet");
    let vanishing = serve(|stream| drop(WebSocket::accept(stream)));
    fails(vanishing, RAW, Phase::Auth, Closed(1006), "no close frame");
    fails(vanishing, V4, Phase::Open, Closed(1006), "no open packet");
}

#[test]
fn socketio_breaks_where_it_breaks() {
    let saying = |packets: &'static [&'static str]| {
        serve(move |stream| {
            if let Some(mut socket) = WebSocket::accept(stream) {
                packets.iter().for_each(|packet| socket.say(packet));
                socket.hear_all();
            }
        })
    };
    fails(saying(&["hello"]), V4, Phase::Open, Broken, "an echo server");
    fails(saying(&[OPEN, "4?"]), V4, Phase::Auth, Broken, "no Socket.IO");
    fails(saying(&[OPEN, "41"]), V4, Phase::Auth, Disconnected, "sent away");
    let refused = saying(&[OPEN, r#"44{"message":"not valid token","data":"expired"}"#]);
    refuses(refused, V4, "not valid token: expired", "version 4");
    refuses(saying(&[OPEN, r#"44"not valid token""#]), V3, "not valid token", "version 3");
}

#[test]
fn silence_times_out_in_the_phase_it_falls_in() {
    let silent = serve(|mut stream| {
        read_head(&mut stream);
        read_head(&mut stream);
    });
    let no_open = serve(|stream| {
        WebSocket::accept(stream).map(|mut socket| socket.hear_all());
    });
    let no_connect = serve(|stream| {
        if let Some(mut socket) = WebSocket::accept(stream) {
            socket.say(OPEN);
            socket.hear_all();
        }
    });
    for (addr, protocol, phase) in [
        (silent, RAW, Phase::Upgrade),
        (no_open, V4, Phase::Open),
        (no_connect, V4, Phase::Auth),
        (no_connect, V3, Phase::Auth),
    ] {
        for load in both_models(protocol) {
            let timeout = Duration::from_millis(150);
            let seen = run(LoadSpec { timeout, ..load }, addr);
            seen.assert_outcomes(&[(Outcome::Timeout, ARRIVALS)], phase.as_str());
            let kind = FailureKind::Timeout;
            assert_eq!(seen.failures(), [(Failure { phase, kind }, ARRIVALS)]);
            let metric = gatecrash::ground::recorder::Metric::Handshake(gatecrash::ground::recorder::Part::Service);
            let service = seen.recorder.latency(metric, Outcome::Timeout);
            assert!(service.quantile_ns(0.0) >= 149_000_000, "counts at the timeout's value");
        }
    }
}
