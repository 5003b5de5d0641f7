//! Sockets that leave one shard for another.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use reactor::{Closed, Io, Loose, Options, Parts};
use rustls::{ClientConnection, StreamOwned};

use crate::lab::{Lab, PATIENCE, Seen, State, echo};
use crate::tls::{configs, localhost};

/// Answers the first byte and lets go of the socket, with what follows unused.
fn answer_and_release(io: &mut Io<'_>, input: &mut [u8]) -> usize {
    io.write(&input[..1]);
    io.release();
    1
}

/// Sends `abc` to a shard that lets go of the socket after `a`, moves it to another that answers the rest, and talks on.
/// On the way it goes through `pass`.
fn check(first: &Lab, mut stream: impl Read + Write, pass: fn(Loose) -> Loose, why: &str) {
    let second = Lab::start(Options::default(), echo);
    stream.write_all(b"abc").unwrap();
    let loose = pass(first.loose.recv_timeout(PATIENCE).expect(why));
    let answered = second.ask(move |sockets| {
        let adopted = sockets.adopt(loose, State::default());
        let Ok(id) = adopted else { return false };
        sockets.with_input(id, |io, _, input| echo(io, input))
    });
    assert!(answered, "{why}");
    let mut answer = [0; 3];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"abc", "{why}: an answer of each shard");

    stream.write_all(b"d").unwrap();
    stream.read_exact(&mut answer[..1]).unwrap();
    assert_eq!(answer[0], b'd', "{why}: what comes later comes to the other shard");
    drop(stream);
    assert_eq!(second.next(), Seen::Received(b"d".to_vec()), "{why}");
    assert_eq!(second.next_closed(), Closed::Peer, "{why}");
}

#[test]
fn a_socket_moves_with_its_input() {
    let first = Lab::start(Options::default(), answer_and_release);
    check(&first, first.client(), |loose| loose, "plain");
    let told: Vec<_> = first.stop().into_iter().collect();
    let expected = [Seen::Accepted, Seen::Received(b"abc".to_vec())];
    assert_eq!(told, expected, "it was not closed here");
}

#[test]
fn a_socket_moves_with_its_tls() {
    let (server, client) = configs();
    let first = Lab::with_tls(Options::default(), answer_and_release, Some(server));
    let connection = ClientConnection::new(client, localhost()).unwrap();
    let stream = StreamOwned::new(connection, first.client());
    check(&first, stream, keep_together, "under TLS");
}

#[test]
fn a_socket_is_taken_apart_and_put_together() {
    let first = Lab::start(Options::default(), answer_and_release);
    let pass = |loose: Loose| match loose.into_parts() {
        Ok(parts) => {
            assert_eq!(parts.input, b"bc");
            Loose::from_parts(parts)
        }
        Err(_) => panic!("there is no TLS"),
    };
    check(&first, first.client(), pass, "in parts");
}

/// The keys of TLS stay with their process.
fn keep_together(loose: Loose) -> Loose {
    match loose.into_parts() {
        Ok(_) => panic!("TLS was taken apart"),
        Err(loose) => loose,
    }
}

#[test]
fn what_a_unix_socket_sent_before_its_end_is_read() {
    let lab = Lab::start(Options::default(), |_, input| input.len());
    let (mut here, there) = UnixStream::pair().unwrap();
    there.set_nonblocking(true).unwrap();
    here.write_all(b"last words").unwrap();
    drop(here);
    let parts = Parts { fd: OwnedFd::from(there), input: Vec::new(), output: Vec::new() };
    let adopted = lab.ask(|sockets| {
        let loose = Loose::from_parts(parts).read_to_the_end();
        sockets.adopt(loose, State::default()).is_ok()
    });
    assert!(adopted);
    assert_eq!(lab.next(), Seen::Received(b"last words".to_vec()));
    assert_eq!(lab.next(), Seen::Closed(Closed::Peer));
}
