//! Servers that are broken, each in one way: false accepts name the token kind, failures name phase and kind, and the
//! totals add up (`Ended::result` checks that).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gatecrash::ground::outcome::Outcome;
use jsonwebtoken::{DecodingKey, Validation, decode};
use reports::schema::{PhaseName, TokenKind};
use serde_json::Value;
use wire::http::{RequestHead, write_switching_protocols};

use super::program::{Ended, run};
use super::services::SECRET;
use crate::engine_servers::{WebSocket, accept_socketio, answering, read_head, serve};

const MIX: &str = "valid=4,expired=1,not-yet-valid=1,forged=1,wrong-key=1,alg-none=1,missing=1";

/// Raw WebSockets, minted tokens, 200 arrivals of which eight at a time are under way.
async fn load(addr: SocketAddr, flags: &str) -> Ended {
    let mint = "--token-source mint --secret env:SECRET --token-ttl 60s";
    let program = run(&format!("--target ws://{addr} -c 200 --concurrency 8 --hold 0s {mint} {flags}"));
    program.env("SECRET", SECRET).end().await
}

/// A server that accepts a connection if `is_accepted` accepts the token in the query, and answers 401 otherwise.
fn gate(is_accepted: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) -> SocketAddr {
    let is_accepted = Arc::new(is_accepted);
    serve(move |mut stream| {
        let head = read_head(&mut stream);
        let Ok(Some(request)) = RequestHead::parse(&head) else {
            return;
        };
        let token = request.target.split_once("token=").map(|(_, token)| token);
        let mut answer = Vec::new();
        if is_accepted(token) {
            let key = request.header("sec-websocket-key").unwrap_or_default();
            write_switching_protocols(&mut answer, key, None);
        } else {
            answer.extend_from_slice(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        }
        let _ = stream.write_all(&answer);
        read_to_end(&mut stream);
    })
}

/// Reads until the client ends the connection.
fn read_to_end(stream: &mut TcpStream) {
    while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
}

/// What a careful verifier checks at, and may forget.
#[derive(Clone, Copy)]
struct Checks {
    signature: bool,
    exp: bool,
    nbf: bool,
    alg: bool,
}

const ALL_CHECKS: Checks = Checks { signature: true, exp: true, nbf: true, alg: true };

fn accepts(checks: Checks, token: Option<&str>) -> bool {
    let Some(token) = token else { return false };
    if !checks.alg && token.ends_with('.') {
        return true;
    }
    let mut validation = Validation::default();
    validation.required_spec_claims.clear();
    validation.validate_exp = checks.exp;
    validation.validate_nbf = checks.nbf;
    if !checks.signature {
        // Claims alone, as somebody who forgot to verify reads them.
        return !token.ends_with('.') && claims_are_in_force(token);
    }
    decode::<Value>(token, &DecodingKey::from_secret(SECRET.as_bytes()), &validation).is_ok()
}

fn claims_are_in_force(token: &str) -> bool {
    let Ok(data) = jsonwebtoken::dangerous::insecure_decode::<Value>(token) else {
        return false;
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let at = |name: &str| data.claims.get(name).and_then(Value::as_u64);
    at("exp").is_none_or(|end_s| end_s > now_s) && at("nbf").is_none_or(|begin_s| begin_s <= now_s)
}

#[tokio::test]
async fn false_accepts_name_the_token_kind() {
    let without = |change: fn(&mut Checks)| {
        let mut checks = ALL_CHECKS;
        change(&mut checks);
        gate(move |token| accepts(checks, token))
    };
    for (addr, kinds, why) in [
        (without(|checks| checks.signature = false), &["forged", "wrong-key"][..], "accepts forged"),
        (without(|checks| checks.exp = false), &["expired"], "accepts expired"),
        (without(|checks| checks.nbf = false), &["not-yet-valid"], "accepts not yet valid"),
        (without(|checks| checks.alg = false), &["alg-none"], "accepts unsigned"),
        (
            gate(|_| true),
            &["expired", "not-yet-valid", "forged", "wrong-key", "alg-none", "missing"],
            "accepts everything",
        ),
        (without(|_| ()), &[], "a careful one"),
    ] {
        let ended = load(addr, &format!("--auth-grace 30ms --mix {MIX}")).await;
        ended.exits_with(if kinds.is_empty() { 0 } else { 96 }, why);
        let result = ended.result();
        let sentence = &result.verdict.sentence;
        let totals = &result.totals;
        let expected = 20 * kinds.len() as u64;
        assert!(totals.false_accept.abs_diff(expected) <= 6, "{why}: {totals:?}");
        for kind in ["expired", "not-yet-valid", "forged", "wrong-key", "alg-none", "missing"] {
            let named = sentence.contains(&format!(" {kind}"));
            assert_eq!(named, kinds.contains(&kind), "{why}: {kind}: {sentence}");
        }
        let rest = totals.established + totals.refused_expected + totals.false_accept;
        assert_eq!(rest, 200, "{why}: {totals:?}");
    }
}

#[tokio::test]
async fn socketio_false_accepts_are_found() {
    let addr = serve(|stream| {
        if let Some(mut socket) = accept_socketio(stream) {
            socket.receive_all();
        }
    });
    let ended = load(addr, "--protocol socketio --mix valid=1,forged=1").await;
    ended.exits_with(96, "it lets everybody join");
    let result = ended.result();
    let (totals, sentence) = (&result.totals, &result.verdict.sentence);
    assert!(totals.false_accept.abs_diff(100) <= 6, "{totals:?}");
    assert_eq!(totals.established + totals.false_accept, 200, "{totals:?}");
    assert!(sentence.contains(" forged"), "{sentence}");
}

#[tokio::test]
async fn failures_name_phase_and_kind() {
    let status = |line: &str| answering(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    let half = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websoc";
    let hang_up = || serve(|mut stream| drop(read_head(&mut stream)));
    let hold_still = || serve(|mut stream| read_to_end(&mut stream));
    let stop_midway = || {
        serve(move |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(half.as_bytes());
            read_to_end(&mut stream);
        })
    };
    let upgrade_and_go = || serve(|stream| drop(WebSocket::accept(stream)));
    let upgrade_and_close = |code: u16| {
        serve(move |stream| {
            if let Some(mut socket) = WebSocket::accept(stream) {
                socket.close(code, "");
                socket.receive_all();
            }
        })
    };
    let babble = || {
        serve(|mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(&[0xff; 512]);
        })
    };
    for (addr, outcome, failure, why) in [
        (hang_up(), Outcome::Failed, "upgrade reset", "closes"),
        (hold_still(), Outcome::Timeout, "upgrade timeout", "stalls"),
        (babble(), Outcome::Failed, "upgrade protocol", "garbage"),
        (status("302 Found"), Outcome::Failed, "upgrade redirect", "redirects"),
        (status("200 OK"), Outcome::Failed, "upgrade http-200", "a page"),
        (status("429 Too Many Requests"), Outcome::Failed, "upgrade http-429", "limits"),
        (status("502 Bad Gateway"), Outcome::Failed, "upgrade http-502", "a proxy"),
        (status("503 Busy"), Outcome::Failed, "upgrade http-503", "overloaded"),
        (answering(half), Outcome::Failed, "upgrade protocol", "half an answer"),
        (stop_midway(), Outcome::Timeout, "upgrade timeout", "half an answer, then nothing"),
        (upgrade_and_go(), Outcome::Failed, "auth closed-1006", "101, then gone"),
        (upgrade_and_close(1011), Outcome::Failed, "auth closed-1011", "101, then an error"),
    ] {
        // A mix changes nothing of it: no invalid token is refused by a broken server.
        for mix in ["valid=1", MIX] {
            let ended = load(addr, &format!("--timeout 300ms --mix {mix}")).await;
            let result = ended.counts(&[(outcome, 200)], why);
            let failures: Vec<(String, u64)> =
                result.failures.iter().map(|one| (format!("{} {}", one.phase, one.kind), one.count)).collect();
            assert_eq!(failures, [(failure.to_owned(), 200)], "{why}");
            assert_eq!(result.refusals, [], "{why}");
            // Where nothing of a socket server is seen the target is at fault, else a threshold breaks.
            assert!([99, 104].contains(&result.verdict.code), "{why}: {:?}", result.verdict);
        }
    }
}

#[tokio::test]
async fn close_4401_after_the_101_is_a_refusal() {
    let addr = serve(|mut stream| {
        let head = read_head(&mut stream);
        let Ok(Some(request)) = RequestHead::parse(&head) else {
            return;
        };
        let token = request.target.split_once("token=").map(|(_, token)| token);
        let is_good = accepts(ALL_CHECKS, token);
        let mut answer = Vec::new();
        let key = request.header("sec-websocket-key").unwrap_or_default();
        write_switching_protocols(&mut answer, key, None);
        if !is_good {
            wire::frame::write_close(&mut answer, 4401, "no", None);
        }
        let _ = stream.write_all(&answer);
        read_to_end(&mut stream);
    });
    let ended = load(addr, &format!("--auth-grace 2s --mix {MIX}")).await;
    ended.exits_with(0, "4401 after the 101");
    let totals = ended.result().totals;
    assert!(totals.refused_expected.abs_diff(120) <= 4, "{totals:?}");
    assert_eq!(totals.established + totals.refused_expected, 200);
}

#[tokio::test]
async fn latency_is_reported_by_token_kind() {
    // Each invalid token costs the server 50 ms.
    let addr = gate(|token| {
        let is_good = accepts(ALL_CHECKS, token);
        if !is_good {
            std::thread::sleep(Duration::from_millis(50));
        }
        is_good
    });
    let ended = load(addr, "--auth-grace 30ms --mix valid=1,forged=1").await;
    ended.exits_with(0, "slow to refuse");
    let handshake = &ended.result().phases[&PhaseName::Handshake];
    let p50_us = |kind| {
        let service = handshake.by_token_kind[&kind].service.clone();
        service.unwrap().p50_us
    };
    assert!(p50_us(TokenKind::Forged) > 50_000.0, "{}", p50_us(TokenKind::Forged));
    assert!(p50_us(TokenKind::Valid) < 25_000.0, "{}", p50_us(TokenKind::Valid));
}
