//! Broken servers: every arrival ends in one outcome, and a failure names its phase and kind.

use std::net::SocketAddr;
use std::time::Duration;

use gatecrash::ground::outcome::FailureKind::{self, Closed, Disconnected, Http, Protocol as Broken};
use gatecrash::ground::outcome::{Failure, Outcome, Phase, TokenKind};
use gatecrash::ground::recorder::{Metric, Part};
use gatecrash::plan::model::Model;
use gatecrash::spec::{LoadSpec, Protocol};
use rustix::net::sockopt::set_socket_linger;
use wire::engineio::Version;

use crate::engine_driver::{load, run_all};
use crate::engine_servers::{OPEN, WebSocket, answering, read_head, serve, serve_websocket, unused_addr};

const RAW: Protocol = Protocol::WebSocket;
const V3: Protocol = Protocol::SocketIo(Version::V3);
const V4: Protocol = Protocol::SocketIo(Version::V4);

/// Arrivals of each run: more than the closed model has in flight.
const ARRIVALS: u64 = 5;

/// Both models, because in the closed model each failure must let the next arrival begin.
fn both_models(protocol: Protocol) -> [LoadSpec; 2] {
    [load(1).model, Model::Closed { concurrency: 2 }].map(|model| LoadSpec { protocol, model, ..load(ARRIVALS) })
}

#[track_caller]
fn assert_fails(addr: SocketAddr, protocol: Protocol, phase: Phase, kind: FailureKind, why: &str) {
    for load in both_models(protocol) {
        let measured = run_all(load, addr, Outcome::Failed, why);
        assert_eq!(measured.failures(), [(Failure { phase, kind }, ARRIVALS)], "{why}");
    }
}

#[track_caller]
fn assert_refuses(addr: SocketAddr, protocol: Protocol, reason: &str, why: &str) {
    for load in both_models(protocol) {
        let measured = run_all(load, addr, Outcome::FalseReject, why);
        assert_eq!(measured.failures(), [], "{why}: a refusal is no failure");
        let reasons: Vec<_> = measured.recorder.refusal_reasons().collect();
        assert_eq!(reasons, [(TokenKind::Valid, reason, ARRIVALS)], "{why}");
    }
}

#[test]
fn http_status_decides_between_failure_and_refusal() {
    let answering = |status| answering(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
    for (status, kind, why) in [
        ("200 OK", Http(200), "a page"),
        ("302 Found", FailureKind::Redirect, "a redirect, which is not followed"),
        ("404 Not Found", Http(404), "no socket at this path"),
        ("429 Too Many Requests", Http(429), "load, not the token"),
        ("502 Bad Gateway", Http(502), "a proxy without a server"),
        ("503 Service Unavailable", Http(503), "load, not the token"),
    ] {
        assert_fails(answering(status), RAW, Phase::Upgrade, kind, why);
    }
    for (status, why) in [("401 Unauthorized", "not authenticated"), ("403 Forbidden", "not authorized")] {
        assert_refuses(answering(status), RAW, status, why);
        assert_refuses(answering(status), V4, status, why);
    }
}

#[test]
fn servers_that_answer_no_http_are_failures() {
    let upgrade = Phase::Upgrade;
    assert_fails(unused_addr(), RAW, Phase::Connect, FailureKind::Refused, "nothing listens");
    assert_fails(answering("HTTP/1.1 101 Swi"), RAW, upgrade, Broken, "half an answer");
    assert_fails(answering("220 mail\r\n"), RAW, upgrade, Broken, "garbage");
    assert_fails(answering(""), RAW, upgrade, FailureKind::Reset, "closes without an answer");
    let resets = serve(|mut stream| {
        read_head(&mut stream);
        set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    assert_fails(resets, RAW, upgrade, FailureKind::Reset, "resets");
    let foreign = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_fails(answering(foreign), RAW, upgrade, Broken, "a 101 for another key");
}

#[test]
fn close_code_after_the_101_decides_between_failure_and_refusal() {
    let closing = |code: u16, reason: &'static str| serve_websocket(move |socket| socket.close(code, reason));
    assert_refuses(closing(4401, "expired"), RAW, "closed 4401 expired", "a 401 after the 101");
    assert_refuses(closing(1008, ""), RAW, "closed 1008", "policy");
    assert_refuses(closing(4403, "no"), V4, "closed 4403 no", "the same on Socket.IO");
    assert_fails(closing(1011, ""), RAW, Phase::Auth, Closed(1011), "an error of the server");
    assert_fails(closing(1013, ""), V4, Phase::Open, Closed(1013), "before the open packet");
    let vanishing = serve(|stream| drop(WebSocket::accept(stream)));
    assert_fails(vanishing, RAW, Phase::Auth, Closed(1006), "no close frame");
    assert_fails(vanishing, V4, Phase::Open, Closed(1006), "no open packet");
}

/// A WebSocket server that sends these packets.
fn sending(packets: &'static [&'static str]) -> SocketAddr {
    serve_websocket(|socket| packets.iter().for_each(|packet| socket.send_text(packet)))
}

#[test]
fn socketio_failures_name_the_phase() {
    assert_fails(sending(&["hello"]), V4, Phase::Open, Broken, "an echo server");
    assert_fails(sending(&[OPEN, "4?"]), V4, Phase::Auth, Broken, "no Socket.IO");
    assert_fails(sending(&[OPEN, "41"]), V4, Phase::Auth, Disconnected, "disconnected");
    let refused = sending(&[OPEN, r#"44{"message":"not valid token","data":"expired"}"#]);
    assert_refuses(refused, V4, "not valid token: expired", "version 4");
    assert_refuses(sending(&[OPEN, r#"44"not valid token""#]), V3, "not valid token", "version 3");
}

#[test]
fn silence_times_out_in_the_current_phase() {
    let silent = serve(|mut stream| {
        read_head(&mut stream);
        read_head(&mut stream);
    });
    let no_connect = sending(&[OPEN]);
    for (addr, protocol, phase) in [
        (silent, RAW, Phase::Upgrade),
        (sending(&[]), V4, Phase::Open),
        (no_connect, V4, Phase::Auth),
        (no_connect, V3, Phase::Auth),
    ] {
        for load in both_models(protocol) {
            let load = LoadSpec { timeout: Duration::from_millis(150), ..load };
            let measured = run_all(load, addr, Outcome::Timeout, phase.as_str());
            assert_eq!(measured.failures(), [(Failure { phase, kind: FailureKind::Timeout }, ARRIVALS)]);
            let service = measured.recorder.latency(Metric::Handshake(Part::Service), Outcome::Timeout);
            assert!(service.quantile_ns(0.0) >= 149_000_000, "the latency of a timeout is at least the timeout");
        }
    }
}
