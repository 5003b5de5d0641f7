//! Time: deadlines are never early, and an exact instant is met better than a timer would.

use std::net::TcpListener;

use reactor::{
    Clock, Closed, Connect, Io, Next, Options, Service, Shard, SocketId, Sockets, TimeSource,
};

use crate::lab::{Lab, Seen, State, echo};

const MS_NS: u64 = 1_000_000;

#[test]
fn deadlines_are_never_early_and_soon_when_idle() {
    let options = Options {
        time: TimeSource::PerEvent,
        ..Options::default()
    };
    let lab = Lab::start(options, echo);
    let mut clients = Vec::new();
    let mut lates_ns = Vec::new();
    for ahead_ms in 1..=30 {
        clients.push(lab.client());
        assert_eq!(lab.next(), Seen::Accepted);
        lab.ask(move |sockets| {
            let due_ns = sockets.now_ns() + ahead_ms * MS_NS / 3;
            sockets.for_each(|io, state| {
                state.due_ns = due_ns;
                io.set_deadline_ns(due_ns);
            });
        });
        for _ in &clients {
            match lab.next() {
                Seen::Deadline(late_ns) => lates_ns.push(late_ns),
                other => panic!("{other:?}"),
            }
        }
    }
    lates_ns.sort_unstable();
    let (tenth_ns, median_ns) = (lates_ns[lates_ns.len() / 10], lates_ns[lates_ns.len() / 2]);
    println!("late by {median_ns} ns at the median");
    // The tenth, because tests share the machine with others; a loop that waits too long is late every time.
    assert!(tenth_ns < 5 * MS_NS, "{tenth_ns}");
}

#[test]
fn a_deadline_can_be_moved_and_cleared() {
    let lab = Lab::start(Options::default(), echo);
    let _client = lab.client();
    assert_eq!(lab.next(), Seen::Accepted);
    lab.ask(|sockets| {
        let now_ns = sockets.now_ns();
        sockets.for_each(|io, state| {
            io.set_deadline_ns(now_ns + 1);
            io.clear_deadline();
            io.set_deadline_ns(now_ns + 1);
            state.due_ns = now_ns + 40 * MS_NS;
            io.set_deadline_ns(state.due_ns);
        });
    });
    assert!(
        matches!(lab.next(), Seen::Deadline(_)),
        "moved: once, not before"
    );
    lab.ask(|sockets| sockets.for_each(|io, _| io.set_deadline_ns(io.now_ns() + 2 * MS_NS)));
    lab.ask(|sockets| sockets.for_each(|io, _| io.clear_deadline()));
    let due_ns = lab.ask(|sockets| sockets.now_ns() + 10 * MS_NS);
    // Another socket's later deadline shows that the time of the cleared one has passed.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    lab.ask(move |sockets| {
        let to = Connect {
            to,
            from: None,
            tls: None,
        };
        sockets.connect(to, State { due_ns }, Some(due_ns)).unwrap();
    });
    let mut deadlines = 0;
    while deadlines == 0 {
        match lab.next() {
            Seen::Deadline(_) => deadlines += 1,
            Seen::Connected => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(lab.seen.try_recv().is_err(), "a cleared deadline came");
}

/// Takes turns at instants 1 ms apart.
struct Paced {
    exactly: bool,
    at_ns: u64,
    lates_ns: Vec<u64>,
}

impl Service for Paced {
    type Socket = ();

    fn received(&mut self, _io: &mut Io<'_>, _socket: &mut (), input: &mut [u8]) -> usize {
        input.len()
    }

    fn deadline(&mut self, _io: &mut Io<'_>, _socket: &mut ()) {}

    fn closed(&mut self, _now_ns: u64, _id: SocketId, _socket: (), _why: Closed) {}

    fn turn(&mut self, sockets: &mut Sockets<'_, ()>) -> Next {
        let now_ns = sockets.now_ns();
        if self.at_ns > 0 {
            let late_ns = now_ns.checked_sub(self.at_ns);
            self.lates_ns.push(late_ns.expect("never early"));
        }
        if self.lates_ns.len() == 200 {
            return Next::Stop;
        }
        self.at_ns = now_ns + MS_NS;
        match self.exactly {
            true => Next::AtExactly(self.at_ns),
            false => Next::At(self.at_ns),
        }
    }
}

#[test]
fn instants_are_met_and_exact_ones_exactly() {
    for exactly in [false, true] {
        let service = Paced {
            exactly,
            at_ns: 0,
            lates_ns: Vec::new(),
        };
        let shard = Shard::new(service, Clock::start(), Options::default()).unwrap();
        let mut lates_ns = shard.run().unwrap().lates_ns;
        lates_ns.sort_unstable();
        let (median_ns, p99_ns) = (lates_ns[100], lates_ns[198]);
        println!("exactly: {exactly}, late by {median_ns} ns at the median, {p99_ns} at p99");
    }
}
