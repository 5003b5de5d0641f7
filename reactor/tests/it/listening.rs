//! Accepting: early data, listeners that are shared, closed, or out of descriptors.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use reactor::{Clock, Closed, Io, Next, Options, Service, Shard, SocketId, Sockets, Waker, bind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::test_shard::{Event, TestShard, echo, with_timeouts};

#[test]
fn bytes_that_came_with_the_connection_are_read_at_once() {
    let shard = TestShard::start(Options::default(), echo);
    let (resume, resumed) = channel();
    let turn_done = shard.begin(move |_| resumed.recv().unwrap());
    let mut client = shard.client();
    client.write_all(b"early").unwrap();
    resume.send(()).unwrap();
    turn_done.recv().unwrap();
    // Nothing but the one event of the listener can have reported both.
    assert_eq!(shard.next(), Event::Accepted);
    assert_eq!(shard.next(), Event::Received(b"early".to_vec()));
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
}

/// Answers with its shard's number and finishes; rejects every second connection.
#[derive(Default)]
struct Numbered {
    number: u8,
    accepted: u32,
    stop: Arc<AtomicBool>,
}

impl Service for Numbered {
    type Socket = ();

    fn accepted(&mut self, io: &mut Io<'_>) -> Option<()> {
        self.accepted += 1;
        io.write(&[self.number]);
        io.set_deadline_ns(0);
        if self.accepted.is_multiple_of(2) {
            return None;
        }
        io.finish();
        Some(())
    }

    fn received(&mut self, _io: &mut Io<'_>, _socket: &mut (), _input: &mut [u8]) -> usize {
        unreachable!("it is finished before anything is read")
    }

    fn deadline(&mut self, _io: &mut Io<'_>, _socket: &mut ()) {
        unreachable!("a finished socket has no deadline of the service's")
    }

    fn closed(&mut self, _now_ns: u64, _id: SocketId, _socket: (), why: Closed) {
        assert_eq!(why, Closed::Local);
    }

    fn turn(&mut self, _sockets: &mut Sockets<'_, ()>) -> Next {
        match self.stop.load(Ordering::Acquire) {
            true => Next::Stop,
            false => Next::WhenNeeded,
        }
    }
}

#[test]
fn two_shards_share_an_address() {
    let stop = Arc::new(AtomicBool::new(false));
    let clock = Clock::start();
    let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), true).unwrap();
    let addr = first.local_addr().unwrap();
    let second = bind(addr, true).unwrap();
    let mut wakers = Vec::new();
    let mut threads = Vec::new();
    for (listener, number) in [(first, 0), (second, 1)] {
        let service = Numbered { number, accepted: 0, stop: stop.clone() };
        let mut shard = Shard::new(service, clock, Options::default()).unwrap();
        shard.listen(listener).unwrap();
        wakers.push(shard.waker());
        threads.push(std::thread::spawn(move || shard.run().unwrap().accepted));
    }

    let mut received = [0, 0];
    let mut rejected = 0;
    for _ in 0..100 {
        let mut client = with_timeouts(TcpStream::connect(addr).unwrap());
        client.write_all(b"x").unwrap();
        let mut number = [0];
        match client.read(&mut number) {
            Ok(1) => received[usize::from(number[0])] += 1,
            Ok(_) => rejected += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                rejected += 1;
            }
        }
    }
    stop.store(true, Ordering::Release);
    wakers.iter().for_each(Waker::wake);
    let accepted: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(received[0] > 0 && received[1] > 0, "{received:?}");
    assert_eq!(accepted[0] + accepted[1], 100);
    assert_eq!(rejected, accepted[0] / 2 + accepted[1] / 2);
}

#[test]
fn connections_are_served_at_a_high_rate_and_after_it() {
    let options = Options { accepts_per_turn: 16, defer_accept_s: Some(1), ..Options::default() };
    let shard = TestShard::start(options, echo);
    let begun = Instant::now();
    let mut rounds = 0;
    // Several windows of a high rate, however slow the machine is.
    while rounds < 20 || begun.elapsed() < Duration::from_millis(100) {
        rounds += 1;
        let mut clients: Vec<_> = (0..32).map(|_| shard.client()).collect();
        for client in &mut clients {
            client.write_all(b"x").unwrap();
        }
        for client in &mut clients {
            client.read_exact(&mut [0]).unwrap();
        }
    }
    // One that sends nothing is reported all the same, if need be after the time that it was deferred by.
    let accepted = || shard.events.try_iter().filter(|event| *event == Event::Accepted);
    assert_eq!(accepted().count(), rounds * 32);
    let _silent = shard.client();
    while shard.next() != Event::Accepted {}
}

#[test]
fn sockets_stay_open_after_listening_has_stopped() {
    let shard = TestShard::start(Options::default(), echo);
    let mut client = shard.client();
    assert_eq!(shard.next(), Event::Accepted);
    shard.ask(|sockets| sockets.stop_listening());
    let refused = TcpStream::connect(shard.addr).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

#[test]
fn shard_that_has_stopped_listening_leaves_the_listener_to_others() {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), true).unwrap();
    let held = listener.try_clone().unwrap();
    let second = TestShard::on(listener, Options::default(), echo, None);
    // It came last, so it would be woken first.
    let first = TestShard::on(held, Options::default(), echo, None);
    first.ask(|sockets| sockets.stop_listening());
    for _ in 0..20 {
        let mut client = second.client();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    assert!(first.events.try_recv().is_err(), "it gets no event");
}

#[test]
fn a_shard_cannot_be_pinned_to_a_processor_that_is_not_there() {
    let options = Options { cpu: Some(1 << 20), ..Options::default() };
    let shard = Shard::new(Numbered::default(), Clock::start(), options).unwrap();
    assert!(shard.run().is_err());
}

/// Descriptors belong to the process, so the shortage happens in a child: this very test, with a variable set.
#[test]
fn shortage_of_descriptors_pauses_the_listener() {
    const CHILD: &str = "REACTOR_TEST_SHORT_OF_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        return run_short_of_descriptors();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("listening::shortage_of_descriptors_pauses_the_listener")
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "{child:?}");
}

fn run_short_of_descriptors() {
    let shard = TestShard::start(Options::default(), echo);
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Descriptors are numbered from the lowest that is free, so the next one's number is the count in use.
    let mut client = shard.client();
    assert_eq!(shard.next(), Event::Accepted);
    let in_use = std::os::fd::AsRawFd::as_raw_fd(&client) as u64 + 2;
    let limit = |current| Rlimit { current: Some(current), maximum };
    // One more: the second client's own end. None is left for the shard's.
    setrlimit(Resource::Nofile, limit(in_use + 1)).unwrap();
    let begun = Instant::now();
    let mut waiting = shard.client();
    waiting.write_all(b"w").unwrap();
    let mut failures = 0;
    let mut served = 0;
    while failures < 3 || served < 3 {
        match shard.next() {
            Event::AcceptFailed(_) => {
                failures += 1;
                // Meanwhile the sockets that are there are served.
                client.write_all(b"c").unwrap();
                client.read_exact(&mut [0]).unwrap();
            }
            Event::Received(bytes) => served += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(100), "a pause of 50 ms between failures");
    setrlimit(Resource::Nofile, limit(in_use + 64)).unwrap();
    waiting.read_exact(&mut [0]).unwrap();
}
