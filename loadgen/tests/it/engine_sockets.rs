//! Sockets that are let in: held, talked over, dropped, left politely.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use gatecrash::ground::outcome::{FailureKind, Outcome, Phase};
use gatecrash::ground::recorder::{Metric, Part};
use gatecrash::plan::hold::Hold;
use gatecrash::plan::model::Model;
use gatecrash::spec::{AnsweredBy, Close, Echo, LoadSpec, Protocol, TokenIn};
use tokio_tungstenite::tungstenite::Message;
use wire::engineio::Version;

use crate::engine_driver::{load, run, run_all};
use crate::engine_servers::{Gauge, OPEN, Received, WebSocket, accept_socketio, recording, serve};

const V3: Protocol = Protocol::SocketIo(Version::V3);
const V4: Protocol = Protocol::SocketIo(Version::V4);

/// An echo server that is none of ours.
fn tungstenite_echo() -> SocketAddr {
    let (tell, addr) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                        return;
                    };
                    while let Some(Ok(message)) = socket.next().await {
                        let echo = matches!(message, Message::Text(_) | Message::Binary(_));
                        if echo && socket.send(message).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    addr.recv().unwrap()
}

fn echo(count: u32, rate_per_s: Option<f64>) -> Echo {
    Echo { count, rate_per_s, ..load(1).echo }
}

#[test]
fn tungstenite_server_establishes_and_echoes() {
    let addr = tungstenite_echo();
    let load = LoadSpec { echo: echo(3, None), ..load(60) };
    let measured = run_all(load, addr, Outcome::Established, "all were let in");
    assert_eq!(measured.recorder.counters.echoes_answered, 180);
    assert_eq!(measured.recorder.counters.echoes_unanswered, 0);
    assert_eq!(measured.recorder.counters.dropped, 0);
    for (metric, count) in [
        (Metric::Phase(Phase::Connect), 60),
        (Metric::Phase(Phase::Upgrade), 60),
        (Metric::Phase(Phase::Open), 0),
        (Metric::Phase(Phase::Auth), 0),
        (Metric::Handshake(Part::Response), 60),
        (Metric::Handshake(Part::Service), 60),
        (Metric::Handshake(Part::Lag), 60),
        (Metric::Echo(Part::Response), 180),
        (Metric::Echo(Part::Service), 180),
    ] {
        let held = measured.established(metric);
        assert_eq!(held.count(), count, "{}", metric.tag());
    }
    assert!(measured.reports.iter().all(|report| report.cpu_ns > 0));
}

#[test]
fn socketio_3_and_4_are_established_and_disconnected() {
    for (protocol, connect, why) in [(V4, true, "4"), (V3, false, "3")] {
        let (addr, heard) = recording(move |stream| {
            if connect {
                return accept_socketio(stream);
            }
            let mut socket = WebSocket::accept(stream)?;
            socket.send_text(OPEN);
            socket.send_text("40");
            Some(socket)
        });
        let load = LoadSpec { protocol, hold: Hold::For(Duration::ZERO), ..load(10) };
        let measured = run_all(load, addr, Outcome::Established, why);
        for metric in [Phase::Open, Phase::Auth].map(Metric::Phase) {
            assert_eq!(measured.established(metric).count(), 10, "{why}");
        }
        let farewell = vec![Received::Text("41".into()), Received::Close(Some(1000))];
        assert_eq!(*heard.lock().unwrap(), vec![farewell; 10], "{why}");
    }
}

#[test]
fn sockets_are_closed_as_close_flag_says() {
    let polite = Received::Close(Some(1000));
    for (protocol, close, farewell) in [
        (V4, Close::Disconnect, vec![Received::Text("41".into()), polite.clone()]),
        (V4, Close::Frame, vec![polite.clone()]),
        (V4, Close::Fin, vec![]),
        (V4, Close::Reset, vec![Received::Reset]),
        (Protocol::WebSocket, Close::Frame, vec![polite]),
        (Protocol::WebSocket, Close::Fin, vec![]),
        (Protocol::WebSocket, Close::Reset, vec![Received::Reset]),
    ] {
        let (addr, heard) = recording(move |stream| match protocol {
            Protocol::WebSocket => WebSocket::accept(stream),
            Protocol::SocketIo(_) => accept_socketio(stream),
        });
        let told = heard.clone();
        let load = LoadSpec { protocol, close, hold: Hold::For(Duration::ZERO), ..load(5) };
        let measured = run_all(load, addr, Outcome::Established, &format!("{close:?}"));
        assert_eq!(measured.recorder.counters.dropped, 0, "{close:?}: our own doing");
        // The last of the server's threads may still be about to hear of it.
        while told.lock().unwrap().len() < 5 {
            std::thread::yield_now();
        }
        assert_eq!(*heard.lock().unwrap(), vec![farewell; 5], "{close:?}");
    }
}

#[test]
fn sockets_are_held_for_the_drawn_time() {
    let (addr, _heard) = recording(WebSocket::accept);
    let load = LoadSpec { hold: "uniform:200ms..600ms".parse().unwrap(), ..load(200) };
    let begun = Instant::now();
    let measured = run_all(load, addr, Outcome::Established, "all are let in");
    // 200 arrivals in 200 ms: the first to leave does so when the last has come.
    assert!(begun.elapsed() >= Duration::from_millis(550), "{:?}", begun.elapsed());
    assert_eq!(measured.recorder.counters.dropped, 0);
}

#[test]
fn answered_by_decides_what_counts_as_an_answer() {
    // Says every event back, and then acknowledges it, as far as it is asked to.
    let server = || {
        recording(|stream| {
            let mut socket = accept_socketio(stream)?;
            while let Received::Text(text) = socket.receive() {
                let Some(event) = text.strip_prefix("42") else {
                    break;
                };
                let digits = event.find('[').unwrap_or(0);
                socket.send_text(&format!("42{}", &event[digits..]));
                if digits > 0 {
                    std::thread::sleep(Duration::from_millis(30));
                    socket.send_text(&format!("43{}[]", &event[..digits]));
                }
            }
            Some(socket)
        })
    };
    for (answered_by, answered, slow, why) in [
        (AnsweredBy::Any, 20, false, "the echo comes first"),
        (AnsweredBy::Echo, 20, false, "nothing asks for the other"),
        (AnsweredBy::Ack, 20, true, "the echo does not count"),
        (AnsweredBy::None, 0, false, "nothing is waited for"),
    ] {
        let (addr, _heard) = server();
        let load = LoadSpec { protocol: V4, echo: Echo { answered_by, ..echo(2, Some(100.0)) }, ..load(10) };
        let measured = run_all(load, addr, Outcome::Established, why);
        let counters = measured.recorder.counters;
        let counted = (counters.messages_sent, counters.echoes_answered, counters.echoes_unanswered);
        assert_eq!(counted, (20, answered, 0), "{answered_by:?}: {why}");
        let service = Metric::Echo(Part::Service);
        let p50 = measured.established(service).quantile_ns(0.5);
        assert_eq!(p50 >= 30_000_000, slow, "{answered_by:?}: {why}: {p50} ns");
    }
}

#[test]
fn the_connect_packet_carries_the_token() {
    let (addr, heard) = recording(|stream| {
        let mut socket = WebSocket::accept(stream)?;
        socket.send_text(OPEN);
        match socket.receive() {
            Received::Text(text) if text == r#"40{"token":"a.b.c"}"# => socket.send_text("40{}"),
            _ => socket.send_text(r#"44{"message":"not valid token"}"#),
        }
        Some(socket)
    });
    let load = LoadSpec { protocol: V4, token_in: TokenIn::Auth("token".into()), ..load(3) };
    run(load, addr).assert_outcomes(&[(Outcome::Established, 3)], "the token was there");
    assert_eq!(heard.lock().unwrap().len(), 3);
}

#[test]
fn sockets_are_held_until_the_last_arrival_ends() {
    const ARRIVALS: u64 = 30;
    let held = Gauge::default();
    let gauge = held.clone();
    let addr = serve(move |stream| {
        if let Some(mut socket) = WebSocket::accept(stream) {
            socket.send_text(OPEN);
            socket.receive();
            // Counted before the client knows that it is let in, since from then on another may leave.
            gauge.up();
            socket.send_text("40{}");
            socket.receive();
            gauge.down();
            socket.receive_all();
        }
    });
    let load = LoadSpec { protocol: V4, ..load(ARRIVALS) };
    run(load, addr).assert_outcomes(&[(Outcome::Established, ARRIVALS)], "all");
    assert_eq!(held.max(), ARRIVALS, "none left before the last had come");
}

#[test]
fn paced_messages_have_a_response_in_the_closed_model() {
    let addr = tungstenite_echo();
    let paced = LoadSpec { echo: echo(5, Some(200.0)), model: Model::Closed { concurrency: 4 }, ..load(8) };
    let measured = run_all(paced, addr, Outcome::Established, "paced");
    assert_eq!(measured.recorder.counters.echoes_answered, 40);
    let response = measured.established(Metric::Echo(Part::Response));
    assert_eq!(response.count(), 40, "a plan of its own, also in the closed model");

    let unpaced = LoadSpec {
        echo: echo(2, None),
        model: Model::Closed { concurrency: 4 },
        hold: Hold::For(Duration::ZERO),
        ..load(8)
    };
    let measured = run(unpaced, addr);
    assert_eq!(measured.recorder.counters.echoes_answered, 16, "finished before the socket leaves");
    let metric = Metric::Echo(Part::Response);
    assert_eq!(measured.established(metric).count(), 0, "no plan");
}

#[test]
fn an_unanswered_message_changes_no_outcome() {
    let (addr, heard) = recording(WebSocket::accept);
    let silent = LoadSpec { echo: echo(3, None), timeout: Duration::from_millis(200), ..load(4) };
    let measured = run_all(silent, addr, Outcome::Established, "let in all the same");
    assert_eq!(measured.recorder.counters.echoes_unanswered, 4, "one each, then no more are sent");
    assert!(heard.lock().unwrap().iter().all(|said| said.len() == 2), "a message and a close");
}

#[test]
fn acknowledgement_or_event_answers_a_message() {
    let addr = serve(|stream| {
        let Some(mut socket) = accept_socketio(stream) else {
            return;
        };
        while let Received::Text(text) = socket.receive() {
            // `42<id>["echo","<payload>"]`: the first by its id, the second by an event of the same name.
            let Some(at) = text.find('[') else { continue };
            match &text[2..at] {
                "0" => socket.send_text("430[]"),
                _ => socket.send_text(&format!("42{}", &text[at..])),
            }
        }
    });
    let load = LoadSpec { protocol: V4, echo: echo(2, None), ..load(5) };
    let measured = run(load, addr);
    assert_eq!(measured.recorder.counters.echoes_answered, 10);
}

#[test]
fn dropped_sockets_stay_established_and_are_counted() {
    let addr = serve(|stream| {
        if let Some(mut socket) = accept_socketio(stream) {
            socket.close(1001, "going away");
            socket.receive_all();
        }
    });
    let load = LoadSpec { protocol: V4, hold: Hold::For(Duration::from_secs(20)), ..load(6) };
    let measured = run_all(load, addr, Outcome::Established, "they were let in");
    assert_eq!(measured.recorder.counters.dropped, 6);
    let reasons: Vec<_> = measured.recorder.drop_reasons().collect();
    assert_eq!(reasons, [(FailureKind::Closed(1001), 6)]);
}
