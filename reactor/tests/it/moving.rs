//! Sockets that leave one shard for another.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use reactor::{Closed, DetachedSocket, Io, Options, Parts, Reading};

use crate::test_shard::{Event, State, TIMEOUT, TestShard, echo};
use crate::tls::{configs, tls_client};

/// Answers the first byte and releases the socket, with what follows unused.
fn answer_and_release(io: &mut Io<'_>, input: &mut [u8]) -> usize {
    io.write(&input[..1]);
    io.release();
    1
}

/// Sends `abc` to a shard that releases the socket after `a`, moves it through `pass` to another shard that answers the
/// rest, and sends more.
fn check(first: &TestShard, mut stream: impl Read + Write, pass: fn(DetachedSocket) -> DetachedSocket, why: &str) {
    let second = TestShard::start(Options::default(), echo);
    stream.write_all(b"abc").unwrap();
    let detached = pass(first.detached.recv_timeout(TIMEOUT).expect(why));
    let answered = second.ask(move |sockets| {
        let adopted = sockets.adopt(detached, State::default());
        let Ok(id) = adopted else { return false };
        sockets.with_input(id, |io, _, input| echo(io, input))
    });
    assert!(answered, "{why}");
    let mut answer = [0; 3];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"abc", "{why}: an answer of each shard");

    stream.write_all(b"d").unwrap();
    stream.read_exact(&mut answer[..1]).unwrap();
    assert_eq!(answer[0], b'd', "{why}: later bytes reach the other shard");
    drop(stream);
    assert_eq!(second.next(), Event::Received(b"d".to_vec()), "{why}");
    assert_eq!(second.next_closed(), Closed::Peer, "{why}");
}

#[test]
fn a_socket_moves_with_its_input() {
    let first = TestShard::start(Options::default(), answer_and_release);
    check(&first, first.client(), |detached| detached, "plain");
    let events: Vec<_> = first.stop().into_iter().collect();
    let expected = [Event::Accepted, Event::Received(b"abc".to_vec())];
    assert_eq!(events, expected, "it was not closed here");
}

#[test]
fn a_socket_moves_with_its_tls() {
    let (server, client) = configs();
    let first = TestShard::with_tls(Options::default(), answer_and_release, Some(server));
    let stream = tls_client(&first, client);
    check(&first, stream, keep_together, "under TLS");
}

#[test]
fn socket_moves_in_parts() {
    let first = TestShard::start(Options::default(), answer_and_release);
    let pass = |detached: DetachedSocket| match detached.into_parts() {
        Ok(parts) => {
            assert_eq!(parts.input, b"bc");
            DetachedSocket::from_parts(parts)
        }
        Err(_) => panic!("there is no TLS"),
    };
    check(&first, first.client(), pass, "in parts");
}

/// The keys of TLS stay with their process.
fn keep_together(detached: DetachedSocket) -> DetachedSocket {
    match detached.into_parts() {
        Ok(_) => panic!("TLS was taken apart"),
        Err(detached) => detached,
    }
}

#[test]
fn bytes_of_a_unix_socket_before_its_end_are_read() {
    for (is_paused, sent_first, why) in [
        (false, true, "sent and closed before it was adopted"),
        (true, false, "sent and closed while its reading was paused"),
    ] {
        let shard = TestShard::start(Options::default(), |_, input| input.len());
        let (mut here, there) = UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        if sent_first {
            here.write_all(b"last bytes").unwrap();
            here.shutdown(Shutdown::Both).unwrap();
        }
        let parts = Parts { fd: OwnedFd::from(there), input: Vec::new(), output: Vec::new() };
        shard.ask(move |sockets| {
            let detached = DetachedSocket::from_parts(parts).read_to_the_end();
            let adopted = sockets.adopt(detached, State::default());
            let id = adopted.map_err(|(error, _)| error).unwrap();
            let reading = if is_paused { Reading::Paused } else { Reading::Answered };
            assert!(sockets.with(id, |io, _| io.set_reading(reading)));
        });
        if !sent_first {
            here.write_all(b"last bytes").unwrap();
            shard.ask(|_| ());
            assert!(shard.events.try_recv().is_err(), "{why}: its peer is still there");
        }
        drop(here);
        assert_eq!(shard.next(), Event::Received(b"last bytes".to_vec()), "{why}");
        assert_eq!(shard.next(), Event::Closed(Closed::Peer), "{why}");
    }
}
