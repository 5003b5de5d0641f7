//! Accepting, exchanging bytes and closing allocate nothing once the shard has had that many sockets before.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use reactor::{Clock, Closed, Io, Next, Options, Service, Shard, SocketId, Sockets, bind};

use crate::test_shard::with_timeouts;

const SOCKETS_PER_WAVE: usize = 50;

/// Echoes, and closes on `q`; stops after so many sockets.
struct Counting {
    left: usize,
}

impl Service for Counting {
    type Socket = u64;

    fn accepted(&mut self, io: &mut Io<'_>) -> Option<u64> {
        io.set_deadline_ns(io.now_ns() + 10_000_000_000);
        Some(0)
    }

    fn received(&mut self, io: &mut Io<'_>, socket: &mut u64, input: &mut [u8]) -> usize {
        *socket += input.len() as u64;
        io.write(input);
        if input.contains(&b'q') {
            io.close();
        }
        input.len()
    }

    fn deadline(&mut self, _io: &mut Io<'_>, _socket: &mut u64) {}

    fn closed(&mut self, _now_ns: u64, _id: SocketId, _socket: u64, _why: Closed) {
        self.left -= 1;
    }

    fn turn(&mut self, _sockets: &mut Sockets<'_, u64>) -> Next {
        match self.left {
            0 => Next::Stop,
            _ => Next::WhenNeeded,
        }
    }
}

/// How often the shard's thread allocates while it serves so many waves of sockets.
fn allocations(waves: usize) -> u64 {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
    let addr = listener.local_addr().unwrap();
    let peers = std::thread::spawn(move || {
        for _ in 0..waves {
            let mut clients: Vec<_> =
                (0..SOCKETS_PER_WAVE).map(|_| with_timeouts(TcpStream::connect(addr).unwrap())).collect();
            // All are open at once before the first is closed.
            for word in [b"x", b"q"] {
                for client in &mut clients {
                    client.write_all(word).unwrap();
                    client.read_exact(&mut [0]).unwrap();
                }
            }
            for client in &mut clients {
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            }
        }
    });
    let service = Counting { left: waves * SOCKETS_PER_WAVE };
    let mut shard = Shard::new(service, Clock::start(), Options::default()).unwrap();
    shard.listen(listener).unwrap();
    let counted = allocation_counter::measure(|| {
        shard.run().unwrap();
    });
    peers.join().unwrap();
    counted.count_total
}

#[test]
fn accepting_allocates_nothing_after_the_first_sockets() {
    let (few, many) = (allocations(1), allocations(20));
    println!("{few} allocations in one wave, {many} in twenty");
    assert!(few > 0, "the counter counts");
    assert_eq!(few, many, "each further socket allocates nothing");
}
