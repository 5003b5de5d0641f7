//! A shard under observation: it tells all that its service is told, and does what a test asks of it.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use reactor::{Clock, Closed, Io, Loose, Next, Options, Service, Shard, SocketId, Sockets, Waker, bind};

/// How long a test waits for what must happen before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the service was told.
#[derive(Debug, PartialEq)]
pub enum Seen {
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

/// What a lab's sockets do with their input.
pub type OnInput = fn(&mut Io<'_>, &mut [u8]) -> usize;

type Command = Box<dyn FnOnce(&mut Sockets<'_, State>) + Send>;

/// A socket's state.
#[derive(Debug, Default)]
pub struct State {
    /// When its deadline is due, ns, to tell how late it comes.
    pub due_ns: u64,
}

/// A shard on a thread of its own, which ends with this value.
pub struct Lab {
    pub addr: SocketAddr,
    pub seen: Receiver<Seen>,
    /// The sockets that the shard has let go of.
    pub loose: Receiver<Loose>,
    commands: Sender<Command>,
    stop: Sender<()>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Lab {
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
        let (tell, seen) = channel();
        let (let_go, loose) = channel();
        let (commands, asked) = channel::<Command>();
        let (stop, stopped) = channel();
        let service = Observed { on_input, tell, let_go, asked, stopped };
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
        Self { addr, seen, loose, commands, stop, waker, thread: Some(thread) }
    }

    /// A client whose first byte was read, and whose second is there and is not.
    pub fn unread_client(&self) -> TcpStream {
        let mut client = self.client();
        client.write_all(b"1").unwrap();
        assert_eq!(self.next(), Seen::Accepted);
        assert_eq!(self.next(), Seen::Received(b"1".to_vec()));

        // The byte is there before the turn that answers, so only the pause keeps it from being read.
        client.write_all(b"2").unwrap();
        self.ask(|_| ());
        assert!(self.seen.try_recv().is_err(), "read in spite of the pause");
        client
    }

    /// Has the shard do something in its turn, and waits for the answer.
    pub fn ask<R: Send + 'static>(&self, act: impl FnOnce(&mut Sockets<'_, State>) -> R + Send + 'static) -> R {
        let answer = self.begin(act);
        answer.recv_timeout(PATIENCE).expect("the shard answers")
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

    /// The next thing that the service is told.
    pub fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("something happens")
    }

    /// Waits for the next socket to end.
    pub fn next_closed(&self) -> Closed {
        loop {
            if let Seen::Closed(why) = self.next() {
                return why;
            }
        }
    }

    /// Ends the shard, and gives what it still has to tell.
    pub fn stop(mut self) -> Receiver<Seen> {
        std::mem::replace(&mut self.seen, channel().1)
    }

    /// A blocking client of this shard.
    pub fn client(&self) -> TcpStream {
        patient(TcpStream::connect(self.addr).unwrap())
    }
}

impl Drop for Lab {
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

/// A stream that fails rather than waits for ever.
pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
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

struct Observed {
    on_input: OnInput,
    tell: Sender<Seen>,
    let_go: Sender<Loose>,
    asked: Receiver<Command>,
    stopped: Receiver<()>,
}

impl Observed {
    fn tell(&self, seen: Seen) {
        // A test that has seen enough does not listen any more.
        let _ = self.tell.send(seen);
    }
}

impl Service for Observed {
    type Socket = State;

    fn accepted(&mut self, _io: &mut Io<'_>) -> Option<State> {
        self.tell(Seen::Accepted);
        Some(State::default())
    }

    fn accept_failed(&mut self, error: &io::Error) {
        self.tell(Seen::AcceptFailed(error.kind()));
    }

    fn connected(&mut self, _io: &mut Io<'_>, _socket: &mut State) {
        self.tell(Seen::Connected);
    }

    fn secured(&mut self, _io: &mut Io<'_>, _socket: &mut State, resumed: bool) {
        self.tell(Seen::Secured { resumed });
    }

    fn received(&mut self, io: &mut Io<'_>, _socket: &mut State, input: &mut [u8]) -> usize {
        self.tell(Seen::Received(input.to_vec()));
        (self.on_input)(io, input)
    }

    fn drained(&mut self, _io: &mut Io<'_>, _socket: &mut State) {
        self.tell(Seen::Drained);
    }

    fn deadline(&mut self, io: &mut Io<'_>, socket: &mut State) {
        let late_ns = io.now_ns().checked_sub(socket.due_ns);
        self.tell(Seen::Deadline(late_ns.expect("never early")));
    }

    fn closed(&mut self, _now_ns: u64, _id: SocketId, _socket: State, why: Closed) {
        self.tell(Seen::Closed(why));
    }

    fn released(&mut self, _now_ns: u64, _id: SocketId, loose: Loose, _socket: State) {
        let _ = self.let_go.send(loose);
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
