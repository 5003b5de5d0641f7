//! More output than a socket takes at once.

use std::io::{ErrorKind, Read, Write};

use reactor::{Closed, Io, Options};

use crate::test_shard::{Event, TestShard};

const MIB: usize = 1 << 20;
/// More than the kernel buffers for one connection, both sides together (tcp_wmem and tcp_rmem: 4 and 6 MiB).
const LARGE_BYTES: usize = 32 * MIB;

fn pattern(byte: usize) -> u8 {
    (byte % 251) as u8
}

fn answer_large(io: &mut Io<'_>, input: &mut [u8]) -> usize {
    io.out().extend((0..LARGE_BYTES).map(pattern));
    input.len()
}

fn answer_large_and_close(io: &mut Io<'_>, input: &mut [u8]) -> usize {
    io.close();
    answer_large(io, input)
}

fn roomy() -> Options {
    Options { output_bytes_max: 64 * MIB, ..Options::default() }
}

#[test]
fn output_that_does_not_fit_is_sent_when_the_peer_reads() {
    let shard = TestShard::start(roomy(), answer_large);
    let mut client = shard.client();
    client.write_all(b"x").unwrap();
    let mut answer = vec![0; LARGE_BYTES];
    client.read_exact(&mut answer).unwrap();
    assert!(answer.into_iter().eq((0..LARGE_BYTES).map(pattern)));
}

#[test]
fn closing_sends_everything_first() {
    let shard = TestShard::start(roomy(), answer_large_and_close);
    let mut client = shard.client();
    client.write_all(b"x").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer.into_iter().eq((0..LARGE_BYTES).map(pattern)));
    assert_eq!(shard.next_closed(), Closed::Local);
}

#[test]
fn peer_that_does_not_read_is_not_read() {
    let shard = TestShard::start(roomy(), answer_large);
    let mut client = shard.client_with_unread_byte();

    let mut answer = vec![0; LARGE_BYTES];
    client.read_exact(&mut answer).unwrap();
    let mut events = std::iter::repeat_with(|| shard.next());
    let next = events.find(|event| *event != Event::Drained);
    assert_eq!(next, Some(Event::Received(b"2".to_vec())));
}

#[test]
fn unread_output_has_a_limit() {
    let options = Options { output_bytes_max: MIB, ..Options::default() };
    let shard = TestShard::start(options, answer_large);
    let mut client = shard.client();
    client.write_all(b"x").unwrap();
    assert_eq!(shard.next_closed(), Closed::PeerTooSlow);
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn sockets_that_hold_the_most_are_closed_under_memory_pressure() {
    const HELD_BYTES_MAX: usize = 256 * 1024;
    const SMALL_BYTES: usize = 1000;
    let options = Options { held_bytes_max: HELD_BYTES_MAX, ..roomy() };
    // `m` asks for a large answer; anything else is the beginning of a message that never becomes complete.
    let shard = TestShard::start(options, |io, input| match input[0] {
        b'm' => {
            io.write(&vec![0; LARGE_BYTES]);
            input.len()
        }
        _ => 0,
    });
    let mut small: Vec<_> = (0..3).map(|_| shard.client()).collect();
    for client in &mut small {
        client.write_all(&[b'x'; SMALL_BYTES]).unwrap();
    }
    for (sent, why) in [
        (vec![b'x'; MIB], "a long beginning"),
        (b"m".to_vec(), "an answer that is not read"),
        (vec![b'x'; MIB], "there is room again for another"),
    ] {
        let mut greedy = shard.client();
        // It may be closed before all is sent.
        let mut talk = || greedy.write_all(&sent).and_then(|()| greedy.read_to_end(&mut Vec::new()));
        let error = talk().unwrap_err().kind();
        let is_reset = matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        assert!(is_reset, "{why}: {error}");
        assert_eq!(shard.next_closed(), Closed::MemoryPressure, "{why}");
    }
    for client in &mut small {
        client.write_all(b"x").unwrap();
        let whole = Event::Received(vec![b'x'; SMALL_BYTES + 1]);
        while shard.next() != whole {}
    }
}
