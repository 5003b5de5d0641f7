//! The loop: sockets by their descriptors, and what is due next.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::time::{ClockId, clock_gettime};

use crate::protocol::{CLOSE_FRAME, Protocol, Stage};
use crate::sources::Sources;
use crate::{Args, Close, Hold};

/// When nothing at all happens for so long, the handshakes under way have failed.
const SILENCE_MAX: Duration = Duration::from_secs(10);

const EVENTS_MAX: usize = 256;
const READ_BYTES: usize = 16 * 1024;

/// Event data of standard input: no descriptor of a socket.
const STDIN_DATA: u64 = u64::MAX;

/// The outcomes of the handshakes.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Handshakes that ended in an authenticated socket.
    pub done: u64,
    /// Handshakes that did not.
    pub failed: u64,
    /// Authenticated sockets that the server closed.
    pub lost: u64,
    /// Pings answered.
    pub heartbeats: u64,
}

/// All sockets of the process.
pub struct Client {
    pub counts: Counts,
    target: SocketAddr,
    protocol: Protocol,
    request: Vec<u8>,
    number: usize,
    pace: Pace,
    sources: Sources,
    close: Close,
    holds: bool,
    epoll: OwnedFd,
    /// By descriptor, which the kernel keeps small.
    sockets: Vec<Option<Socket>>,
    started: usize,
    /// Sockets that are being opened, or closed by a frame.
    under_way: usize,
    started_at: Instant,
    buffer: Box<[u8; READ_BYTES]>,
    out: Vec<u8>,
}

/// When handshakes start.
enum Pace {
    /// So many at once.
    Concurrency(usize),
    /// So many per second.
    Rate(f64),
}

struct Socket {
    fd: OwnedFd,
    stage: Stage,
    /// Received bytes of an incomplete message.
    rest: Vec<u8>,
}

impl Client {
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        if args.rate.is_some() {
            // Its timers then fire when they are due, not up to 50 us later (prctl(2), PR_SET_TIMERSLACK).
            rustix::thread::set_current_timer_slack(Some(std::num::NonZeroU64::MIN))?;
        }
        let host = args.target.to_string();
        let request = args.protocol.request(&host, args.path.as_deref(), &args.token_name, &args.token);
        Ok(Self {
            counts: Counts::default(),
            target: args.target,
            protocol: args.protocol,
            request,
            number: args.number,
            pace: args.rate.map_or(Pace::Concurrency(args.concurrency), Pace::Rate),
            sources: args.source_ip.clone(),
            close: args.close,
            holds: args.hold.is_some(),
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            sockets: Vec::new(),
            started: 0,
            under_way: 0,
            started_at: Instant::now(),
            buffer: Box::new([0; READ_BYTES]),
            out: Vec::new(),
        })
    }

    /// Tries all handshakes. Those that are not held are closed as they complete.
    pub fn open_all(&mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while self.started < self.number || self.under_way > 0 {
            let timeout = self.start_due();
            self.handle_events(&mut events, timeout)?;
            if events.is_empty() && timeout == SILENCE_MAX {
                self.fail_silent();
            }
        }
        Ok(())
    }

    /// Answers heartbeats until the time is over.
    pub fn hold(&mut self, hold: Hold) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let until = match hold {
            Hold::For(time) => Some(Instant::now() + time),
            Hold::UntilStdinEnds => {
                let stdin = std::io::stdin();
                epoll::add(&self.epoll, &stdin, EventData::new_u64(STDIN_DATA), EventFlags::IN)
                    .context("--hold end needs a pipe on standard input")?;
                None
            }
        };
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(());
            }
            self.handle_events(&mut events, left.unwrap_or(SILENCE_MAX))?;
            if events.iter().any(|event| event.data.u64() == STDIN_DATA) {
                epoll::delete(&self.epoll, std::io::stdin())?;
                return Ok(());
            }
        }
    }

    /// Closes the held sockets.
    pub fn close_all(&mut self) -> anyhow::Result<()> {
        for place in 0..self.sockets.len() {
            if matches!(&self.sockets[place], Some(socket) if socket.stage == Stage::Open) {
                self.under_way += 1;
                self.close(place);
            }
        }
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while self.under_way > 0 {
            self.handle_events(&mut events, SILENCE_MAX)?;
            if events.is_empty() {
                self.fail_silent();
            }
        }
        Ok(())
    }

    /// The time and the processor time since the start, as members of a JSON object.
    pub fn cost(&self) -> String {
        let wall_s = self.started_at.elapsed().as_secs_f64();
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_s = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        format!("\"wall_s\":{wall_s:.6},\"cpu_s\":{cpu_s:.6}")
    }

    /// Starts the handshakes that are due. Returns the time until the next.
    fn start_due(&mut self) -> Duration {
        while self.started < self.number {
            match self.pace {
                Pace::Concurrency(most) if self.under_way >= most => break,
                Pace::Concurrency(_) => {}
                Pace::Rate(rate_per_s) => {
                    let due = Duration::from_secs_f64(self.started as f64 / rate_per_s);
                    let wait = due.saturating_sub(self.started_at.elapsed());
                    if !wait.is_zero() {
                        return wait;
                    }
                }
            }
            self.start();
        }
        SILENCE_MAX
    }

    /// Waits for events and handles them.
    fn handle_events(&mut self, events: &mut Vec<Event>, timeout: Duration) -> anyhow::Result<()> {
        events.clear();
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => bail!("epoll_wait: {errno}"),
        }
        for event in events {
            if event.data.u64() != STDIN_DATA {
                self.handle_event(event.data.u64() as usize);
            }
        }
        Ok(())
    }

    fn start(&mut self) {
        self.started += 1;
        match self.connect() {
            Ok(fd) => {
                let place = fd.as_raw_fd() as usize;
                if self.sockets.len() <= place {
                    self.sockets.resize_with(place + 1, || None);
                }
                self.under_way += 1;
                self.sockets[place] = Some(Socket { fd, stage: Stage::Connecting, rest: Vec::new() });
            }
            Err(error) => self.count_failure(&format!("connect: {error}")),
        }
    }

    fn connect(&mut self) -> std::io::Result<OwnedFd> {
        let family = match self.target {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        if let Some(from) = self.sources.next() {
            // The port is chosen by connect(2), which knows that another peer may have it as well.
            setsockopt(&fd, IpBindAddressNoPort, &true)?;
            rustix::net::bind(&fd, &SocketAddr::new(from, 0))?;
        }
        match rustix::net::connect(&fd, &self.target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let data = EventData::new_u64(fd.as_raw_fd() as u64);
        epoll::add(&self.epoll, &fd, data, EventFlags::OUT)?;
        Ok(fd)
    }

    fn handle_event(&mut self, place: usize) {
        let Some(Some(socket)) = self.sockets.get_mut(place) else {
            return;
        };
        if socket.stage == Stage::Connecting {
            return match request(&self.epoll, socket, &self.request) {
                Ok(()) => socket.stage = Stage::Switching,
                Err(errno) => self.end(place, &format!("connect: {errno}")),
            };
        }
        let received = match rustix::net::recv(&socket.fd, &mut self.buffer[..], RecvFlags::empty()) {
            Ok((bytes, _)) => bytes,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(errno) => return self.end(place, &errno.to_string()),
        };
        if received == 0 {
            return self.end(place, "the server closed without an answer");
        }
        let was = socket.stage;
        let handled = self.receive(place, received);
        let is_open = matches!(&self.sockets[place], Some(socket) if socket.stage == Stage::Open);
        if is_open && was != Stage::Open {
            self.counts.done += 1;
            // The server's close may follow the handshake's last message in the same read.
            if self.holds || handled.is_err() {
                self.under_way -= 1;
            } else {
                self.close(place);
            }
        }
        if let Err(why) = handled {
            self.end(place, &why);
        }
    }

    /// Handles received bytes and sends the answers.
    fn receive(&mut self, place: usize, received: usize) -> Result<(), String> {
        let Some(socket) = &mut self.sockets[place] else {
            return Ok(());
        };
        let received = &self.buffer[..received];
        let mut joined = std::mem::take(&mut socket.rest);
        let input = match joined.is_empty() {
            true => received,
            false => {
                joined.extend_from_slice(received);
                &joined
            }
        };
        let (mut used, heartbeats) = (0, &mut self.counts.heartbeats);
        loop {
            let (rest, out) = (&input[used..], &mut self.out);
            match self.protocol.receive(&mut socket.stage, rest, heartbeats, out)? {
                0 => break,
                bytes => used += bytes,
            }
        }
        socket.rest.extend_from_slice(&input[used..]);
        if !self.out.is_empty() {
            let sent = send(&socket.fd, &self.out);
            self.out.clear();
            sent.map_err(|errno| errno.to_string())?;
        }
        Ok(())
    }

    /// Closes an authenticated socket.
    fn close(&mut self, place: usize) {
        let Some(Some(socket)) = self.sockets.get_mut(place) else {
            return;
        };
        match self.close {
            Close::Frame if send(&socket.fd, CLOSE_FRAME).is_ok() => {
                socket.stage = Stage::Closing;
                return;
            }
            // If this fails, the server receives a FIN in place of a RST.
            Close::Reset => {
                let _ = sockopt::set_socket_linger(&socket.fd, Some(Duration::ZERO));
            }
            Close::Frame | Close::Fin => {}
        }
        self.sockets[place] = None;
        self.under_way -= 1;
    }

    /// The server has closed a socket, or did not answer.
    fn end(&mut self, place: usize, why: &str) {
        match self.sockets[place].take().map(|socket| socket.stage) {
            None => {}
            Some(Stage::Closing) => self.under_way -= 1,
            Some(Stage::Open) => {
                self.counts.lost += 1;
                if self.counts.lost == 1 {
                    eprintln!("bare-client: the first lost socket: {why}");
                }
            }
            Some(_) => {
                self.under_way -= 1;
                self.count_failure(why);
            }
        }
    }

    /// Ends the handshakes that got no answer.
    fn fail_silent(&mut self) {
        for place in 0..self.sockets.len() {
            if matches!(&self.sockets[place], Some(socket) if socket.stage != Stage::Open) {
                self.end(place, "no answer");
            }
        }
    }

    fn count_failure(&mut self, why: &str) {
        self.counts.failed += 1;
        if self.counts.failed == 1 {
            eprintln!("bare-client: the first failure: {why}");
        }
    }
}

/// Sends the request over a socket that is connected, or has failed to.
fn request(epoll: &OwnedFd, socket: &Socket, request: &[u8]) -> Result<(), Errno> {
    send(&socket.fd, request)?;
    let data = EventData::new_u64(socket.fd.as_raw_fd() as u64);
    epoll::modify(epoll, &socket.fd, data, EventFlags::IN)
}

/// Sends all of the bytes: they are few, and the kernel has room for them.
fn send(fd: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    match rustix::net::send(fd, bytes, SendFlags::NOSIGNAL)? {
        sent if sent == bytes.len() => Ok(()),
        _ => Err(Errno::NOBUFS),
    }
}
