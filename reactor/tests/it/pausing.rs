//! Sockets that are not read for a while because their service says so.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use reactor::{Closed, Io, Loose, Options, Parts, Reading};

use crate::lab::{Lab, Seen, State};

/// More than the kernel buffers for one connection, both sides together (tcp_wmem and tcp_rmem: 4 and 6 MiB).
const MUCH_BYTES: usize = 32 << 20;

fn pause(io: &mut Io<'_>, input: &mut [u8]) -> usize {
    io.set_reading(Reading::Paused);
    input.len()
}

#[test]
fn a_socket_that_is_paused_is_read_once_it_is_resumed() {
    let lab = Lab::start(Options::default(), pause);
    let client = lab.unread_client();

    lab.ask(|sockets| sockets.for_each(|io, _| io.set_reading(Reading::Answered)));
    assert_eq!(lab.next(), Seen::Received(b"2".to_vec()));
    drop(client);
    lab.ask(|sockets| sockets.for_each(|io, _| io.set_reading(Reading::Answered)));
    assert_eq!(lab.next(), Seen::Closed(Closed::Peer));
}

#[test]
fn a_service_is_told_when_all_that_waited_is_sent() {
    let options = Options { output_bytes_max: 2 * MUCH_BYTES, ..Options::default() };
    let lab = Lab::start(options, |io, input| {
        match &*input {
            b"much" => io.out().resize(MUCH_BYTES, 0),
            _ => io.write(input),
        }
        input.len()
    });
    for (asked, answer_bytes, told, why) in
        [(&b"much"[..], MUCH_BYTES, true, "it had to wait"), (b"a", 1, false, "it was sent at once")]
    {
        let mut client = lab.client();
        assert_eq!(lab.next(), Seen::Accepted);
        client.write_all(asked).unwrap();
        assert_eq!(lab.next(), Seen::Received(asked.to_vec()));
        lab.ask(|_| ());
        assert!(lab.seen.try_recv().is_err(), "{why}: told too early");
        client.read_exact(&mut vec![0; answer_bytes]).unwrap();
        if told {
            assert_eq!(lab.next(), Seen::Drained, "{why}");
        }
        drop(client);
        assert_eq!(lab.next(), Seen::Closed(Closed::Peer), "{why}");
    }
}

#[test]
fn what_a_unix_socket_sent_before_its_end_is_read_though_it_is_paused() {
    let lab = Lab::start(Options::default(), pause);
    let (mut here, there) = UnixStream::pair().unwrap();
    there.set_nonblocking(true).unwrap();
    let parts = Parts { fd: OwnedFd::from(there), input: Vec::new(), output: Vec::new() };
    lab.ask(|sockets| {
        let loose = Loose::from_parts(parts).read_to_the_end();
        let adopted = sockets.adopt(loose, State::default());
        let id = adopted.map_err(|(error, _)| error).unwrap();
        assert!(sockets.with(id, |io, _| io.set_reading(Reading::Paused)));
    });
    here.write_all(b"last words").unwrap();
    lab.ask(|_| ());
    assert!(lab.seen.try_recv().is_err(), "its peer is still there");
    drop(here);
    assert_eq!(lab.next(), Seen::Received(b"last words".to_vec()));
    assert_eq!(lab.next(), Seen::Closed(Closed::Peer));
}
