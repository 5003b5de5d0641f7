//! Client sockets.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use reactor::{Closed, Connect, Options};
use rustix::net::{AddressFamily, SocketType};

use crate::test_shard::{Event, State, TestShard, echo, with_timeouts};

fn plain(to: SocketAddr) -> Connect {
    Connect { to, from: None, tls: None }
}

#[test]
fn client_connects_and_exchanges_bytes() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let shard = TestShard::start(Options::default(), echo);
    // What is written before the connection is up waits for it.
    shard.ask(move |sockets| {
        let id = sockets.connect(plain(to), State::default(), None).unwrap();
        assert!(sockets.with(id, |io, _| io.write(b"hello")));
    });
    let mut stream = with_timeouts(server.accept().unwrap().0);
    let mut received = [0; 5];
    stream.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"hello");
    assert_eq!(shard.next(), Event::Connected);
    stream.write_all(b"again").unwrap();
    stream.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"again");
    assert_eq!(shard.next(), Event::Received(b"again".to_vec()));
    drop(stream);
    assert_eq!(shard.next(), Event::Closed(Closed::Peer));
}

#[test]
fn first_bytes_are_sent_where_the_connection_is_up_at_once() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let shard = TestShard::start(Options::default(), echo);
    let was_up = shard.ask(move |sockets| {
        let (before_ns, mut was_up) = (sockets.now_ns(), false);
        let state = State::default();
        let up = |_: &mut State, up_ns| was_up = up_ns >= before_ns;
        let id = sockets.connect_and_send(plain(to), b"hello", state, None, up);
        id.unwrap();
        was_up
    });
    assert!(was_up);
    let mut stream = with_timeouts(server.accept().unwrap().0);
    let mut received = [0; 5];
    stream.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"hello");
    stream.write_all(b"again").unwrap();
    assert_eq!(shard.next(), Event::Received(b"again".to_vec()), "the connection is not reported a second time");
}

#[test]
fn first_bytes_are_not_sent_before_the_connection_is_up() {
    let (_server, _first, to) = full_queue();
    let shard = TestShard::start(Options::default(), echo);
    let id = shard.ask(move |sockets| {
        let up = |_: &mut State, _| panic!("it is not up");
        sockets.connect_and_send(plain(to), b"hello", State::default(), None, up)
    });
    let id = id.unwrap();
    assert!(shard.ask(move |sockets| sockets.with(id, |io, _| io.close())));
    assert_eq!(shard.next(), Event::Closed(Closed::Local));
}

#[test]
fn first_bytes_to_an_address_without_listener_are_refused_at_once() {
    let (_bound, to) = unused_address();
    let shard = TestShard::start(Options::default(), echo);
    let (error, _) = shard.ask(move |sockets| {
        let up = |_: &mut State, _| panic!("no listener is there");
        let refused = sockets.connect_and_send(plain(to), b"hello", State::default(), None, up);
        assert!(sockets.is_empty());
        refused.unwrap_err()
    });
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// An address without a listener; it stays so while the socket lives, which is bound to it.
fn unused_address() -> (OwnedFd, SocketAddr) {
    let bound = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let to = SocketAddr::try_from(rustix::net::getsockname(&bound).unwrap()).unwrap();
    (bound, to)
}

/// An address whose queue is full, so that further SYNs are dropped (listen(2)): the listener, and the connection that
/// fills it.
fn full_queue() -> (OwnedFd, TcpStream, SocketAddr) {
    let (server, to) = unused_address();
    rustix::net::listen(&server, 0).unwrap();
    let first = TcpStream::connect(to).unwrap();
    (server, first, to)
}

#[test]
fn address_without_listener_is_refused() {
    let (_bound, to) = unused_address();
    let shard = TestShard::start(Options::default(), echo);
    shard.ask(move |sockets| {
        sockets.connect(plain(to), State::default(), None).unwrap();
    });
    assert_eq!(shard.next(), Event::Closed(Closed::Refused));
}

#[test]
fn connecting_without_an_answer_ends_by_its_deadline() {
    let (_server, _first, to) = full_queue();
    let shard = TestShard::start(Options::default(), echo);
    let id = shard.ask(move |sockets| {
        let due_ns = sockets.now_ns() + 30_000_000;
        let state = State { due_ns };
        sockets.connect(plain(to), state, Some(due_ns)).unwrap()
    });
    let Event::Deadline(_) = shard.next() else {
        panic!("something else than the deadline");
    };
    assert!(shard.ask(move |sockets| sockets.with(id, |io, _| io.close())));
    assert_eq!(shard.next(), Event::Closed(Closed::Local));
}

#[test]
fn the_local_address_is_the_one_asked_for() {
    for (to, from) in [("127.0.0.1:0", IpAddr::from(Ipv4Addr::new(127, 0, 0, 9))), ("[::1]:0", "::1".parse().unwrap())]
    {
        let Ok(server) = TcpListener::bind(to) else {
            eprintln!("{to} left out: this machine has no such address");
            continue;
        };
        let to = server.local_addr().unwrap();
        let shard = TestShard::start(Options::default(), echo);
        shard.ask(move |sockets| {
            let to = Connect { from: Some(from), ..plain(to) };
            sockets.connect(to, State::default(), None).unwrap();
        });
        assert_eq!(server.accept().unwrap().1.ip(), from);
    }
}

#[test]
fn failed_connect_gives_the_state_back() {
    let shard = TestShard::start(Options::default(), echo);
    let state = shard.ask(|sockets| {
        let to = Connect { from: Some("::1".parse().unwrap()), ..plain(SocketAddr::from(([127, 0, 0, 1], 9))) };
        let state = State { due_ns: 77 };
        let (_, state) = sockets.connect(to, state, None).unwrap_err();
        assert!(sockets.is_empty());
        state
    });
    assert_eq!(state.due_ns, 77);
    assert!(shard.events.recv_timeout(Duration::ZERO).is_err());
}
