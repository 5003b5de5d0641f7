//! The proof that response times are true: servers that keep a known timetable, and the percentiles that follow from it.
//!
//! ```text
//! planned   |    |    |    |    |    |    |    |    |    |     every 2 ms, whatever the server does
//! server    =    =    ########################==========       it stalls; then works off what has queued
//! response  -    -    ------------------------                 the open model: each from its planned instant
//!                     (-------------------)--------
//! closed    -    -    ------------------------=    =           who waits for an answer asks nothing meanwhile:
//!                                                              one long time, where a hundred users waited
//! ```
//!
//! Coordinated omission is the difference between the two last rows (Tene 2013).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use gatecrash::ground::outcome::Outcome;
use gatecrash::ground::recorder::{Metric, Part};
use gatecrash::plan::arrival::Schedule;
use gatecrash::plan::model::{Arrivals, Model};
use gatecrash::spec::LoadSpec;
use wire::http::{RequestHead, write_switching_protocols};

use crate::engine_driver::{Measured, load, start, supply, target};
use crate::engine_servers::read_head;

const MS: u64 = 1_000_000;

/// Serves one handshake at a time, each in `service_ns`, and rests in its stalls.
#[derive(Clone)]
struct Timetable {
    service_ns: u64,
    /// After T0, in rising order.
    stalls: Vec<Range<u64>>,
}

/// When a server was done with each handshake, in their order and after T0. Where the machine kept it from its
/// timetable its clients have waited so much longer, and that is what they must have measured.
type Served = mpsc::Receiver<u64>;

impl Timetable {
    /// When a handshake ends that may begin at `ready_ns`: after the stall, where that falls into one.
    fn end_ns(&self, ready_ns: u64) -> u64 {
        let stall = self.stalls.iter().find(|stall| stall.contains(&ready_ns));
        stall.map_or(ready_ns, |stall| stall.end) + self.service_ns
    }

    /// When it would be done with arrivals at these instants, if nothing kept it from it (Lindley 1952).
    fn ends<'a>(&'a self, due_ns: &'a [u64]) -> impl Iterator<Item = u64> + 'a {
        due_ns.iter().scan(0, |last_end_ns, due_ns| {
            *last_end_ns = self.end_ns((*due_ns).max(*last_end_ns));
            Some(*last_end_ns)
        })
    }

    /// A server that keeps it, once T0 is known; it serves `count` handshakes.
    fn serve(self, count: u64, t0: mpsc::Receiver<Instant>) -> (SocketAddr, Served) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (tell, served) = mpsc::channel();
        thread::spawn(move || {
            let t0 = t0.recv().unwrap();
            let now_ns = || t0.elapsed().as_nanos() as u64;
            let mut held = Vec::new();
            let mut last_end_ns = 0;
            for _ in 0..count {
                // Whoever is there at once has waited, and is served from the last one's end.
                listener.set_nonblocking(true).unwrap();
                let waiting = listener.accept();
                listener.set_nonblocking(false).unwrap();
                let (mut stream, ready_ns) = match waiting {
                    Ok((stream, _)) => (stream, last_end_ns),
                    Err(_) => (listener.accept().unwrap().0, now_ns()),
                };
                stream.set_nonblocking(false).unwrap();
                let answer = answer(&mut stream);
                wait_until(t0, self.end_ns(ready_ns));
                let _ = stream.write_all(&answer);
                last_end_ns = now_ns();
                let _ = tell.send(last_end_ns);
                held.push(stream);
            }
            // Each until its client takes leave.
            for mut stream in held {
                let _ = stream.read(&mut [0; 64]);
            }
        });
        (addr, served)
    }

    /// A run against it, and when it was done with each handshake.
    fn measure(&self, model: Model, count: u64) -> (Measured, Vec<u64>) {
        let (tell, t0) = mpsc::channel();
        let (addr, served) = self.clone().serve(count, t0);
        let load = LoadSpec { model, workers: 1, auth_grace: Duration::from_millis(1), ..load(count) };
        let run = start(load, target(addr), supply());
        tell.send(run.t0).unwrap();
        let measured = run.finish();
        measured.assert_outcomes(&[(Outcome::Established, count)], "all are served");
        (measured, served.iter().collect())
    }
}

fn wait_until(t0: Instant, end_ns: u64) {
    /// A sleep ends late by less than this, on a machine that has time.
    const SPIN: Duration = Duration::from_micros(300);
    let end = t0 + Duration::from_nanos(end_ns);
    thread::sleep(end.saturating_duration_since(Instant::now() + SPIN));
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let head = read_head(stream);
    let key =
        RequestHead::parse(&head).ok().flatten().and_then(|head| head.header("sec-websocket-key").map(str::to_owned));
    let mut answer = Vec::new();
    write_switching_protocols(&mut answer, &key.unwrap_or_default(), None);
    answer
}

fn quantile_ns(measured: &Measured, part: Part, quantile: f64) -> u64 {
    let held = measured.recorder.latency(Metric::Handshake(part), Outcome::Established);
    held.quantile_ns(quantile)
}

const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// How far a measured percentile may be from the true one: two percent, and what a handshake takes by itself.
fn allowed_ns(true_ns: u64) -> u64 {
    true_ns / 50 + 200_000
}

/// Between a client's begin and the server's look at it.
const GRAIN_NS: u64 = 100_000;

/// Other work on the machine can make the generator itself late, which it says (its lag): then the run is repeated, at
/// most this often. A generator that measured wrongly would do so every time.
const ATTEMPTS: usize = 20;

/// Holds the measured percentiles against those that follow from the schedule and the server's doings.
fn check(timetable: &Timetable, model: &Model, count: u64, why: &str) -> Measured {
    let schedule = Schedule::new(model, Some(count), None, 1).unwrap();
    let due_ns: Vec<u64> = schedule.shard(0, 1).map(|arrival| arrival.offset_ns).collect();
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let (measured, served) = timetable.measure(model.clone(), count);
        for (served_ns, end_ns) in served.iter().zip(timetable.ends(&due_ns)) {
            assert!(served_ns + GRAIN_NS >= end_ns, "{why}: it cannot be faster than its timetable");
        }
        let waited = served.iter().zip(&due_ns).map(|(served_ns, due_ns)| served_ns - due_ns);
        let mut waited: Vec<u64> = waited.collect();
        waited.sort_unstable();
        let close = |quantile: f64| {
            let rank = (quantile * waited.len() as f64).ceil() as usize;
            let true_ns = waited[rank.max(1) - 1];
            let measured_ns = quantile_ns(&measured, Part::Response, quantile);
            (measured_ns.abs_diff(true_ns) <= allowed_ns(true_ns), measured_ns, true_ns)
        };
        let all = QUANTILES.map(close);
        if all.iter().all(|(close, ..)| *close) {
            return measured;
        }
        last = Some(all);
    }
    panic!("{why}: (close, measured, true) at {QUANTILES:?}: {last:?}");
}

/// The machine has few processors, and each of these tests wants two of them.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn response_times_match_the_timetable() {
    let _alone = alone();
    let one_at_a_time = Timetable { service_ns: MS, stalls: Vec::new() };
    for (arrivals, why) in [
        (Arrivals::Uniform, "1 ms each at seven tenths of what it can do: nobody waits"),
        (Arrivals::Poisson, "the same, but who comes in a bunch waits for those before"),
    ] {
        let model = Model::Open { rate_per_s: 700.0, arrivals };
        check(&one_at_a_time, &model, 700, why);
    }
}

#[test]
fn open_model_measures_a_stall_that_closed_model_hides() {
    let _alone = alone();
    // A fifth of the time, as if it stalled 1 s in every 5.
    let stalling = Timetable { service_ns: MS / 5, stalls: vec![200 * MS..400 * MS, 1200 * MS..1400 * MS] };
    let model = Model::Open { rate_per_s: 500.0, arrivals: Arrivals::Uniform };
    let open = check(&stalling, &model, 1000, "stalls");
    let (closed, _) = stalling.measure(Model::Closed { concurrency: 1 }, 1000);
    let p95_ns = |measured: &Measured, part| quantile_ns(measured, part, 0.95);
    assert!(p95_ns(&open, Part::Response) > 100 * MS, "one in twenty waited as long");
    assert!(p95_ns(&closed, Part::Service) < 20 * MS, "it asked nothing while it waited");
}
