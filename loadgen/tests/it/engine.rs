//! The engine against real servers: when arrivals begin in each model, and how a run is stopped.

use std::io::Write;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gatecrash::drive::control::Control;
use gatecrash::drive::shard::{FromShard, ShardPlan, spawn};
use gatecrash::ground::outcome::Outcome;
use gatecrash::ground::recorder::{Metric, Part};
use gatecrash::plan::model::Model;
use gatecrash::spec::{Echo, LoadSpec, Protocol};
use wire::engineio::Version;

use crate::engine_driver::{load, open, run_all, start, supply, target};
use crate::engine_servers::{
    Gauge, Received, WebSocket, accept_socketio, answering, read_head, serve, serve_websocket,
};

const RESPONSE: Metric = Metric::Handshake(Part::Response);

#[test]
fn open_model_starts_arrivals_before_earlier_ones_end() {
    const ARRIVALS: u64 = 40;
    let requests = Gauge::default();
    // The server answers no request before all requests have arrived.
    let addr = serve(move |mut stream| {
        let head = read_head(&mut stream);
        requests.up();
        requests.wait_for(ARRIVALS);
        if let Some(mut socket) = WebSocket::upgrade(stream, &head) {
            socket.receive_all();
        }
    });
    let measured = run_all(load(ARRIVALS), addr, Outcome::Established, "all were in flight at once");
    let last_ns = measured.reports.iter().filter_map(|report| report.last_handshake_end_ns).max();
    assert!(last_ns >= Some(39_000_000), "the last one of 40 at 1,000/s is due after 39 ms");
    assert_eq!(measured.recorder.handshake_lag().count(), ARRIVALS);
    assert!(measured.established(RESPONSE).max_ns() >= 39_000_000, "the first waits for the last");
}

#[test]
fn closed_model_never_exceeds_its_concurrency() {
    for (concurrency, workers, why) in [(3, 1, "one shard"), (3, 2, "2 + 1"), (1, 2, "1 + 0")] {
        let in_flight = Gauge::default();
        let gauge = in_flight.clone();
        let addr = serve(move |mut stream| {
            gauge.up();
            read_head(&mut stream);
            gauge.down();
            let _ = stream.write_all(b"HTTP/1.1 404 No\r\n\r\n");
        });
        let load = LoadSpec { model: Model::Closed { concurrency }, workers, ..load(100) };
        let measured = run_all(load, addr, Outcome::Failed, why);
        assert!(in_flight.max() <= u64::from(concurrency), "{why}: {}", in_flight.max());
        assert!(measured.recorder.latencies().all(|(metric, ..)| metric != RESPONSE), "{why}");
    }
}

#[test]
fn auth_grace_does_not_count_as_in_flight_in_the_closed_model() {
    const ARRIVALS: u64 = 10;
    let upgraded = Gauge::default();
    // A message ends the grace. The server sends none before all sockets are upgraded, one after the other.
    let addr = serve_websocket(move |socket| {
        upgraded.up();
        upgraded.wait_for(ARRIVALS);
        socket.send_text("welcome");
    });
    let auth_grace = Duration::from_secs(3600);
    let load = LoadSpec { model: Model::Closed { concurrency: 1 }, workers: 1, auth_grace, ..load(ARRIVALS) };
    run_all(load, addr, Outcome::Established, "a message ends the grace");
}

#[test]
fn stop_interrupts_handshakes_in_flight_and_plans_no_more() {
    let requests = Gauge::default();
    let gauge = requests.clone();
    let addr = serve(move |mut stream| {
        read_head(&mut stream);
        gauge.up();
        read_head(&mut stream);
    });
    let load = LoadSpec { model: Model::Closed { concurrency: 5 }, ..load(1000) };
    let run = start(load, target(addr), supply());
    requests.wait_for(5);
    run.control.stop();
    let measured = run.finish();
    measured.assert_outcomes(&[(Outcome::Interrupted, 5)], "in flight");
    assert_eq!(measured.failures(), []);
    assert!(measured.recorder.latencies().all(|(metric, ..)| matches!(metric, Metric::Phase(_))));
}

#[test]
fn stop_closes_held_sockets_and_drops_arrivals_that_are_not_due() {
    let held = Gauge::default();
    let gauge = held.clone();
    let (sender, received) = mpsc::channel();
    let addr = serve(move |stream| {
        if let Some(mut socket) = accept_socketio(stream) {
            // The first message shows that the client counts the socket as established.
            socket.receive();
            gauge.up();
            sender.send(socket.receive_all()).unwrap();
        }
    });
    // The first arrival is due at once, the second after a quarter of an hour.
    let protocol = Protocol::SocketIo(Version::V4);
    let sparse = LoadSpec { protocol, model: open(0.001), echo: Echo { count: 1, ..load(1).echo }, ..load(1000) };
    let run = start(sparse, target(addr), supply());
    held.wait_for(1);
    run.control.stop();
    let measured = run.finish();
    measured.assert_outcomes(&[(Outcome::Established, 1)], "the others were not due");
    assert_eq!(measured.recorder.counters.echoes_unanswered, 0, "the stop cut the wait for the echo short");
    assert_eq!(received.recv().unwrap(), [Received::Text("41".into()), Received::Close(Some(1000))]);
}

#[test]
fn a_run_can_be_stopped_before_it_starts() {
    let (report, reports) = mpsc::channel();
    let control = Arc::new(Control::new());
    let shard = spawn(ShardPlan {
        index: 0,
        of: 1,
        load: Arc::new(LoadSpec { model: Model::Closed { concurrency: 1 }, ..load(1) }),
        targets: vec![Arc::new(target(answering("")))],
        arrivals: None,
        supply: supply(),
        invalid: Default::default(),
        cpu: None,
        clock: reactor::Clock::start(),
        control: control.clone(),
        report,
    })
    .unwrap();
    control.stop();
    assert!(shard.join());
    let planned = reports.iter().find_map(|message| match message {
        FromShard::Done { report, .. } => Some(report.planned),
        _ => None,
    });
    assert_eq!(planned, Some(0));
}
