//! The engine against real servers: when arrivals begin, in both models, and how a run is stopped.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use gatecrash::ground::outcome::Outcome;
use gatecrash::ground::recorder::{Metric, Part};
use gatecrash::plan::model::Model;
use gatecrash::spec::{Echo, LoadSpec, Protocol};
use wire::engineio::Version;

use crate::engine_driver::{load, open, run, start, supply, target};
use crate::engine_servers::{Gauge, Said, WebSocket, accept_socketio, answering, read_head, serve};

const V4: Protocol = Protocol::SocketIo(Version::V4);
/// Longer than a test.
const LATE: Duration = Duration::from_secs(3600);

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
        if let Some(mut socket) = WebSocket::grant(stream, &head) {
            socket.hear_all();
        }
    });
    let seen = run(load(ARRIVALS), addr);
    seen.assert_outcomes(&[(Outcome::Established, ARRIVALS)], "all were under way at once");
    let last_ns = seen.reports.iter().filter_map(|report| report.last_handshake_end_ns).max();
    assert!(last_ns >= Some(39_000_000), "the last one of 40 at 1,000/s is due after 39 ms");
    let lag = seen.recorder.handshake_lag();
    assert_eq!(lag.count(), ARRIVALS);
    let response = seen.recorder.latency(Metric::Handshake(Part::Response), Outcome::Established);
    assert!(response.max_ns() >= 39_000_000, "the first waits for the last");
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
        let load = LoadSpec { model: Model::Closed { concurrency }, workers, ..load(100) };
        let seen = run(load, addr);
        seen.assert_outcomes(&[(Outcome::Failed, 100)], why);
        assert!(asking.most() <= u64::from(concurrency), "{why}: {}", asking.most());
        let response = Metric::Handshake(Part::Response);
        assert!(seen.recorder.latencies().all(|(metric, ..)| metric != response), "{why}");
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
    let load = LoadSpec { model: Model::Closed { concurrency: 1 }, workers: 1, auth_grace: LATE, ..load(ARRIVALS) };
    let seen = run(load, addr);
    seen.assert_outcomes(&[(Outcome::Established, ARRIVALS)], "a message ends the grace");
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
    let poised = LoadSpec { model: Model::Closed { concurrency: 5 }, ..load(1000) };
    let run = start(poised, target(addr), supply());
    requests.wait_for(5);
    run.control.stop();
    let seen = run.finish();
    seen.assert_outcomes(&[(Outcome::Interrupted, 5)], "in flight");
    assert_eq!(seen.failures(), []);
    let timed = seen.recorder.latencies().map(|(metric, ..)| metric);
    assert!(timed.into_iter().all(|metric| matches!(metric, Metric::Phase(_))));
}

#[test]
fn a_stop_closes_what_is_held_and_forgets_what_was_not_due() {
    let held = Gauge::default();
    let gauge = held.clone();
    let (tell, heard) = mpsc::channel();
    let addr = serve(move |stream| {
        if let Some(mut socket) = accept_socketio(stream) {
            // Its message says that the client knows it was let in.
            socket.hear();
            gauge.up();
            tell.send(socket.hear_all()).unwrap();
        }
    });
    // One now, the next in a quarter of an hour.
    let sparse = LoadSpec { protocol: V4, model: open(0.001), echo: Echo { count: 1, ..load(1).echo }, ..load(1000) };
    let run = start(sparse, target(addr), supply());
    held.wait_for(1);
    run.control.stop();
    let seen = run.finish();
    seen.assert_outcomes(&[(Outcome::Established, 1)], "the others were not due");
    assert_eq!(seen.recorder.counters.echoes_unanswered, 0, "its time was cut short");
    let farewell = [Said::Text("41".into()), Said::Close(Some(1000))];
    assert_eq!(heard.recv().unwrap(), farewell);
}

#[test]
fn a_run_can_be_stopped_before_it_starts() {
    let clock = reactor::Clock::start();
    let (report, told) = mpsc::channel();
    let control = Arc::new(gatecrash::drive::control::Control::new());
    let shard = gatecrash::drive::shard::spawn(gatecrash::drive::shard::ShardPlan {
        index: 0,
        of: 1,
        load: Arc::new(LoadSpec { model: Model::Closed { concurrency: 1 }, ..load(1) }),
        targets: vec![Arc::new(target(answering("")))],
        arrivals: None,
        supply: supply(),
        invalid: Default::default(),
        cpu: None,
        clock,
        control: control.clone(),
        report,
    })
    .unwrap();
    control.stop();
    assert!(shard.join());
    let planned = told.iter().find_map(|word| match word {
        gatecrash::drive::shard::FromShard::Done { report, .. } => Some(report.planned),
        _ => None,
    });
    assert_eq!(planned, Some(0));
}
