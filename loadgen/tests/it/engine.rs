//! The engine against real servers: both models, holding, talking, stopping, tokens.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use gatecrash::outcome::{Failure, FailureKind, Outcome, Phase};
use gatecrash::recorder::{Metric, Part};
use gatecrash::scenario::{
    Echo, Hold, Load, LoginMethod, LoginPlan, MintPlan, Protocol, Scenario, Secret, TokenIn,
    TokenPer, TokenPlan, TokenSource, User,
};
use gatecrash::tokens::{Supply, prepare};
use tokio_tungstenite::tungstenite::Message;
use wire::engineio::Version;

use crate::engine_driver::{open, run, scenario, start, supply, target};
use crate::engine_servers::{
    Gauge, OPEN, Said, WebSocket, accept_socketio, answering, read_head, serve,
};

const V3: Protocol = Protocol::SocketIo(Version::V3);
const V4: Protocol = Protocol::SocketIo(Version::V4);
const LATE: Duration = Duration::from_secs(3600);

/// An echo server that is none of ours.
fn tungstenite_echo() -> SocketAddr {
    let (tell, addr) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
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
    Echo {
        count,
        rate_per_s,
        ..scenario(1).echo
    }
}

/// A server whose connections each tell what they heard.
fn listening(
    accept: impl Fn(TcpStream) -> Option<WebSocket<TcpStream>> + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<Vec<Said>>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = heard.clone();
    let addr = serve(move |stream| {
        if let Some(mut socket) = accept(stream) {
            let said = socket.hear_all();
            all.lock().unwrap().push(said);
        }
    });
    (addr, heard)
}

#[test]
fn an_independent_server_lets_everyone_in_and_echoes() {
    let addr = tungstenite_echo();
    let scenario = Scenario {
        echo: echo(3, None),
        ..scenario(60)
    };
    let seen = run(scenario, addr);
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
        let scenario = Scenario {
            protocol,
            hold: Hold::For(Duration::ZERO),
            ..scenario(10)
        };
        let seen = run(scenario, addr);
        seen.assert_outcomes(&[(Outcome::Established, 10)], why);
        for metric in [Phase::Open, Phase::Auth].map(Metric::Phase) {
            assert_eq!(
                seen.recorder.latency(metric, Outcome::Established).count(),
                10,
                "{why}"
            );
        }
        let farewell = vec![Said::Text("41".into()), Said::Close(Some(1000))];
        assert_eq!(*heard.lock().unwrap(), vec![farewell; 10], "{why}");
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
    let scenario = Scenario {
        protocol: V4,
        token_in: TokenIn::Auth("token".into()),
        ..scenario(3)
    };
    run(scenario, addr).assert_outcomes(&[(Outcome::Established, 3)], "the token was there");
    assert_eq!(heard.lock().unwrap().len(), 3);
}

#[test]
fn the_open_model_waits_for_nobody() {
    const ARRIVALS: u64 = 40;
    let requests = Gauge::default();
    let gauge = requests.clone();
    // Nobody is answered before everybody has asked.
    let addr = serve(move |mut stream| {
        let head = read_head(&mut stream);
        gauge.up();
        gauge.wait_for(ARRIVALS);
        let mut answered = std::io::Cursor::new(head);
        if let Some(mut socket) = WebSocket::accept(Duplex(&mut answered, &mut stream)) {
            drop(socket.hear());
        }
    });
    let seen = run(scenario(ARRIVALS), addr);
    seen.assert_outcomes(
        &[(Outcome::Established, ARRIVALS)],
        "all were under way at once",
    );
    let last_ns = seen
        .reports
        .iter()
        .filter_map(|report| report.last_handshake_end_ns)
        .max();
    assert!(
        last_ns >= Some(39_000_000),
        "the last one of 40 at 1,000/s is due after 39 ms"
    );
    let lag = seen.recorder.handshake_lag();
    assert_eq!(lag.count(), ARRIVALS);
    let response = seen
        .recorder
        .latency(Metric::Handshake(Part::Response), Outcome::Established);
    assert!(
        response.max_ns() >= 39_000_000,
        "the first waits for the last"
    );
}

/// Reads from one, writes to the other.
struct Duplex<'a, R, W>(&'a mut R, &'a mut W);

impl<R: std::io::Read, W: std::io::Read> std::io::Read for Duplex<'_, R, W> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buf)? {
            0 => self.1.read(buf),
            bytes => Ok(bytes),
        }
    }
}

impl<R, W: std::io::Write> std::io::Write for Duplex<'_, R, W> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.1.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.1.flush()
    }
}

#[test]
fn the_closed_model_never_has_more_in_flight_than_its_places() {
    for (concurrency, workers, why) in [(3, 1, "one shard"), (3, 2, "2 + 1"), (1, 2, "1 + 0")] {
        let asking = Gauge::default();
        let gauge = asking.clone();
        let addr = serve(move |mut stream| {
            gauge.up();
            read_head(&mut stream);
            gauge.down();
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 404 No\r\n\r\n");
        });
        let scenario = Scenario {
            load: Load::Closed { concurrency },
            workers,
            ..scenario(100)
        };
        let seen = run(scenario, addr);
        seen.assert_outcomes(&[(Outcome::Failed, 100)], why);
        assert!(
            asking.most() <= u64::from(concurrency),
            "{why}: {}",
            asking.most()
        );
        let response = Metric::Handshake(Part::Response);
        assert!(
            seen.recorder
                .latencies()
                .all(|(metric, ..)| metric != response),
            "{why}"
        );
    }
}

#[test]
fn a_grace_keeps_no_place_of_the_closed_model() {
    const ARRIVALS: u64 = 10;
    let upgraded = Gauge::default();
    // Nobody hears a word, which would end the grace, before all have been upgraded one after the other.
    let addr = serve(move |stream| {
        if let Some(mut socket) = WebSocket::accept(stream) {
            upgraded.up();
            upgraded.wait_for(ARRIVALS);
            socket.say("welcome");
            socket.hear_all();
        }
    });
    let scenario = Scenario {
        load: Load::Closed { concurrency: 1 },
        workers: 1,
        auth_grace: LATE,
        ..scenario(ARRIVALS)
    };
    let seen = run(scenario, addr);
    seen.assert_outcomes(
        &[(Outcome::Established, ARRIVALS)],
        "a message ends the grace",
    );
}

#[test]
fn sockets_are_held_until_the_last_arrival_is_decided() {
    const ARRIVALS: u64 = 30;
    let held = Gauge::default();
    let gauge = held.clone();
    let addr = serve(move |stream| {
        if let Some(mut socket) = accept_socketio(stream) {
            gauge.up();
            socket.hear();
            gauge.down();
            socket.hear_all();
        }
    });
    let scenario = Scenario {
        protocol: V4,
        ..scenario(ARRIVALS)
    };
    run(scenario, addr).assert_outcomes(&[(Outcome::Established, ARRIVALS)], "all");
    assert_eq!(held.most(), ARRIVALS, "none left before the last had come");
}

#[test]
fn planned_messages_keep_their_own_plan_and_answers_are_counted() {
    let addr = tungstenite_echo();
    let paced = Scenario {
        echo: echo(5, Some(200.0)),
        load: Load::Closed { concurrency: 4 },
        ..scenario(8)
    };
    let seen = run(paced, addr);
    seen.assert_outcomes(&[(Outcome::Established, 8)], "paced");
    assert_eq!(seen.recorder.counters.echoes_answered, 40);
    let response = seen
        .recorder
        .latency(Metric::Echo(Part::Response), Outcome::Established);
    assert_eq!(
        response.count(),
        40,
        "a plan of its own, also in the closed model"
    );

    let unpaced = Scenario {
        echo: echo(2, None),
        load: Load::Closed { concurrency: 4 },
        hold: Hold::For(Duration::ZERO),
        ..scenario(8)
    };
    let seen = run(unpaced, addr);
    assert_eq!(
        seen.recorder.counters.echoes_answered, 16,
        "finished before the socket leaves"
    );
    let metric = Metric::Echo(Part::Response);
    assert_eq!(
        seen.recorder.latency(metric, Outcome::Established).count(),
        0,
        "no plan"
    );
}

#[test]
fn an_unanswered_message_changes_no_outcome() {
    let (addr, heard) = listening(WebSocket::accept);
    let silent = Scenario {
        echo: echo(3, None),
        timeout: Duration::from_millis(200),
        ..scenario(4)
    };
    let seen = run(silent, addr);
    seen.assert_outcomes(&[(Outcome::Established, 4)], "let in all the same");
    assert_eq!(
        seen.recorder.counters.echoes_unanswered, 4,
        "one each, then no more are sent"
    );
    assert!(
        heard.lock().unwrap().iter().all(|said| said.len() == 2),
        "a message and a close"
    );
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
    let scenario = Scenario {
        protocol: V4,
        echo: echo(2, None),
        ..scenario(5)
    };
    let seen = run(scenario, addr);
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
    let scenario = Scenario {
        protocol: V4,
        hold: Hold::For(Duration::from_secs(20)),
        ..scenario(6)
    };
    let seen = run(scenario, addr);
    seen.assert_outcomes(&[(Outcome::Established, 6)], "they were let in");
    assert_eq!(seen.recorder.counters.dropped, 6);
}

#[test]
fn a_stop_interrupts_what_is_under_way_and_plans_no_more() {
    let requests = Gauge::default();
    let gauge = requests.clone();
    let addr = serve(move |mut stream| {
        read_head(&mut stream);
        gauge.up();
        read_head(&mut stream);
    });
    // Five at once, the next in an hour.
    let poised = Scenario {
        load: Load::Closed { concurrency: 5 },
        ..scenario(1000)
    };
    let run = start(poised, target(addr), supply());
    requests.wait_for(5);
    run.control.stop();
    let seen = run.finish();
    seen.assert_outcomes(&[(Outcome::Interrupted, 5)], "in flight");
    assert_eq!(seen.failures(), []);
    let timed = seen.recorder.latencies().map(|(metric, ..)| metric);
    assert!(
        timed
            .into_iter()
            .all(|metric| matches!(metric, Metric::Phase(_)))
    );
}

#[test]
fn a_stop_closes_what_is_held_and_forgets_what_was_not_due() {
    let (addr, heard) = listening(accept_socketio);
    let held = Gauge::default();
    let gauge = held.clone();
    let counting = serve(move |stream| {
        if let Some(mut socket) = accept_socketio(stream) {
            gauge.up();
            socket.hear_all();
        }
    });
    for (addr, wait) in [(counting, true), (addr, false)] {
        // One now, the next in a quarter of an hour.
        let sparse = Scenario {
            protocol: V4,
            load: open(0.001),
            workers: 1,
            ..scenario(1000)
        };
        let run = start(sparse, target(addr), supply());
        if wait {
            held.wait_for(1);
        }
        run.control.stop();
        let seen = run.finish();
        let planned: u64 = seen.reports.iter().map(|report| report.planned).sum();
        assert!(planned <= 1, "arrivals that had not come are not planned");
        assert_eq!(seen.recorder.ended(), planned);
    }
    drop(heard);
}

#[test]
fn a_run_can_be_stopped_before_it_starts() {
    let clock = reactor::Clock::start();
    let (report, told) = mpsc::channel();
    let control = Arc::new(gatecrash::engine::Control::new());
    let shard = gatecrash::shard::spawn(gatecrash::shard::ShardPlan {
        index: 0,
        of: 1,
        scenario: Arc::new(Scenario {
            load: Load::Closed { concurrency: 1 },
            ..scenario(1)
        }),
        target: Arc::new(target(answering(""))),
        arrivals: None,
        supply: supply(),
        cpu: None,
        clock,
        control: control.clone(),
        report,
    })
    .unwrap();
    control.stop();
    assert!(shard.join());
    let planned = told.iter().find_map(|word| match word {
        gatecrash::shard::FromShard::Done { report, .. } => Some(report.planned),
        _ => None,
    });
    assert_eq!(planned, Some(0));
}

#[test]
fn what_cannot_be_sent_says_so() {
    let scenario = Scenario {
        load: open(10_000.0),
        ..scenario(20)
    };
    let none = Supply::Ready(Arc::from([]));
    let seen = start(scenario, target(answering("")), none).finish();
    seen.assert_outcomes(&[(Outcome::NotSent, 20)], "no token, no arrival");
    let limit = Failure {
        phase: Phase::Token,
        kind: FailureKind::Limit,
    };
    assert_eq!(seen.failures(), [(limit, 20)]);
}

/// A scenario whose tokens are asked for when their arrival is due.
fn on_demand(connections: u64, source: TokenSource) -> Scenario {
    Scenario {
        users: vec![User {
            name: "gonzalo".into(),
            password: Secret::new(*b"password"),
        }],
        tokens: TokenPlan {
            source,
            per: TokenPer::Connection,
        },
        ..scenario(connections)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn token_service(addr: SocketAddr) -> TokenSource {
    TokenSource::Login(LoginPlan {
        login_url: None,
        method: LoginMethod::Basic,
        token_url: format!("http://{addr}/token").parse().unwrap(),
        token_json_pointer: String::new(),
    })
}

#[test]
fn minted_tokens_come_when_they_are_due() {
    let runtime = runtime();
    let (addr, _) = listening(WebSocket::accept);
    let plan = MintPlan::with_secret(&Secret::new(*b"0123456789abcdef0123456789abcdef"), None);
    let scenario = on_demand(25, TokenSource::Mint(plan.unwrap()));
    let prepared = runtime.block_on(prepare(&scenario)).unwrap();
    let seen = start(scenario, target(addr), prepared.supply).finish();
    seen.assert_outcomes(&[(Outcome::Established, 25)], "minted");
    let token = Metric::Phase(Phase::Token);
    assert_eq!(
        seen.recorder.latency(token, Outcome::Established).count(),
        0,
        "no HTTP for it"
    );
}

#[test]
fn the_time_of_a_token_is_its_own_and_not_the_handshakes() {
    const SLOW: Duration = Duration::from_millis(300);
    let runtime = runtime();
    let (addr, _) = listening(WebSocket::accept);
    // The slow token service is what is tested here: its slowness must not show in the handshake.
    let tokens = serve(|mut stream| {
        read_head(&mut stream);
        std::thread::sleep(SLOW);
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\
            Connection: close\r\n\r\n\"a.b.c\"";
        let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
    });
    let scenario = on_demand(10, token_service(tokens));
    let prepared = runtime.block_on(prepare(&scenario)).unwrap();
    let seen = start(scenario, target(addr), prepared.supply).finish();
    seen.assert_outcomes(&[(Outcome::Established, 10)], "late, but in");
    let least_ns = |metric| {
        seen.recorder
            .latency(metric, Outcome::Established)
            .quantile_ns(0.0)
    };
    assert!(least_ns(Metric::Phase(Phase::Token)) >= 299_000_000);
    assert!(
        least_ns(Metric::Handshake(Part::Response)) < 299_000_000,
        "less the token's time"
    );
}

#[test]
fn a_token_that_is_not_to_be_had_fails_its_arrival() {
    let runtime = runtime();
    let (addr, heard) = listening(WebSocket::accept);
    let tokens = answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let scenario = on_demand(10, token_service(tokens));
    let prepared = runtime.block_on(prepare(&scenario)).unwrap();
    let seen = start(scenario, target(addr), prepared.supply).finish();
    seen.assert_outcomes(&[(Outcome::Failed, 10)], "no token");
    let failure = Failure {
        phase: Phase::Token,
        kind: FailureKind::Http(500),
    };
    assert_eq!(seen.failures(), [(failure, 10)]);
    assert!(
        heard.lock().unwrap().is_empty(),
        "nobody came without a token"
    );
}
