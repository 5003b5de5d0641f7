//! A shard on a thread of its own: it reports every callback of its service, and does what a test asks for.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use reactor::{Clock, Closed, DetachedSocket, Io, Next, Options, Service, Shard, SocketId, Sockets, Waker, bind};

/// How long a test waits for an event before it fails.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A callback of the service.
#[derive(Debug, PartialEq)]
pub enum Event {
    Accepted,
    AcceptFailed(io::ErrorKind),
    Connected,
    Secured {
        resumed: bool,
    },
    /// The bytes offered, those left over from before included.
    Received(Vec<u8>),
    Drained,
    /// How late the deadline came, ns.
    Deadline(u64),
    Closed(Closed),
}

/// What the sockets do with their input.
pub type OnInput = fn(&mut Io<'_>, &mut [u8]) -> usize;

type Command = Box<dyn FnOnce(&mut Sockets<'_, State>) + Send>;

/// A socket's state.
#[derive(Debug, Default)]
pub struct State {
    /// When its deadline is due, ns, to measure how late it comes.
    pub due_ns: u64,
}

/// A shard on a thread of its own, which ends with this value.
pub struct TestShard {
    pub addr: SocketAddr,
    pub events: Receiver<Event>,
    /// The sockets that have left the shard.
    pub detached: Receiver<DetachedSocket>,
    commands: Sender<Command>,
    stop: Sender<()>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl TestShard {
    /// A shard that listens on a free port.
    pub fn start(options: Options, on_input: OnInput) -> Self {
        Self::with_tls(options, on_input, None)
    }

    /// The same under TLS.
    pub fn with_tls(options: Options, on_input: OnInput, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        Self::on(listener, options, on_input, tls)
    }

    /// A shard that listens on `listener`.
    pub fn on(
        listener: TcpListener,
        options: Options,
        on_input: OnInput,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let (reports, events) = channel();
        let (released, detached) = channel();
        let (commands, asked) = channel::<Command>();
        let (stop, stopped) = channel();
        let service = Recording { on_input, reports, released, asked, stopped };
        let addr = listener.local_addr().unwrap();
        let mut shard = Shard::new(service, Clock::start(), options).unwrap();
        match tls {
            None => shard.listen(listener).unwrap(),
            Some(config) => shard.listen_tls(listener, config).unwrap(),
        }
        let waker = shard.waker();
        let thread = std::thread::spawn(move || {
            shard.run().unwrap();
        });
        Self { addr, events, detached, commands, stop, waker, thread: Some(thread) }
    }

    /// A client whose first byte was read, and whose second is there and is not.
    pub fn client_with_unread_byte(&self) -> TcpStream {
        let mut client = self.client();
        client.write_all(b"1").unwrap();
        assert_eq!(self.next(), Event::Accepted);
        assert_eq!(self.next(), Event::Received(b"1".to_vec()));

        // The byte is there before the turn that answers, so only the pause keeps it from being read.
        client.write_all(b"2").unwrap();
        self.ask(|_| ());
        assert!(self.events.try_recv().is_err(), "read in spite of the pause");
        client
    }

    /// Has the shard do something in its turn, and waits for the answer.
    pub fn ask<R: Send + 'static>(&self, act: impl FnOnce(&mut Sockets<'_, State>) -> R + Send + 'static) -> R {
        let answer = self.begin(act);
        answer.recv_timeout(TIMEOUT).expect("the shard answers")
    }

    /// Has the shard do something in its turn.
    pub fn begin<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Sockets<'_, State>) -> R + Send + 'static,
    ) -> Receiver<R> {
        let (answer, answered) = channel();
        let command = move |sockets: &mut Sockets<'_, State>| {
            let _ = answer.send(act(sockets));
        };
        self.commands.send(Box::new(command)).unwrap();
        self.waker.wake();
        answered
    }

    /// The next callback of the service.
    pub fn next(&self) -> Event {
        self.events.recv_timeout(TIMEOUT).expect("something happens")
    }

    /// Waits for the next socket to end.
    pub fn next_closed(&self) -> Closed {
        loop {
            if let Event::Closed(why) = self.next() {
                return why;
            }
        }
    }

    /// Ends the shard, and gives the events that are left.
    pub fn stop(mut self) -> Receiver<Event> {
        std::mem::replace(&mut self.events, channel().1)
    }

    /// A blocking client of this shard.
    pub fn client(&self) -> TcpStream {
        with_timeouts(TcpStream::connect(self.addr).unwrap())
    }
}

impl Drop for TestShard {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

/// A stream that fails instead of waiting for ever.
pub fn with_timeouts(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// Answers with what came.
pub fn echo(io: &mut Io<'_>, input: &mut [u8]) -> usize {
    io.write(input);
    input.len()
}

/// Makes dropping the stream send a reset.
pub fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

struct Recording {
    on_input: OnInput,
    reports: Sender<Event>,
    released: Sender<DetachedSocket>,
    asked: Receiver<Command>,
    stopped: Receiver<()>,
}

impl Recording {
    fn report(&self, event: Event) {
        // A test that has ended does not receive any more.
        let _ = self.reports.send(event);
    }
}

impl Service for Recording {
    type Socket = State;

    fn accepted(&mut self, _io: &mut Io<'_>) -> Option<State> {
        self.report(Event::Accepted);
        Some(State::default())
    }

    fn accept_failed(&mut self, error: &io::Error) {
        self.report(Event::AcceptFailed(error.kind()));
    }

    fn connected(&mut self, _io: &mut Io<'_>, _socket: &mut State) {
        self.report(Event::Connected);
    }

    fn secured(&mut self, _io: &mut Io<'_>, _socket: &mut State, resumed: bool) {
        self.report(Event::Secured { resumed });
    }

    fn received(&mut self, io: &mut Io<'_>, _socket: &mut State, input: &mut [u8]) -> usize {
        self.report(Event::Received(input.to_vec()));
        (self.on_input)(io, input)
    }

    fn drained(&mut self, _io: &mut Io<'_>, _socket: &mut State) {
        self.report(Event::Drained);
    }

    fn deadline(&mut self, io: &mut Io<'_>, socket: &mut State) {
        let late_ns = io.now_ns().checked_sub(socket.due_ns);
        self.report(Event::Deadline(late_ns.expect("never early")));
    }

    fn closed(&mut self, _now_ns: u64, _id: SocketId, _socket: State, why: Closed) {
        self.report(Event::Closed(why));
    }

    fn released(&mut self, _now_ns: u64, _id: SocketId, detached: DetachedSocket, _socket: State) {
        let _ = self.released.send(detached);
    }

    fn turn(&mut self, sockets: &mut Sockets<'_, State>) -> Next {
        while let Ok(command) = self.asked.try_recv() {
            command(sockets);
        }
        match self.stopped.try_recv() {
            Ok(()) => Next::Stop,
            Err(_) => Next::WhenNeeded,
        }
    }
}
