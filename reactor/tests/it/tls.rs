//! TLS on either side, against rustls over blocking streams.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use reactor::{CertificateFault, ClientTls, Closed, Connect, Options};
use rustls::StreamOwned;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use crate::test_shard::{Event, State, TestShard, echo, with_timeouts};

const LARGE_BYTES: usize = 3 << 20;

/// A record's type (RFC 8446 section 5.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// A server's configuration with a certificate for `localhost`, and a client's that trusts it.
pub fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    configs_of(&[&TLS13, &TLS12])
}

fn configs_of(versions: &[&'static SupportedProtocolVersion]) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert);
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    (Arc::new(server), client_config_of(versions, roots))
}

fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    client_config_of(&[&TLS13, &TLS12], roots)
}

fn client_config_of(versions: &[&'static SupportedProtocolVersion], roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// One client of a server that echoes until the client's close_notify. Gives the error that ended it, if any.
fn echo_server(config: Arc<ServerConfig>) -> (SocketAddr, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let stream = with_timeouts(listener.accept()?.0);
        let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let mut buffer = [0; 4096];
        loop {
            match tls.read(&mut buffer)? {
                0 => return Ok(()),
                bytes => tls.write_all(&buffer[..bytes])?,
            }
        }
    });
    (addr, thread)
}

type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// A blocking TLS client of a shard.
pub fn tls_client(shard: &TestShard, config: Arc<ClientConfig>) -> TlsClient {
    StreamOwned::new(ClientConnection::new(config, localhost()).unwrap(), shard.client())
}

/// A shard that echoes over TLS, and a client of it.
fn echo_over_tls() -> (TestShard, TlsClient) {
    let (server, client) = configs();
    let shard = TestShard::with_tls(Options::default(), echo, Some(server));
    let client = tls_client(&shard, client);
    (shard, client)
}

/// A shard that echoes over TLS, and a client of it without TLS.
fn plain_client_of_tls() -> (TestShard, TcpStream) {
    let (server, _) = configs();
    let shard = TestShard::with_tls(Options::default(), echo, Some(server));
    let client = shard.client();
    (shard, client)
}

fn connect(shard: &TestShard, to: SocketAddr, config: Arc<ClientConfig>) {
    shard.ask(move |sockets| {
        let to = Connect { to, from: None, tls: Some(ClientTls { config, name: localhost() }) };
        let id = sockets.connect(to, State::default(), None).unwrap();
        // It goes out once the handshake is complete.
        assert!(sockets.with(id, |io, _| io.write(b"hello")));
    });
}

#[test]
fn client_exchanges_bytes_over_tls() {
    let (server, client) = configs();
    let (to, thread) = echo_server(server);
    let shard = TestShard::start(Options::default(), |io, input| {
        if input.len() == 5 {
            io.close();
            return 5;
        }
        0
    });
    connect(&shard, to, client);
    assert_eq!(shard.next(), Event::Connected);
    assert_eq!(shard.next(), Event::Secured { resumed: false });
    assert_eq!(shard.next(), Event::Received(b"hello".to_vec()));
    assert_eq!(shard.next(), Event::Closed(Closed::Local));
    thread.join().unwrap().expect("closed with close_notify");
}

#[test]
fn untrusted_certificate_ends_the_connection_on_both_sides() {
    let (server, _) = configs();
    let (to, thread) = echo_server(server);
    let shard = TestShard::start(Options::default(), echo);
    connect(&shard, to, client_config(RootCertStore::empty()));
    assert_eq!(shard.next(), Event::Connected);
    match shard.next() {
        Event::Closed(Closed::Tls(error)) => {
            assert_eq!(error.certificate, Some(CertificateFault::UnknownIssuer));
            assert!(error.message.contains("certificate"), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
    let error = thread.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
}

#[test]
fn answer_without_tls_is_reported_as_a_tls_error() {
    let (_, client) = configs();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let shard = TestShard::start(Options::default(), echo);
    connect(&shard, listener.local_addr().unwrap(), client);
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    assert_eq!(shard.next(), Event::Connected);
    match shard.next() {
        Event::Closed(Closed::Tls(error)) => assert_eq!(error.certificate, None, "{error:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn session_is_resumed_where_both_sides_kept_it() {
    let (server, client) = configs();
    let shard = TestShard::with_tls(Options::default(), echo, Some(server));
    for resumed in [false, true] {
        let mut tls = tls_client(&shard, client.clone());
        // The echo comes behind the session's tickets.
        tls.write_all(b"x").unwrap();
        tls.read_exact(&mut [0]).unwrap();
        assert_eq!(shard.next(), Event::Accepted);
        assert_eq!(shard.next(), Event::Secured { resumed });
        drop(tls);
        assert_eq!(shard.next_closed(), Closed::Peer);
    }
}

#[test]
fn server_accepts_tls_under_every_cut_of_the_bytes() {
    let options = Options { read_buffer_bytes: 7, ..Options::default() };
    for (options, version) in
        [(options.clone(), &TLS13), (options, &TLS12), (Options::default(), &TLS13), (Options::default(), &TLS12)]
    {
        let (server, client) = configs_of(&[version]);
        let shard = TestShard::with_tls(options, echo, Some(server.clone()));
        let mut tls = tls_client(&shard, client.clone());
        tls.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        tls.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        assert_eq!(shard.next(), Event::Accepted);
        assert_eq!(shard.next(), Event::Secured { resumed: false });
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        assert_eq!(shard.next_closed(), Closed::Peer);
    }
}

#[test]
fn large_messages_pass_both_ways() {
    let (_shard, mut tls) = echo_over_tls();
    let message: Vec<u8> = (0..LARGE_BYTES).map(|byte| (byte % 251) as u8).collect();
    let mut answer = vec![0; 64 * 1024];
    for part in message.chunks(answer.len()) {
        tls.write_all(part).unwrap();
        tls.read_exact(&mut answer[..part.len()]).unwrap();
        assert!(answer[..part.len()] == *part);
    }
}

#[test]
fn finish_sends_close_notify() {
    let (server, client) = configs();
    let shard = TestShard::with_tls(
        Options::default(),
        |io, input| {
            io.write(b"bye");
            io.finish();
            input.len()
        },
        Some(server),
    );
    let mut tls = tls_client(&shard, client);
    tls.write_all(b"x").unwrap();
    let mut received = String::new();
    tls.read_to_string(&mut received).expect("a clean end of TLS");
    assert_eq!(received, "bye");
    drop(tls);
    assert_eq!(shard.next_closed(), Closed::Local);
}

#[test]
fn fin_without_close_notify_closes_as_the_peers_end() {
    let (shard, mut tls) = echo_over_tls();
    // With the echo the session tickets have been read too; unread they would turn FIN into a reset.
    tls.write_all(b"x").unwrap();
    tls.read_exact(&mut [0]).unwrap();
    drop(tls);
    assert_eq!(shard.next_closed(), Closed::Peer);
}

#[test]
fn idle_socket_holds_no_buffer() {
    let (shard, mut tls) = echo_over_tls();
    assert_eq!(shard.next(), Event::Accepted);
    assert_eq!(shard.ask(|sockets| sockets.buffered()), 1, "a handshake is under way");
    for _ in 0..2 {
        tls.write_all(b"x").unwrap();
        tls.read_exact(&mut [0]).unwrap();
        let (buffered, held_bytes) = shard.ask(|sockets| (sockets.buffered(), sockets.held_bytes()));
        assert_eq!((buffered, held_bytes), (0, 0), "nothing but keys");
    }
}

/// The beginning of a ClientHello of 60 kB, in records as large as may be.
fn long_hello(bytes: usize) -> Vec<u8> {
    let mut message = vec![0; 60_000];
    message[..4].copy_from_slice(&[1, 0, 0xea, 0x5c]);
    let records = message.chunks(1 << 14).flat_map(|part| {
        let head = [HANDSHAKE, 3, 1];
        [&head[..], &(part.len() as u16).to_be_bytes(), part].concat()
    });
    records.take(bytes).collect()
}

#[test]
fn client_may_leave_one_record_unfinished() {
    const RECORD_BYTES: usize = 5 + (1 << 14);
    for (sent_bytes, ends, why) in [
        (RECORD_BYTES - 1, false, "a record but for a byte"),
        (RECORD_BYTES + 6, false, "what a sealed one would take"),
        (2 * RECORD_BYTES, true, "two"),
        (60_000, true, "all but the end"),
    ] {
        let (shard, mut stream) = plain_client_of_tls();
        stream.write_all(&long_hello(sent_bytes)).unwrap();
        if ends {
            let closed = shard.next_closed();
            assert!(matches!(closed, Closed::Tls(_)), "{why}: {closed:?}");
        } else {
            assert_eq!(shard.next(), Event::Accepted, "{why}");
            let held_bytes = shard.ask(|sockets| sockets.held_bytes());
            assert!(held_bytes >= sent_bytes, "{why}: {held_bytes}");
            assert!(shard.events.try_recv().is_err(), "{why}");
        }
    }
}

#[test]
fn buffers_of_tls_count_for_memory_pressure() {
    let options = Options { held_bytes_max: 64 * 1024, ..Options::default() };
    let (server, client) = configs();
    let shard = TestShard::with_tls(options, echo, Some(server));
    let mut good = tls_client(&shard, client);
    let mut greedy = Vec::new();
    for _ in 0..6 {
        let mut stream = shard.client();
        stream.write_all(&long_hello(15_000)).unwrap();
        greedy.push(stream);
    }
    assert_eq!(shard.next_closed(), Closed::MemoryPressure);
    good.write_all(b"x").unwrap();
    good.read_exact(&mut [0]).unwrap();
}

#[test]
fn keys_can_be_changed_within_a_connection() {
    let (_shard, mut tls) = echo_over_tls();
    for _ in 0..3 {
        tls.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        tls.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        tls.conn.refresh_traffic_keys().unwrap();
    }
}

#[test]
fn bytes_without_tls_are_answered_with_an_alert() {
    let long = [HANDSHAKE, 3, 1, 0xff, 0xff];
    for (bytes, why) in
        [(&b"GET / HTTP/1.1\r\n\r\n"[..], "plain HTTP"), (&[0; 16], "zeros"), (&long, "a record above the largest")]
    {
        let (shard, mut stream) = plain_client_of_tls();
        stream.write_all(bytes).unwrap();
        let mut received = Vec::new();
        // What was not read turns the end into a reset.
        let _ = stream.read_to_end(&mut received);
        assert_eq!(received.first(), Some(&ALERT), "{why}");
        match shard.next_closed() {
            Closed::Tls(_) => {}
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn endless_handshake_message_ends_the_connection() {
    let (shard, mut stream) = plain_client_of_tls();
    // A ClientHello of 16 MB, in records of 16 kB.
    let mut record = vec![HANDSHAKE, 3, 1, 0x40, 0];
    record.extend([1, 0xff, 0xff, 0xff]);
    record.resize(5 + (1 << 14), 0);
    let mut taken = 0;
    while stream.write_all(&record).is_ok() {
        taken += record.len();
        record[5..9].fill(0);
        assert!(taken < LARGE_BYTES * 8, "it goes on and on");
    }
    match shard.next_closed() {
        Closed::Tls(_) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn unfinished_handshake_that_this_side_ends_is_closed_with_close_notify() {
    let (server, client) = configs();
    let mut hello = Vec::new();
    let mut connection = ClientConnection::new(client, localhost()).unwrap();
    connection.write_tls(&mut hello).unwrap();
    for (bytes, why) in [(&[][..], "before a word of it"), (&hello[..hello.len() / 2], "half of its hello")] {
        let shard = TestShard::with_tls(Options::default(), echo, Some(server.clone()));
        let mut stream = shard.client();
        stream.write_all(bytes).unwrap();
        assert_eq!(shard.next(), Event::Accepted);
        shard.ask(|sockets| {
            sockets.for_each(|io, _| {
                io.write(b"too slow");
                io.finish();
            });
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert_eq!(received, [ALERT, 3, 3, 0, 2, 1, 0], "{why}");
        drop(stream);
        assert_eq!(shard.next_closed(), Closed::Local, "{why}");
    }
}
