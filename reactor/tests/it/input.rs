//! What comes in is offered as it comes, and offered again in front of what comes next until it is used.

use std::io::{Read, Write};

use reactor::{Closed, Io, Options};

use crate::test_shard::{Event, TestShard, echo};

/// Uses whole lines only.
fn lines(io: &mut Io<'_>, input: &mut [u8]) -> usize {
    let used = input.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    io.write(&input[..used]);
    used
}

#[test]
fn bytes_are_echoed() {
    let shard = TestShard::start(Options::default(), echo);
    let mut client = shard.client();
    for message in [b"first".as_slice(), b"second", &[0; 4096]] {
        client.write_all(message).unwrap();
        let mut answer = vec![0; message.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, message);
    }
}

#[test]
fn unused_input_is_offered_again_under_every_cut() {
    const MESSAGE: &[u8] = b"one\ntwo\nthe third line\n";
    let shard = TestShard::start(Options::default(), lines);
    for cut in 1..MESSAGE.len() {
        let (front, back) = MESSAGE.split_at(cut);
        let mut client = shard.client();
        assert_eq!(shard.next(), Event::Accepted);
        client.write_all(front).unwrap();
        assert_eq!(shard.next(), Event::Received(front.to_vec()), "cut {cut}");
        client.write_all(back).unwrap();
        let left_over = match front.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => &MESSAGE[end + 1..],
            None => MESSAGE,
        };
        assert_eq!(shard.next(), Event::Received(left_over.to_vec()), "cut {cut}");
        let mut answer = vec![0; MESSAGE.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, MESSAGE, "cut {cut}");
        drop(client);
        assert_eq!(shard.next(), Event::Closed(Closed::Peer));
    }
}

#[test]
fn unused_input_has_a_limit() {
    let options = Options { input_bytes_max: 1000, read_buffer_bytes: 600, ..Options::default() };
    for (bytes, why) in [(1000, Closed::Peer), (1001, Closed::InputTooLong)] {
        let shard = TestShard::start(options.clone(), |_, _| 0);
        let mut client = shard.client();
        client.write_all(&vec![b'x'; bytes]).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(shard.next_closed(), why, "{bytes}");
    }
}

#[test]
fn used_count_beyond_the_input_is_harmless() {
    let shard = TestShard::start(Options::default(), |io, input| {
        io.write(b"k");
        input.len() + 1
    });
    let mut client = shard.client();
    let mut answer = [0; 1];
    for _ in 0..2 {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut answer).unwrap();
    }
}
