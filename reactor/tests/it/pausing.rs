//! Sockets that are not read for a while because their service says so.

use std::io::{Read, Write};

use reactor::{Closed, Io, Options, Reading};

use crate::test_shard::{Event, TestShard};

/// More than the kernel buffers for one connection, both sides together (tcp_wmem and tcp_rmem: 4 and 6 MiB).
const LARGE_BYTES: usize = 32 << 20;

fn pause(io: &mut Io<'_>, input: &mut [u8]) -> usize {
    io.set_reading(Reading::Paused);
    input.len()
}

#[test]
fn paused_socket_is_read_once_it_is_resumed() {
    let shard = TestShard::start(Options::default(), pause);
    let client = shard.client_with_unread_byte();

    shard.ask(|sockets| sockets.for_each(|io, _| io.set_reading(Reading::Answered)));
    assert_eq!(shard.next(), Event::Received(b"2".to_vec()));
    drop(client);
    shard.ask(|sockets| sockets.for_each(|io, _| io.set_reading(Reading::Answered)));
    assert_eq!(shard.next(), Event::Closed(Closed::Peer));
}

#[test]
fn drained_is_called_when_all_waiting_output_is_sent() {
    let options = Options { output_bytes_max: 2 * LARGE_BYTES, ..Options::default() };
    let shard = TestShard::start(options, |io, input| {
        match &*input {
            b"large" => io.out().resize(LARGE_BYTES, 0),
            _ => io.write(input),
        }
        input.len()
    });
    for (asked, answer_bytes, is_drained, why) in
        [(&b"large"[..], LARGE_BYTES, true, "it had to wait"), (b"a", 1, false, "it was sent at once")]
    {
        let mut client = shard.client();
        assert_eq!(shard.next(), Event::Accepted);
        client.write_all(asked).unwrap();
        assert_eq!(shard.next(), Event::Received(asked.to_vec()));
        shard.ask(|_| ());
        assert!(shard.events.try_recv().is_err(), "{why}: called too early");
        client.read_exact(&mut vec![0; answer_bytes]).unwrap();
        if is_drained {
            assert_eq!(shard.next(), Event::Drained, "{why}");
        }
        drop(client);
        assert_eq!(shard.next(), Event::Closed(Closed::Peer), "{why}");
    }
}
