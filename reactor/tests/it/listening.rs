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

use crate::lab::{Lab, Seen, echo, patient};

#[test]
fn bytes_that_come_along_are_read_at_once() {
    let lab = Lab::start(Options::default(), echo);
    let (look, looked) = channel();
    let turned = lab.begin(move |_| looked.recv().unwrap());
    let mut client = lab.client();
    client.write_all(b"early").unwrap();
    look.send(()).unwrap();
    turned.recv().unwrap();
    // Nothing but the one event of the listener can have told the shard of both.
    assert_eq!(lab.next(), Seen::Accepted);
    assert_eq!(lab.next(), Seen::Received(b"early".to_vec()));
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
}

/// Answers with its shard's number and finishes; turns every second connection away.
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

    let mut heard = [0, 0];
    let mut turned_away = 0;
    for _ in 0..100 {
        let mut client = patient(TcpStream::connect(addr).unwrap());
        client.write_all(b"x").unwrap();
        let mut number = [0];
        match client.read(&mut number) {
            Ok(1) => heard[usize::from(number[0])] += 1,
            Ok(_) => turned_away += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                turned_away += 1;
            }
        }
    }
    stop.store(true, Ordering::Release);
    wakers.iter().for_each(Waker::wake);
    let accepted: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(heard[0] > 0 && heard[1] > 0, "{heard:?}");
    assert_eq!(accepted[0] + accepted[1], 100);
    assert_eq!(turned_away, accepted[0] / 2 + accepted[1] / 2);
}

#[test]
fn connections_are_served_in_a_rush_and_after_it() {
    let options = Options { accepts_per_turn: 16, defer_accept_s: Some(1), ..Options::default() };
    let lab = Lab::start(options, echo);
    let begun = Instant::now();
    let mut rounds = 0;
    // Several windows of a rush, however slow the machine is.
    while rounds < 20 || begun.elapsed() < Duration::from_millis(100) {
        rounds += 1;
        let mut clients: Vec<_> = (0..32).map(|_| lab.client()).collect();
        for client in &mut clients {
            client.write_all(b"x").unwrap();
        }
        for client in &mut clients {
            client.read_exact(&mut [0]).unwrap();
        }
    }
    // One that says nothing is told of all the same, if need be after the time that it was deferred by.
    let accepted = || lab.seen.try_iter().filter(|seen| *seen == Seen::Accepted);
    assert_eq!(accepted().count(), rounds * 32);
    let _silent = lab.client();
    while lab.next() != Seen::Accepted {}
}

#[test]
fn after_listening_has_stopped_the_sockets_live_on() {
    let lab = Lab::start(Options::default(), echo);
    let mut client = lab.client();
    assert_eq!(lab.next(), Seen::Accepted);
    lab.ask(|sockets| sockets.stop_listening());
    let refused = TcpStream::connect(lab.addr).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

#[test]
fn one_that_has_stopped_listening_leaves_the_listener_to_others() {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), true).unwrap();
    let held = listener.try_clone().unwrap();
    let second = Lab::on(listener, Options::default(), echo, None);
    // It came last, so it would be woken first.
    let first = Lab::on(held, Options::default(), echo, None);
    first.ask(|sockets| sockets.stop_listening());
    for _ in 0..20 {
        let mut client = second.client();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    assert!(first.seen.try_recv().is_err(), "it was told of nothing");
}

#[test]
fn a_shard_cannot_be_pinned_to_a_processor_that_is_not_there() {
    let options = Options { cpu: Some(1 << 20), ..Options::default() };
    let shard = Shard::new(Numbered::default(), Clock::start(), options).unwrap();
    assert!(shard.run().is_err());
}

/// Descriptors are a process's, so the shortage happens in a child: this very test, told so by its environment.
#[test]
fn a_shortage_of_descriptors_rests_the_listener_and_passes() {
    const CHILD: &str = "REACTOR_TEST_SHORT_OF_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        return run_short_of_descriptors();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("listening::a_shortage_of_descriptors_rests_the_listener_and_passes")
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "{child:?}");
}

fn run_short_of_descriptors() {
    let lab = Lab::start(Options::default(), echo);
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Descriptors are numbered from the lowest that is free, so the next one's number is the count in use.
    let mut client = lab.client();
    assert_eq!(lab.next(), Seen::Accepted);
    let in_use = std::os::fd::AsRawFd::as_raw_fd(&client) as u64 + 2;
    let limit = |current| Rlimit { current: Some(current), maximum };
    // One more: the second client's own end. None is left for the shard's.
    setrlimit(Resource::Nofile, limit(in_use + 1)).unwrap();
    let begun = Instant::now();
    let mut waiting = lab.client();
    waiting.write_all(b"w").unwrap();
    let mut failures = 0;
    let mut served = 0;
    while failures < 3 || served < 3 {
        match lab.next() {
            Seen::AcceptFailed(_) => {
                failures += 1;
                // Meanwhile the sockets that are there are served.
                client.write_all(b"c").unwrap();
                client.read_exact(&mut [0]).unwrap();
            }
            Seen::Received(bytes) => served += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(100), "50 ms of rest between failures");
    setrlimit(Resource::Nofile, limit(in_use + 64)).unwrap();
    waiting.read_exact(&mut [0]).unwrap();
}
