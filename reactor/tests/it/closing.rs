//! The end of a socket, as the peer sees it and as the service does.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use reactor::{Closed, Connect, Options};

use crate::test_shard::{Event, OnInput, State, TestShard, echo, reset, with_timeouts};

#[test]
fn the_peer_sees_how_a_socket_is_closed() {
    let close: OnInput = |io, input| {
        io.write(b"bye");
        io.close();
        input.len()
    };
    let finish: OnInput = |io, input| {
        io.write(b"bye");
        io.finish();
        input.len()
    };
    let finish_without_bytes: OnInput = |io, input| {
        io.finish();
        input.len()
    };
    let reset: OnInput = |io, input| {
        io.write(b"bye");
        io.reset();
        input.len()
    };
    for (on_input, expected, why) in [
        (close, Ok("bye"), "close: the bytes, then FIN"),
        (finish, Ok("bye"), "finish: the bytes, then FIN"),
        (finish_without_bytes, Ok(""), "finish: FIN alone"),
        (reset, Err(ErrorKind::ConnectionReset), "reset: no bytes"),
    ] {
        let shard = TestShard::start(Options::default(), on_input);
        let mut client = shard.client();
        client.write_all(b"x").unwrap();
        let mut received = String::new();
        let end = client.read_to_string(&mut received);
        match expected {
            Ok(bytes) => assert_eq!((end.is_ok(), received.as_str()), (true, bytes), "{why}"),
            Err(kind) => assert_eq!(end.unwrap_err().kind(), kind, "{why}"),
        }
        drop(client);
        assert_eq!(shard.next_closed(), Closed::Local, "{why}");
    }
}

#[test]
fn finished_socket_discards_input_until_the_peers_fin() {
    let shard = TestShard::start(Options::default(), |io, input| {
        io.write(b"too late");
        io.finish();
        input.len()
    });
    let mut client = shard.client();
    client.write_all(b"first").unwrap();
    let mut received = String::new();
    client.read_to_string(&mut received).unwrap();
    assert_eq!(received, "too late");
    client.write_all(&vec![0; 1 << 20]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(shard.next(), Event::Accepted);
    assert_eq!(shard.next(), Event::Received(b"first".to_vec()));
    assert_eq!(shard.next(), Event::Closed(Closed::Local));
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "no reset after FIN");
}

#[test]
fn finished_socket_discards_input_up_to_a_limit() {
    // What is read, and what fits into the kernel's buffers on both sides.
    const SENT_BYTES_MAX: usize = 32 << 20;
    let shard = TestShard::start(Options::default(), |io, input| {
        io.write(b"enough");
        io.finish();
        input.len()
    });
    let mut client = shard.client();
    client.write_all(b"first").unwrap();
    let mut received = String::new();
    client.read_to_string(&mut received).unwrap();
    assert_eq!(received, "enough", "the answer comes all the same");
    let mut sent_bytes = 0;
    let piece = vec![0; 1 << 16];
    let error = loop {
        match client.write(&piece) {
            Ok(bytes) => sent_bytes += bytes,
            Err(error) => break error.kind(),
        }
    };
    let is_reset = matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    assert!(is_reset, "{error}");
    assert!(sent_bytes < SENT_BYTES_MAX, "{sent_bytes} bytes were taken");
    assert_eq!(shard.next_closed(), Closed::Local);
}

#[test]
fn finished_socket_waits_a_second_for_the_peers_fin() {
    let shard = TestShard::start(Options::default(), |io, input| {
        io.finish();
        input.len()
    });
    let mut client = shard.client();
    let begun = Instant::now();
    client.write_all(b"x").unwrap();
    assert_eq!(shard.next_closed(), Closed::Local);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    drop(client);
}

#[test]
fn closed_says_how_the_peer_ended_the_connection() {
    let shard = TestShard::start(Options::default(), echo);
    let client = shard.client();
    drop(client);
    assert_eq!(shard.next_closed(), Closed::Peer);
    let client = shard.client();
    reset(client);
    assert_eq!(shard.next_closed(), Closed::Reset);
}

#[test]
fn client_receives_an_answer_in_front_of_a_reset() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let shard = TestShard::start(Options::default(), |_, input| input.len());
    shard.ask(move |sockets| {
        let to = Connect { to, from: None, tls: None };
        sockets.connect(to, State::default(), None).unwrap();
    });
    assert_eq!(shard.next(), Event::Connected);

    // The shard is kept in its turn while the server answers and resets.
    let (resume, resumed) = channel();
    let turn_done = shard.begin(move |_| resumed.recv().unwrap());
    let (mut stream, _) = server.accept().unwrap();
    stream.write_all(b"refused").unwrap();
    reset(stream);
    resume.send(()).unwrap();
    turn_done.recv().unwrap();

    assert_eq!(shard.next(), Event::Received(b"refused".to_vec()));
    assert_eq!(shard.next(), Event::Closed(Closed::Reset));
}

#[test]
fn events_of_a_closed_socket_do_not_reach_the_next_one_in_its_place() {
    let shard = TestShard::start(Options::default(), echo);
    for round in 0..50 {
        let old = shard.client();
        assert_eq!(shard.next(), Event::Accepted, "{round}");
        // All of this waits for the shard at once: the old one's end, the new one and its bytes.
        let (resume, resumed) = channel();
        let turn_done = shard.begin(move |_| resumed.recv().unwrap());
        reset(old);
        let mut new = shard.client();
        new.write_all(b"new").unwrap();
        resume.send(()).unwrap();
        turn_done.recv().unwrap();

        let mut answer = [0; 3];
        new.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"new");
        reset(new);
        let mut events: Vec<_> = (0..4).map(|_| shard.next()).collect();
        assert_eq!(events.pop(), Some(Event::Closed(Closed::Reset)), "the new one");
        for expected in [Event::Accepted, Event::Received(b"new".to_vec()), Event::Closed(Closed::Reset)] {
            assert!(events.contains(&expected), "{round}: {expected:?} in {events:?}");
        }
    }
}

#[test]
fn old_id_reaches_no_socket_and_for_each_reaches_each_once() {
    let shard = TestShard::start(Options::default(), echo);
    let clients: Vec<_> = (0..10).map(|_| shard.client()).collect();
    for _ in &clients {
        assert_eq!(shard.next(), Event::Accepted);
    }
    let ids = shard.ask(|sockets| {
        let mut ids = Vec::new();
        sockets.for_each(|io, _| ids.push(io.id()));
        assert_eq!(sockets.len(), 10);
        ids
    });
    assert_eq!(ids.len(), 10);
    let ended = ids[3];
    assert!(shard.ask(move |sockets| sockets.with(ended, |io, _| io.reset())));
    assert_eq!(shard.next(), Event::Closed(Closed::Local));
    assert!(!shard.ask(move |sockets| sockets.with(ended, |_, _| unreachable!())));

    shard.ask(|sockets| {
        sockets.for_each(|io, _| {
            io.write(b"all");
            io.close();
        });
    });
    let received = clients.into_iter().filter_map(|client| {
        let mut received = String::new();
        with_timeouts(client).read_to_string(&mut received).ok()?;
        Some(received)
    });
    assert_eq!(received.filter(|received| received == "all").count(), 9);
    for _ in 0..9 {
        assert_eq!(shard.next(), Event::Closed(Closed::Local));
    }
    assert!(shard.ask(|sockets| sockets.is_empty()));
}

#[test]
fn stopping_closes_and_reports_every_socket() {
    let shard = TestShard::start(Options::default(), echo);
    let mut client = shard.client();
    assert_eq!(shard.next(), Event::Accepted);
    let events = shard.stop();
    assert_eq!(events.recv().unwrap(), Event::Closed(Closed::Local));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}
