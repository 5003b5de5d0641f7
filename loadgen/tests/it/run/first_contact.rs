//! A verdict means something: no pass where nobody was served, what happens after the handshake counts, and what the
//! target sent comes before a doubt about the generator.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use reports::schema::{Absent, RunResult, VerdictName};

use super::program::{Ended, run};
use super::services::SECRET;
use crate::engine_servers::{Received, WebSocket, accept_socketio, answering, read_head, serve};

/// Minted tokens, raw WebSockets, 20 arrivals of which five at a time are under way.
async fn load(addr: SocketAddr, flags: &str) -> Ended {
    let asked = format!("--target ws://{addr} -c 20 --concurrency 5 --token-source mint --secret env:SECRET {flags}");
    run(&asked).env("SECRET", SECRET).end().await
}

fn status(line: &str) -> SocketAddr {
    answering(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}

/// A server that accepts every socket, does with it what `then` says, and waits for the client to end it.
fn accepting(then: impl Fn(&mut WebSocket<TcpStream>) + Send + Sync + 'static) -> SocketAddr {
    serve(move |stream| {
        if let Some(mut socket) = WebSocket::accept(stream) {
            then(&mut socket);
            socket.receive_all();
        }
    })
}

#[tokio::test]
async fn a_server_that_serves_nobody_is_no_pass() {
    let never = serve(|mut stream| while matches!(std::io::Read::read(&mut stream, &mut [0; 4096]), Ok(1..)) {});
    for (addr, mix, why) in [
        (status("500 Internal Server Error"), "forged=1", "an error is no refusal"),
        (status("503 Service Unavailable"), "forged=1", "an overload is no refusal"),
        (status("429 Too Many Requests"), "expired=1", "a limit is no refusal"),
        (status("500 Internal Server Error"), "valid=1,forged=1", "good tokens as well"),
        (never, "forged=1", "no answer at all"),
    ] {
        let ended = load(addr, &format!("--timeout 300ms --mix {mix}")).await;
        ended.exits_with(99, why);
        let result = ended.result();
        assert_eq!(result.verdict.name, VerdictName::Threshold, "{why}");
        assert!(result.verdict.sentence.contains("errors==0 (20)"), "{why}: {}", result.verdict.sentence);
    }
}

#[tokio::test]
async fn a_server_that_serves_one_of_many_is_no_pass() {
    let asked = AtomicU64::new(0);
    let addr = serve(move |mut stream| {
        let head = read_head(&mut stream);
        if head.is_empty() {
            return;
        }
        if !asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(20) {
            let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        } else if let Some(mut socket) = WebSocket::upgrade(stream, &head) {
            socket.receive_all();
        }
    });
    let ended = load(addr, "--hold 0s").await;
    ended.exits_with(99, "19 of 20 good tokens are refused");
    let sentence = ended.result().verdict.sentence;
    assert_eq!(sentence, "Does not hold: errors==0 (19). 19 were refused: 401 Unauthorized.");
}

#[tokio::test]
async fn what_happens_after_the_handshake_counts() {
    let closing = accepting(|socket| {
        thread::sleep(Duration::from_millis(100));
        socket.close(1001, "going away");
    });
    let silent = || accepting(|_| ());
    let leaving = serve(|stream| {
        if let Some(mut socket) = accept_socketio(stream) {
            socket.send_text("41");
            socket.receive_all();
        }
    });
    for (addr, flags, part, why) in [
        (
            closing,
            "--auth-grace 30ms --hold 2s",
            "dropped==0 (20). 20 were dropped by the target: closed-1001",
            "closed",
        ),
        (silent(), "--auth-grace 30ms --echo 1 --timeout 300ms --hold 1s", "unanswered==0 (20)", "no answer"),
        (leaving, "--protocol socketio --hold 2s", "20 were dropped by the target: disconnect-packet", "disconnected"),
    ] {
        let ended = load(addr, flags).await;
        ended.exits_with(99, why);
        let sentence = ended.result().verdict.sentence;
        assert!(sentence.contains(part), "{why}: {sentence}");
    }
    let allowed = "--echo 1 --timeout 300ms --auth-grace 30ms --hold 1s --threshold unanswered<=100%,dropped==0";
    let ended = load(silent(), allowed).await;
    ended.exits_with(0, "an expression on the quantity replaces its default");
    assert!(ended.result().verdict.sentence.contains("20 messages were not answered"));
}

#[tokio::test]
async fn a_message_left_unanswered_does_not_stop_the_planned_ones() {
    // Answers all but the first.
    let addr = serve(|stream| {
        let Some(mut socket) = WebSocket::accept(stream) else { return };
        socket.receive();
        while let Received::Text(text) = socket.receive() {
            socket.send_text(&text);
        }
    });
    let flags = "--echo 4 --message-rate 20/s --timeout 200ms --auth-grace 30ms --hold 1s";
    let ended = load(addr, flags).await;
    ended.exits_with(99, "one of four is not answered");
    let messages = ended.result().messages.unwrap();
    assert_eq!((messages.sent, messages.answered, messages.unanswered), (80, 60, 20));
}

#[tokio::test]
async fn a_close_within_the_grace_refuses_by_its_code() {
    let closing = |code| accepting(move |socket| socket.close(code, "no"));
    for (code, flags, exit_code, why) in [
        (4003, "", 0, "FastAPI"),
        (4001, "", 0, "Channels"),
        (4400, "", 0, "bad request"),
        (1011, "", 99, "the server's own error"),
        (4500, "", 99, "an internal error"),
        (4500, "--refused-by 1008,4500", 0, "as asked"),
        (4003, "--refused-by 4500", 99, "the usual codes are replaced"),
    ] {
        let ended = load(closing(code), &format!("--auth-grace 5s --mix forged=1 {flags}")).await;
        ended.exits_with(exit_code, &format!("{code}: {why}"));
        if exit_code == 0 {
            assert_eq!(ended.result().refusals[0].reason, format!("closed {code} no"), "{why}");
        }
    }
}

#[tokio::test]
async fn a_false_accept_is_judged_beside_handshakes_without_a_token() {
    let closes_late = |stream: TcpStream, is_bad: fn(&str) -> bool| {
        let mut stream = stream;
        let head = String::from_utf8(read_head(&mut stream)).unwrap();
        let Some(mut socket) = WebSocket::upgrade(stream, head.as_bytes()) else { return };
        if is_bad(&head) {
            thread::sleep(Duration::from_millis(150));
            socket.close(4401, "no");
        }
        socket.receive_all();
    };
    let unsigned = |head: &str| head.contains(". HTTP/1.1");
    for (addr, code, parts, control, why) in [
        (accepting(|_| ()), 96, &["No token is checked in the handshake"][..], 3, "all are kept"),
        (
            serve(move |stream| closes_late(stream, |_| true)),
            104,
            &["--token-in message", "--hold"],
            3,
            "all are closed",
        ),
        (
            serve(move |stream| closes_late(stream, unsigned)),
            96,
            &["No token is checked", "of these sockets itself later", "--auth-grace"],
            3,
            "the bad ones are closed after the grace",
        ),
    ] {
        let ended = load(addr, "--auth-grace 30ms --hold 1s --mix valid=1,alg-none=1").await;
        ended.exits_with(code, why);
        let result = ended.result();
        for part in parts {
            assert!(result.verdict.sentence.contains(part), "{why}: {}", result.verdict.sentence);
        }
        assert_eq!(result.control.unwrap().accepted, control, "{why}");
        assert_eq!(result.totals.planned, 20, "{why}: the control is in no total");
    }
}

/// Serves a number of sockets, then ends them all by a reset and listens no more.
fn dying_after(sockets: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut held = Vec::new();
        while held.len() < sockets {
            let Ok((stream, _)) = listener.accept() else { return };
            held.extend(WebSocket::accept(stream));
        }
    });
    addr
}

#[tokio::test]
async fn an_outage_is_the_headline_whatever_the_lag() {
    let addr = dying_after(60);
    let flags = "-c 200 -r 200/s --auth-grace 10ms --hold end --token-per user";
    let asked = format!("--target ws://{addr} --token-source mint --secret env:SECRET {flags}");
    let ended = run(&asked).env("SECRET", SECRET).end().await;
    ended.exits_with(99, "refused and dropped, whether arrivals were late or not");
    let result = ended.result();
    assert!(result.totals.failed > 0 && result.sockets.dropped > 0, "{:?}", result.totals);
    let sentence = &result.verdict.sentence;
    assert!(sentence.contains("errors==0") && sentence.contains("dropped==0"), "{sentence}");
    assert!(sentence.contains("failed in connect: refused"), "{sentence}");
}

#[tokio::test]
async fn the_planned_rate_is_the_plans() {
    let slow = accepting(|_| thread::sleep(Duration::from_millis(300)));
    let asked = format!("--target ws://{slow} --token-source mint --secret env:SECRET --auth-grace 1s --hold 0s");
    for (flags, planned_per_s, why) in [
        ("--rate 50/s -c 5", 50.0, "the next would be due after 100 ms"),
        ("--rate 1/s -c 1", 1.0, "a single arrival"),
        ("--rate 300/m -c 2", 5.0, "a rate per minute"),
    ] {
        let ended = run(&format!("{asked} {flags}")).env("SECRET", SECRET).end().await;
        assert_eq!(ended.result().rates.planned_per_s, planned_per_s, "{why}");
    }
}

#[tokio::test]
async fn no_samples_are_not_infinitely_slow() {
    let flags = |threshold| format!("--timeout 300ms --threshold {threshold}");
    let absent = |result: RunResult| result.thresholds.last().unwrap().absent;
    let refused = load(status("500 Internal Server Error"), &flags("handshake.p50<1s")).await;
    assert_eq!(absent(refused.result()), Some(Absent::InfinitelySlow), "all failed");
    let forged = load(status("401 Unauthorized"), &format!("--mix forged=1 {}", flags("handshake.p50<1s"))).await;
    forged.exits_with(99, "nothing was to be established");
    assert_eq!(absent(forged.result()), Some(Absent::NoSamples), "refused as expected: no rank");
    assert!(forged.stdout.contains("no samples"), "{}", forged.stdout);
}

#[tokio::test]
async fn each_failure_keeps_the_words_of_its_first() {
    let page = "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 31\r\n\r\n\
                <h1>Cannot GET \u{1b}[2J\u{202e}/ws</h1>";
    let accepting_with = |fields: &'static str| {
        serve(move |mut stream| {
            let head = read_head(&mut stream);
            let Ok(Some(request)) = wire::http::RequestHead::parse(&head) else { return };
            let mut answer = Vec::new();
            wire::http::write_switching_protocols(&mut answer, request.header("sec-websocket-key").unwrap_or(""), None);
            answer.truncate(answer.len() - 2);
            let _ = stream.write_all(&[&answer, fields.as_bytes(), b"\r\n"].concat());
        })
    };
    let broken_frame = serve(|stream| {
        let Some(mut socket) = WebSocket::accept(stream) else { return };
        socket.send_raw(&[0xff, 0x7f]);
    });
    for (addr, flags, code, parts, why) in [
        (answering(page), "", 104, &["404 Not Found", "Cannot GET \\u{1b}[2J\\u{202e}/ws"][..], "a page"),
        (
            answering("HTTP/1.1 301 Moved\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n"),
            "",
            104,
            &["Location: https://elsewhere/"],
            "a redirect",
        ),
        (
            answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nno cookie"),
            "",
            99,
            &["400 Bad Request", "no cookie"],
            "a server that is there",
        ),
        (answering("220 smtp.example.com ready\r\n"), "", 104, &["220 smtp.example.com"], "another protocol"),
        (
            accepting_with("Sec-WebSocket-Protocol: graphql-ws\r\n"),
            "",
            104,
            &["graphql-ws", "RFC 6455 section 4.1"],
            "a subprotocol that was not offered",
        ),
        (accepting(|socket| socket.close(1011, "out of memory")), "", 99, &["closed 1011 out of memory"], "its close"),
        (broken_frame, "--auth-grace 2s", 99, &["reserved bit", "RFC 6455"], "a broken frame"),
        (
            accepting(|socket| socket.send_text(r#"0{"sid":"x","upgrades":[]}"#)),
            "--auth-grace 2s",
            104,
            &["speaks Engine.IO", "--protocol socketio --eio N --path P", r#"0{"sid":"x""#],
            "Engine.IO on a raw WebSocket",
        ),
    ] {
        let ended = load(addr, flags).await;
        ended.exits_with(code, why);
        let result = ended.result();
        let report = std::fs::read_to_string(ended.out.join("junit.xml")).unwrap();
        let words = result.failures[0].words.clone().unwrap_or_default();
        for part in parts {
            let sentence = &result.verdict.sentence;
            assert!(sentence.contains(part), "{why}: {part}: {sentence}");
            let escaped = part.replace('"', "&quot;").replace('<', "&lt;");
            assert!(report.contains(&escaped), "{why}: {part} in junit.xml");
        }
        assert!(!words.is_empty() && !words.contains('\u{1b}'), "{why}: {words}");
        assert!(!ended.stdout.contains('\u{1b}'), "{why}");
    }
}
