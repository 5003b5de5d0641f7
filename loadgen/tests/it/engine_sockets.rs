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

use crate::engine_driver::{load, run};
use crate::engine_servers::{Gauge, OPEN, Said, WebSocket, accept_socketio, listening, serve};

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
fn an_independent_server_lets_everyone_in_and_echoes() {
    let addr = tungstenite_echo();
    let load = LoadSpec { echo: echo(3, None), ..load(60) };
    let seen = run(load, addr);
    seen.assert_outcomes(&[(Outcome::Established, 60)], "all were let in");
    assert_eq!(seen.recorder.counters.echoes_answered, 180);
    assert_eq!(seen.recorder.counters.echoes_unanswered, 0);
    assert_eq!(seen.recorder.counters.dropped, 0);
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
        let held = seen.recorder.latency(metric, Outcome::Established);
        assert_eq!(held.count(), count, "{}", metric.tag());
    }
    assert!(seen.reports.iter().all(|report| report.cpu_ns > 0));
}

#[test]
fn socketio_of_either_version_is_let_in_and_left_politely() {
    for (protocol, connect, why) in [(V4, true, "4"), (V3, false, "3")] {
        let (addr, heard) = listening(move |stream| {
            if connect {
                return accept_socketio(stream);
            }
            let mut socket = WebSocket::accept(stream)?;
            socket.say(OPEN);
            socket.say("40");
            Some(socket)
        });
        let load = LoadSpec { protocol, hold: Hold::For(Duration::ZERO), ..load(10) };
        let seen = run(load, addr);
        seen.assert_outcomes(&[(Outcome::Established, 10)], why);
        for metric in [Phase::Open, Phase::Auth].map(Metric::Phase) {
            assert_eq!(seen.recorder.latency(metric, Outcome::Established).count(), 10, "{why}");
        }
        let farewell = vec![Said::Text("41".into()), Said::Close(Some(1000))];
        assert_eq!(*heard.lock().unwrap(), vec![farewell; 10], "{why}");
    }
}

#[test]
fn sockets_are_left_as_asked() {
    let polite = Said::Close(Some(1000));
    for (protocol, close, farewell) in [
        (V4, Close::Disconnect, vec![Said::Text("41".into()), polite.clone()]),
        (V4, Close::Frame, vec![polite.clone()]),
        (V4, Close::Fin, vec![]),
        (V4, Close::Reset, vec![Said::Reset]),
        (Protocol::WebSocket, Close::Frame, vec![polite]),
        (Protocol::WebSocket, Close::Fin, vec![]),
        (Protocol::WebSocket, Close::Reset, vec![Said::Reset]),
    ] {
        let (addr, heard) = listening(move |stream| match protocol {
            Protocol::WebSocket => WebSocket::accept(stream),
            Protocol::SocketIo(_) => accept_socketio(stream),
        });
        let told = heard.clone();
        let load = LoadSpec { protocol, close, hold: Hold::For(Duration::ZERO), ..load(5) };
        let seen = run(load, addr);
        seen.assert_outcomes(&[(Outcome::Established, 5)], &format!("{close:?}"));
        assert_eq!(seen.recorder.counters.dropped, 0, "{close:?}: our own doing");
        // The last of the server's threads may still be about to hear of it.
        while told.lock().unwrap().len() < 5 {
            std::thread::yield_now();
        }
        assert_eq!(*heard.lock().unwrap(), vec![farewell; 5], "{close:?}");
    }
}

#[test]
fn sockets_stay_for_as_long_as_was_drawn() {
    let (addr, _heard) = listening(WebSocket::accept);
    let load = LoadSpec { hold: "uniform:200ms..600ms".parse().unwrap(), ..load(200) };
    let begun = Instant::now();
    let seen = run(load, addr);
    seen.assert_outcomes(&[(Outcome::Established, 200)], "all are let in");
    // 200 arrivals in 200 ms: the first to leave does so when the last has come.
    assert!(begun.elapsed() >= Duration::from_millis(550), "{:?}", begun.elapsed());
    assert_eq!(seen.recorder.counters.dropped, 0);
}

#[test]
fn messages_are_answered_as_asked() {
    // Says every event back, and then acknowledges it, as far as it is asked to.
    let server = || {
        listening(|stream| {
            let mut socket = accept_socketio(stream)?;
            while let Said::Text(text) = socket.hear() {
                let Some(event) = text.strip_prefix("42") else {
                    break;
                };
                let digits = event.find('[').unwrap_or(0);
                socket.say(&format!("42{}", &event[digits..]));
                if digits > 0 {
                    std::thread::sleep(Duration::from_millis(30));
                    socket.say(&format!("43{}[]", &event[..digits]));
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
        let seen = run(load, addr);
        seen.assert_outcomes(&[(Outcome::Established, 10)], why);
        let counters = seen.recorder.counters;
        let counted = (counters.messages_sent, counters.echoes_answered, counters.echoes_unanswered);
        assert_eq!(counted, (20, answered, 0), "{answered_by:?}: {why}");
        let service = Metric::Echo(Part::Service);
        let p50 = seen.recorder.latency(service, Outcome::Established).quantile_ns(0.5);
        assert_eq!(p50 >= 30_000_000, slow, "{answered_by:?}: {why}: {p50} ns");
    }
}

#[test]
fn the_connect_packet_carries_the_token() {
    let (addr, heard) = listening(|stream| {
        let mut socket = WebSocket::accept(stream)?;
        socket.say(OPEN);
        match socket.hear() {
            Said::Text(text) if text == r#"40{"token":"a.b.c"}"# => socket.say("40{}"),
            _ => socket.say(r#"44{"message":"not valid token"}"#),
        }
        Some(socket)
    });
    let load = LoadSpec { protocol: V4, token_in: TokenIn::Auth("token".into()), ..load(3) };
    run(load, addr).assert_outcomes(&[(Outcome::Established, 3)], "the token was there");
    assert_eq!(heard.lock().unwrap().len(), 3);
}

#[test]
fn sockets_are_held_until_the_last_arrival_is_decided() {
    const ARRIVALS: u64 = 30;
    let held = Gauge::default();
    let gauge = held.clone();
    let addr = serve(move |stream| {
        if let Some(mut socket) = WebSocket::accept(stream) {
            socket.say(OPEN);
            socket.hear();
            // Counted before the client knows that it is let in, since from then on another may leave.
            gauge.up();
            socket.say("40{}");
            socket.hear();
            gauge.down();
            socket.hear_all();
        }
    });
    let load = LoadSpec { protocol: V4, ..load(ARRIVALS) };
    run(load, addr).assert_outcomes(&[(Outcome::Established, ARRIVALS)], "all");
    assert_eq!(held.most(), ARRIVALS, "none left before the last had come");
}

#[test]
fn planned_messages_keep_their_own_plan_and_answers_are_counted() {
    let addr = tungstenite_echo();
    let paced = LoadSpec { echo: echo(5, Some(200.0)), model: Model::Closed { concurrency: 4 }, ..load(8) };
    let seen = run(paced, addr);
    seen.assert_outcomes(&[(Outcome::Established, 8)], "paced");
    assert_eq!(seen.recorder.counters.echoes_answered, 40);
    let response = seen.recorder.latency(Metric::Echo(Part::Response), Outcome::Established);
    assert_eq!(response.count(), 40, "a plan of its own, also in the closed model");

    let unpaced = LoadSpec {
        echo: echo(2, None),
        model: Model::Closed { concurrency: 4 },
        hold: Hold::For(Duration::ZERO),
        ..load(8)
    };
    let seen = run(unpaced, addr);
    assert_eq!(seen.recorder.counters.echoes_answered, 16, "finished before the socket leaves");
    let metric = Metric::Echo(Part::Response);
    assert_eq!(seen.recorder.latency(metric, Outcome::Established).count(), 0, "no plan");
}

#[test]
fn an_unanswered_message_changes_no_outcome() {
    let (addr, heard) = listening(WebSocket::accept);
    let silent = LoadSpec { echo: echo(3, None), timeout: Duration::from_millis(200), ..load(4) };
    let seen = run(silent, addr);
    seen.assert_outcomes(&[(Outcome::Established, 4)], "let in all the same");
    assert_eq!(seen.recorder.counters.echoes_unanswered, 4, "one each, then no more are sent");
    assert!(heard.lock().unwrap().iter().all(|said| said.len() == 2), "a message and a close");
}

#[test]
fn acknowledgements_answer_as_well_as_events() {
    let addr = serve(|stream| {
        let Some(mut socket) = accept_socketio(stream) else {
            return;
        };
        while let Said::Text(text) = socket.hear() {
            // `42<id>["echo","<payload>"]`: the first by its id, the second by an event of the same name.
            let Some(at) = text.find('[') else { continue };
            match &text[2..at] {
                "0" => socket.say("430[]"),
                _ => socket.say(&format!("42{}", &text[at..])),
            }
        }
    });
    let load = LoadSpec { protocol: V4, echo: echo(2, None), ..load(5) };
    let seen = run(load, addr);
    assert_eq!(seen.recorder.counters.echoes_answered, 10);
}

#[test]
fn sockets_that_the_server_drops_stay_established_and_are_counted() {
    let addr = serve(|stream| {
        if let Some(mut socket) = accept_socketio(stream) {
            socket.close(1001, "going away");
            socket.hear_all();
        }
    });
    let load = LoadSpec { protocol: V4, hold: Hold::For(Duration::from_secs(20)), ..load(6) };
    let seen = run(load, addr);
    seen.assert_outcomes(&[(Outcome::Established, 6)], "they were let in");
    assert_eq!(seen.recorder.counters.dropped, 6);
    let reasons: Vec<_> = seen.recorder.drop_reasons().collect();
    assert_eq!(reasons, [(FailureKind::Closed(1001), 6)]);
}
