//! The end of a socket, as the peer sees it and as the service is told.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use reactor::{Closed, Connect, Options};

use crate::lab::{Lab, OnInput, Seen, State, echo, patient, reset};

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
    let finish_without_words: OnInput = |io, input| {
        io.finish();
        input.len()
    };
    let reset: OnInput = |io, input| {
        io.write(b"bye");
        io.reset();
        input.len()
    };
    for (on_input, expected, why) in [
        (close, Ok("bye"), "close: the words, then FIN"),
        (finish, Ok("bye"), "finish: the words, then FIN"),
        (finish_without_words, Ok(""), "finish: FIN alone"),
        (reset, Err(ErrorKind::ConnectionReset), "reset: no words"),
    ] {
        let lab = Lab::start(Options::default(), on_input);
        let mut client = lab.client();
        client.write_all(b"x").unwrap();
        let mut heard = String::new();
        let end = client.read_to_string(&mut heard);
        match expected {
            Ok(words) => assert_eq!((end.is_ok(), heard.as_str()), (true, words), "{why}"),
            Err(kind) => assert_eq!(end.unwrap_err().kind(), kind, "{why}"),
        }
        drop(client);
        assert_eq!(lab.next_closed(), Closed::Local, "{why}");
    }
}

#[test]
fn a_finished_socket_hears_the_peer_out_without_telling_the_service() {
    let lab = Lab::start(Options::default(), |io, input| {
        io.write(b"too late");
        io.finish();
        input.len()
    });
    let mut client = lab.client();
    client.write_all(b"first").unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "too late");
    client.write_all(&vec![0; 1 << 20]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(lab.next(), Seen::Accepted);
    assert_eq!(lab.next(), Seen::Received(b"first".to_vec()));
    assert_eq!(lab.next(), Seen::Closed(Closed::Local));
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "no reset after FIN");
}

#[test]
fn a_peer_that_never_stops_sending_is_not_heard_out() {
    // What is read, and what fits into the kernel's buffers on both sides.
    const SENT_BYTES_MAX: usize = 32 << 20;
    let lab = Lab::start(Options::default(), |io, input| {
        io.write(b"enough");
        io.finish();
        input.len()
    });
    let mut client = lab.client();
    client.write_all(b"first").unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "enough", "the answer comes all the same");
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
    assert_eq!(lab.next_closed(), Closed::Local);
}

#[test]
fn a_finished_socket_does_not_wait_for_ever() {
    let lab = Lab::start(Options::default(), |io, input| {
        io.finish();
        input.len()
    });
    let mut client = lab.client();
    let begun = Instant::now();
    client.write_all(b"x").unwrap();
    assert_eq!(lab.next_closed(), Closed::Local);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    drop(client);
}

#[test]
fn the_service_is_told_how_the_peer_left() {
    let lab = Lab::start(Options::default(), echo);
    let client = lab.client();
    drop(client);
    assert_eq!(lab.next_closed(), Closed::Peer);
    let client = lab.client();
    reset(client);
    assert_eq!(lab.next_closed(), Closed::Reset);
}

#[test]
fn a_client_hears_an_answer_that_lies_in_front_of_a_reset() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let lab = Lab::start(Options::default(), |_, input| input.len());
    lab.ask(move |sockets| {
        let to = Connect { to, from: None, tls: None };
        sockets.connect(to, State::default(), None).unwrap();
    });
    assert_eq!(lab.next(), Seen::Connected);

    // The shard looks away while the server answers and resets.
    let (look, looked) = channel();
    let turned = lab.begin(move |_| looked.recv().unwrap());
    let (mut stream, _) = server.accept().unwrap();
    stream.write_all(b"refused").unwrap();
    reset(stream);
    look.send(()).unwrap();
    turned.recv().unwrap();

    assert_eq!(lab.next(), Seen::Received(b"refused".to_vec()));
    assert_eq!(lab.next(), Seen::Closed(Closed::Reset));
}

#[test]
fn a_place_that_is_used_again_within_a_batch_is_not_mistaken() {
    let lab = Lab::start(Options::default(), echo);
    for round in 0..50 {
        let old = lab.client();
        assert_eq!(lab.next(), Seen::Accepted, "{round}");
        // All of this waits for the shard at once: the old one's end, the new one and its bytes.
        let (look, looked) = channel();
        let turned = lab.begin(move |_| looked.recv().unwrap());
        reset(old);
        let mut new = lab.client();
        new.write_all(b"new").unwrap();
        look.send(()).unwrap();
        turned.recv().unwrap();

        let mut answer = [0; 3];
        new.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"new");
        reset(new);
        let mut seen: Vec<_> = (0..4).map(|_| lab.next()).collect();
        assert_eq!(seen.pop(), Some(Seen::Closed(Closed::Reset)), "the new one");
        for expected in [Seen::Accepted, Seen::Received(b"new".to_vec()), Seen::Closed(Closed::Reset)] {
            assert!(seen.contains(&expected), "{round}: {expected:?} in {seen:?}");
        }
    }
}

#[test]
fn an_old_name_reaches_nobody_and_each_socket_is_reached_once() {
    let lab = Lab::start(Options::default(), echo);
    let clients: Vec<_> = (0..10).map(|_| lab.client()).collect();
    for _ in &clients {
        assert_eq!(lab.next(), Seen::Accepted);
    }
    let ids = lab.ask(|sockets| {
        let mut ids = Vec::new();
        sockets.for_each(|io, _| ids.push(io.id()));
        assert_eq!(sockets.len(), 10);
        ids
    });
    assert_eq!(ids.len(), 10);
    let ended = ids[3];
    assert!(lab.ask(move |sockets| sockets.with(ended, |io, _| io.reset())));
    assert_eq!(lab.next(), Seen::Closed(Closed::Local));
    assert!(!lab.ask(move |sockets| sockets.with(ended, |_, _| unreachable!())));

    lab.ask(|sockets| {
        sockets.for_each(|io, _| {
            io.write(b"all");
            io.close();
        });
    });
    let heard = clients.into_iter().filter_map(|client| {
        let mut heard = String::new();
        patient(client).read_to_string(&mut heard).ok()?;
        Some(heard)
    });
    assert_eq!(heard.filter(|heard| heard == "all").count(), 9);
    for _ in 0..9 {
        assert_eq!(lab.next(), Seen::Closed(Closed::Local));
    }
    assert!(lab.ask(|sockets| sockets.is_empty()));
}

#[test]
fn stopping_closes_every_socket_and_says_so() {
    let lab = Lab::start(Options::default(), echo);
    let mut client = lab.client();
    assert_eq!(lab.next(), Seen::Accepted);
    let seen = lab.stop();
    assert_eq!(seen.recv().unwrap(), Seen::Closed(Closed::Local));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}
