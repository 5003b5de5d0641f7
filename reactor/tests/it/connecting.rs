//! Client sockets.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use reactor::{Closed, Connect, Options};
use rustix::net::{AddressFamily, SocketType};

use crate::lab::{Lab, Seen, State, echo, patient};

fn plain(to: SocketAddr) -> Connect {
    Connect { to, from: None, tls: None }
}

#[test]
fn a_client_connects_and_converses() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let lab = Lab::start(Options::default(), echo);
    // What is written before the connection is up waits for it.
    lab.ask(move |sockets| {
        let id = sockets.connect(plain(to), State::default(), None).unwrap();
        assert!(sockets.with(id, |io, _| io.write(b"hello")));
    });
    let mut stream = patient(server.accept().unwrap().0);
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    assert_eq!(lab.next(), Seen::Connected);
    stream.write_all(b"again").unwrap();
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"again");
    assert_eq!(lab.next(), Seen::Received(b"again".to_vec()));
    drop(stream);
    assert_eq!(lab.next(), Seen::Closed(Closed::Peer));
}

#[test]
fn first_words_go_out_with_a_connection_that_is_up_at_once() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let lab = Lab::start(Options::default(), echo);
    let was_up = lab.ask(move |sockets| {
        let (before_ns, mut was_up) = (sockets.now_ns(), false);
        let state = State::default();
        let up = |_: &mut State, up_ns| was_up = up_ns >= before_ns;
        let id = sockets.connect_saying(plain(to), b"hello", state, None, up);
        id.unwrap();
        was_up
    });
    assert!(was_up);
    let mut stream = patient(server.accept().unwrap().0);
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    stream.write_all(b"again").unwrap();
    assert_eq!(lab.next(), Seen::Received(b"again".to_vec()), "the connection is not told of a second time");
}

#[test]
fn first_words_wait_for_a_connection_that_is_not_up_yet() {
    let (_server, _first, to) = full_queue();
    let lab = Lab::start(Options::default(), echo);
    let id = lab.ask(move |sockets| {
        let up = |_: &mut State, _| panic!("it is not up");
        sockets.connect_saying(plain(to), b"hello", State::default(), None, up)
    });
    let id = id.unwrap();
    assert!(lab.ask(move |sockets| sockets.with(id, |io, _| io.close())));
    assert_eq!(lab.next(), Seen::Closed(Closed::Local));
}

#[test]
fn first_words_to_nobody_are_refused_at_once() {
    let (_bound, to) = nobody();
    let lab = Lab::start(Options::default(), echo);
    let (error, _) = lab.ask(move |sockets| {
        let up = |_: &mut State, _| panic!("nobody is there");
        let refused = sockets.connect_saying(plain(to), b"hello", State::default(), None, up);
        assert!(sockets.is_empty());
        refused.unwrap_err()
    });
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// An address where nobody listens; it stays so while the socket lives, which is bound to it.
fn nobody() -> (OwnedFd, SocketAddr) {
    let bound = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let to = SocketAddr::try_from(rustix::net::getsockname(&bound).unwrap()).unwrap();
    (bound, to)
}

/// An address whose queue is full, so that further SYNs are dropped (listen(2)): the listener, and who fills it.
fn full_queue() -> (OwnedFd, TcpStream, SocketAddr) {
    let (server, to) = nobody();
    rustix::net::listen(&server, 0).unwrap();
    let first = TcpStream::connect(to).unwrap();
    (server, first, to)
}

#[test]
fn nobody_listening_is_refused() {
    let (_bound, to) = nobody();
    let lab = Lab::start(Options::default(), echo);
    lab.ask(move |sockets| {
        sockets.connect(plain(to), State::default(), None).unwrap();
    });
    assert_eq!(lab.next(), Seen::Closed(Closed::Refused));
}

#[test]
fn a_connection_that_does_not_come_about_ends_by_its_deadline() {
    let (_server, _first, to) = full_queue();
    let lab = Lab::start(Options::default(), echo);
    let id = lab.ask(move |sockets| {
        let due_ns = sockets.now_ns() + 30_000_000;
        let state = State { due_ns };
        sockets.connect(plain(to), state, Some(due_ns)).unwrap()
    });
    let Seen::Deadline(_) = lab.next() else {
        panic!("something else than the deadline");
    };
    assert!(lab.ask(move |sockets| sockets.with(id, |io, _| io.close())));
    assert_eq!(lab.next(), Seen::Closed(Closed::Local));
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
        let lab = Lab::start(Options::default(), echo);
        lab.ask(move |sockets| {
            let to = Connect { from: Some(from), ..plain(to) };
            sockets.connect(to, State::default(), None).unwrap();
        });
        assert_eq!(server.accept().unwrap().1.ip(), from);
    }
}

#[test]
fn what_cannot_even_begin_gives_the_state_back() {
    let lab = Lab::start(Options::default(), echo);
    let state = lab.ask(|sockets| {
        let to = Connect { from: Some("::1".parse().unwrap()), ..plain(SocketAddr::from(([127, 0, 0, 1], 9))) };
        let state = State { due_ns: 77 };
        let (_, state) = sockets.connect(to, state, None).unwrap_err();
        assert!(sockets.is_empty());
        state
    });
    assert_eq!(state.due_ns, 77);
    assert!(lab.seen.recv_timeout(Duration::ZERO).is_err());
}
