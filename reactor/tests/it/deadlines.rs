//! Time: deadlines are never early, and an exact instant is met better than a timer would.

use reactor::{Clock, Closed, Io, Next, Options, Service, Shard, SocketId, Sockets, TimeSource};

use crate::test_shard::{Event, TestShard, echo};

const MS_NS: u64 = 1_000_000;

#[test]
fn deadlines_are_never_early_and_soon_when_idle() {
    let options = Options { time: TimeSource::PerEvent, ..Options::default() };
    let shard = TestShard::start(options, echo);
    let mut clients = Vec::new();
    let mut lates_ns = Vec::new();
    for ahead_ms in 1..=30 {
        clients.push(shard.client());
        assert_eq!(shard.next(), Event::Accepted);
        shard.ask(move |sockets| {
            let due_ns = sockets.now_ns() + ahead_ms * MS_NS / 3;
            sockets.for_each(|io, state| {
                state.due_ns = due_ns;
                io.set_deadline_ns(due_ns);
            });
        });
        for _ in &clients {
            match shard.next() {
                Event::Deadline(late_ns) => lates_ns.push(late_ns),
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
fn deadline_can_be_moved_and_cleared() {
    let shard = TestShard::start(Options::default(), echo);
    let _clients = [shard.client(), shard.client()];
    for _ in 0..2 {
        assert_eq!(shard.next(), Event::Accepted);
    }
    // All in one turn: the first socket's deadline is moved back, the second's is set and cleared.
    shard.ask(|sockets| {
        let soon_ns = sockets.now_ns() + 2 * MS_NS;
        let later_ns = soon_ns + 30 * MS_NS;
        let mut is_first = true;
        sockets.for_each(|io, state| {
            io.set_deadline_ns(soon_ns);
            if std::mem::take(&mut is_first) {
                state.due_ns = later_ns;
                io.set_deadline_ns(later_ns);
            } else {
                io.clear_deadline();
            }
        });
    });
    // The moved one is not early (the shard sees to that), and by then the cleared one would have come.
    assert!(matches!(shard.next(), Event::Deadline(_)));
    shard.ask(|_| ());
    assert!(shard.events.try_recv().is_err(), "one deadline, once");
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
fn turns_at_instants_are_never_early() {
    for exactly in [false, true] {
        let service = Paced { exactly, at_ns: 0, lates_ns: Vec::new() };
        let shard = Shard::new(service, Clock::start(), Options::default()).unwrap();
        let mut lates_ns = shard.run().unwrap().lates_ns;
        lates_ns.sort_unstable();
        let (median_ns, p99_ns) = (lates_ns[100], lates_ns[198]);
        println!("exactly: {exactly}, late by {median_ns} ns at the median, {p99_ns} at p99");
    }
}
