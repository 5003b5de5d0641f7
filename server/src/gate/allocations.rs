//! Counts the allocations of a shard while raw WebSockets connect, are authenticated and close.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Release};
use std::time::Duration;

use reactor::{Clock, Options, Shard};

use crate::gate::admission::{Admission, ShardAdmission};
use crate::gate::config::Deadlines;
use crate::gate::connections::Connections;
use crate::gate::forwarding::Forwarding;
use crate::gate::routes::Routes;
use crate::gate::service::{Drain, GateService, ShardDrain};
use crate::gate::shared::GateShared;
use crate::gate::wall_clock::{TimeOfDay, WallClock};
use crate::process::LogThrottle;
use crate::session::app::App;
use crate::session::testing::{sessions, token};

const SOCKETS_PER_WAVE: usize = 50;
/// A limit that no step of the test reaches.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens an authenticated WebSocket.
fn connect(gate: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gate).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = [0; 1024];
    let mut bytes = 0;
    while !answer[..bytes].ends_with(b"\r\n\r\n") {
        bytes += stream.read(&mut answer[bytes..]).unwrap();
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// The number of the shard's allocations while `waves` times [`SOCKETS_PER_WAVE`] sockets connect, exchange a message and
/// close.
fn allocations(waves: usize) -> u64 {
    let listener = reactor::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
    let gate = listener.local_addr().unwrap();
    let drain = Arc::new(Drain { ordered: AtomicBool::new(false), within: Duration::ZERO });
    let sessions = sessions(App::Echo);
    let metrics = Arc::clone(&sessions.host.metrics);
    let shared = Arc::new(GateShared::new(Vec::new(), None, 1));
    let deadlines = Deadlines { head: PATIENCE, upgrade: PATIENCE, connect: PATIENCE };
    let time = TimeOfDay::new(WallClock::system());
    let service = GateService {
        connections: Connections::new(sessions, shared, deadlines, time, SOCKETS_PER_WAVE),
        admission: ShardAdmission::new(Arc::new(Admission::new(1_000, None))),
        forwarding: Forwarding::new(0, Arc::new(Routes::new(0, 1, None)), Arc::clone(&metrics)),
        lookup: None,
        drain: ShardDrain::new(Arc::clone(&drain)),
        accept_failures: LogThrottle::default(),
    };
    let mut shard = Shard::new(service, Clock::start(), Options::default()).unwrap();
    shard.listen(listener).unwrap();
    let waker = shard.waker();
    let peers = std::thread::spawn(move || {
        let request = format!(
            "GET /ws?token={} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            token("ann", None)
        );
        // The user's name stays allocated while this session is open.
        let _held = connect(gate, request.as_bytes());
        for wave in 1..=waves {
            let mut clients: Vec<_> = (0..SOCKETS_PER_WAVE).map(|_| connect(gate, request.as_bytes())).collect();
            for client in &mut clients {
                client.write_all(b"\x81\x81\0\0\0\0x").unwrap();
                client.read_exact(&mut [0; 3]).unwrap();
            }
            drop(clients);
            while metrics.connections_closed.get() < (wave * SOCKETS_PER_WAVE) as u64 {
                std::thread::yield_now();
            }
        }
        drain.ordered.store(true, Release);
        waker.wake();
    });
    let counted = allocation_counter::measure(|| drop(shard.run().unwrap()));
    peers.join().unwrap();
    counted.count_total
}

#[test]
fn a_warm_gate_accepts_sockets_without_allocating() {
    let (few, many) = (allocations(3), allocations(20));
    println!("{few} allocations in three waves, {many} in twenty");
    assert!(few > 0, "the counter counts");
    assert_eq!(few, many, "each further socket allocates nothing");
}
