//! The loop: one thread, one epoll set, one service.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::alarm::Alarm;
use crate::deliver::{Buffers, end_of, receive};
use crate::driver::{Driver, reset_on_close};
use crate::io::Io;
use crate::link::{Closing, Link, Reading, Stage};
use crate::listen::{Accepted, Listeners};
use crate::pacing::{Clock, EVENTS_MAX, become_punctual, wait};
use crate::rush::Rush;
use crate::service::{Closed, Next, Service};
use crate::slab::{Entry, SocketId, Table};
use crate::sockets::{Loose, Sockets};
use crate::tls::Tls;
use crate::waker::Waker;

/// Event data of the waker: no socket's index and no listener's place.
const WAKER_DATA: u64 = u32::MAX as u64;

/// Event data of the alarm: a socket's lower half, its index, lies below 2^31, and a listener's is below 2^32.
const ALARM_DATA: u64 = u64::MAX;

/// How a shard runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The processor that the shard's thread is pinned to.
    pub cpu: Option<usize>,
    /// How much one read takes, in the one buffer that all sockets of the shard share.
    pub read_buffer_bytes: usize,
    /// Input that a service may leave unused per socket: a frame of the largest size with what precedes it. Beyond it
    /// the socket ends with [`Closed::InputTooLong`].
    pub input_bytes_max: usize,
    /// Output that may wait per socket. Beyond it the socket ends with [`Closed::PeerTooSlow`].
    pub output_bytes_max: usize,
    /// Reading pauses while more output than this waits: what a peer that does not read can make a server hold is this
    /// and the answers to one read.
    pub output_pause_bytes: usize,
    /// What all buffers of all sockets may take together, TLS's among them but not its keys. Beyond it the sockets with
    /// the most end with [`Closed::Greediest`].
    pub held_bytes_max: usize,
    /// When the clock is read.
    pub time: TimeSource,
    /// Connections accepted per listener and turn while turns bring some one after the other; the first brings one alone,
    /// because to find that there is no other would cost a call.
    pub accepts_per_turn: usize,
    /// TCP_DEFER_ACCEPT (tcp(7)), in seconds, on the shard's listeners while connections come densely: one is then reported
    /// when its first bytes are there, or after about so long without any. `None`: never.
    pub defer_accept_s: Option<u32>,
}

/// When the clock is read for [`Io::now_ns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// For each event: a load engine measures with it.
    PerEvent,
    /// Once per batch of events: a server only needs to know roughly.
    PerBatch,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cpu: None,
            read_buffer_bytes: 64 * 1024,
            input_bytes_max: 1024 * 1024 + 64 * 1024,
            output_bytes_max: 4 * 1024 * 1024,
            output_pause_bytes: 1024 * 1024,
            held_bytes_max: usize::MAX,
            time: TimeSource::PerBatch,
            accepts_per_turn: 1,
            defer_accept_s: None,
        }
    }
}

/// One thread's worth of sockets, and the service that they belong to.
pub struct Shard<S: Service> {
    service: S,
    table: Table<S::Socket>,
    listeners: Listeners,
    driver: Driver,
    buffers: Buffers,
    waker: Waker,
    alarm: Alarm,
    /// The thread has become punctual, which only exact instants are worth.
    is_punctual: bool,
    /// The last turn found a connection to accept, and so has this one.
    accepted_last_turn: bool,
    accepted_this_turn: bool,
    rush: Rush,
}

/// When the next wait is to end if nothing happens, ns: an instant where some lateness does no harm, and one where it does.
struct Until {
    coarse_ns: Option<u64>,
    exact_ns: Option<u64>,
}

impl<S: Service> Shard<S> {
    /// A shard without sockets or listeners. Fails when no descriptors are left.
    pub fn new(service: S, clock: Clock, options: Options) -> io::Result<Self> {
        let buffers = Buffers::new(options.read_buffer_bytes);
        let driver = Driver::new(clock, options)?;
        let waker = Waker::new()?;
        let data = EventData::new_u64(WAKER_DATA);
        epoll::add(&driver.epoll, &waker, data, EventFlags::IN)?;
        let alarm = Alarm::new(&driver.epoll, ALARM_DATA)?;
        Ok(Self {
            service,
            table: Table::new(),
            listeners: Listeners::default(),
            driver,
            buffers,
            waker,
            alarm,
            is_punctual: false,
            accepted_last_turn: false,
            accepted_this_turn: false,
            rush: Rush::default(),
        })
    }

    /// Wakes this shard from any thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Accepts connections from a listener, one of [`bind`](crate::bind) or any other.
    pub fn listen(&mut self, listener: TcpListener) -> io::Result<()> {
        self.add_listener(listener, None)
    }

    /// The same, with TLS from the first byte on.
    pub fn listen_tls(&mut self, listener: TcpListener, config: Arc<rustls::ServerConfig>) -> io::Result<()> {
        self.add_listener(listener, Some(config))
    }

    fn add_listener(&mut self, listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<()> {
        self.listeners.add(&self.driver.epoll, listener, tls)?;
        match self.driver.options.defer_accept_s {
            // Whoever had it before may have set it.
            Some(_) => self.listeners.defer_accept(0),
            None => Ok(()),
        }
    }

    /// Runs on this thread until [`Service::turn`] answers [`Next::Stop`], and gives the service back.
    ///
    /// Fails when the thread may not be pinned to the processor asked for, or when the epoll set itself fails.
    pub fn run(mut self) -> io::Result<S> {
        if let Some(cpu) = self.driver.options.cpu {
            pin(cpu)?;
        }
        let mut events = Vec::with_capacity(EVENTS_MAX);
        self.driver.now_ns = self.driver.clock.now_ns();
        while let Some(until) = self.turn() {
            let now_ns = self.driver.now_ns;
            let mut exact_ns = until.exact_ns;
            match until.coarse_ns {
                // Due already: no wait, and no alarm for it.
                Some(at_ns) if at_ns <= now_ns => exact_ns = Some(at_ns),
                Some(at_ns) => self.alarm.ring_by(at_ns, now_ns)?,
                None => {}
            }
            let Driver { clock, epoll, .. } = &self.driver;
            let spun_ns = wait(exact_ns, clock, epoll, &mut events)?;
            self.driver.spun_ns += spun_ns;
            self.driver.now_ns = self.driver.clock.now_ns();
            for event in &events {
                self.serve(*event)?;
            }
            self.accepted_last_turn = std::mem::take(&mut self.accepted_this_turn);
            self.call_deadlines();
            self.listeners.resume(&self.driver.epoll, self.driver.now_ns)?;
        }
        self.close_all();
        Ok(self.service)
    }

    /// Gives the service its turn, and plans the next wait. `None`: stop.
    fn turn(&mut self) -> Option<Until> {
        let mut sockets = Sockets::new(&mut self.table, &mut self.driver, &mut self.listeners);
        let next = self.service.turn(&mut sockets);
        self.bury();
        let (at_ns, exact_ns) = match next {
            Next::WhenNeeded => (None, None),
            Next::At(at_ns) => (Some(at_ns), None),
            Next::AtExactly(at_ns) => {
                if !self.is_punctual {
                    self.is_punctual = true;
                    become_punctual();
                }
                (None, Some(at_ns))
            }
            Next::Stop => return None,
        };
        let coarse_ns = [at_ns, self.driver.next_due_ns(), self.listeners.resting_until_ns()];
        Some(Until { coarse_ns: coarse_ns.into_iter().flatten().min(), exact_ns })
    }

    fn serve(&mut self, event: Event) -> io::Result<()> {
        let data = event.data.u64();
        if data == WAKER_DATA {
            self.waker.clear();
            return Ok(());
        }
        if data == ALARM_DATA {
            self.alarm.has_rung();
            return Ok(());
        }
        if let Some(place) = self.listeners.at(data) {
            return self.accept(place);
        }
        self.serve_socket(SocketId::from_bits(data), event.flags);
        Ok(())
    }

    fn accept(&mut self, place: usize) -> io::Result<()> {
        self.accepted_this_turn = true;
        let accepts = match self.accepted_last_turn {
            true => self.driver.options.accepts_per_turn.max(1),
            false => 1,
        };
        let mut accepted = 0;
        for _ in 0..accepts {
            match self.listeners.accept(place) {
                Ok(Some(connection)) => self.welcome(connection),
                Ok(None) => break,
                Err(error) => {
                    self.service.accept_failed(&error);
                    return self.listeners.rest(&self.driver.epoll, self.driver.now_ns);
                }
            }
            accepted += 1;
        }
        if let Some(seconds) = self.driver.options.defer_accept_s
            && self.rush.count(self.driver.now_ns, accepted)
        {
            let seconds = if self.rush.is_on() { seconds } else { 0 };
            self.listeners.defer_accept(seconds)?;
        }
        Ok(())
    }

    /// Takes a new connection in, and reads straight away what it has brought along.
    fn welcome(&mut self, accepted: Accepted) {
        let Accepted { fd, tls } = accepted;
        let held_bytes_max = self.driver.options.output_bytes_max;
        let tls = match tls.map(|config| Tls::server(config, held_bytes_max)) {
            None => None,
            Some(Ok(tls)) => Some(tls),
            // An unusable configuration: nobody can be served with it.
            Some(Err(_)) => return,
        };
        self.driver.stamp();
        let id = self.table.next_id();
        let mut link = Link::new(fd, id, Stage::Open, tls);
        let mut io = Io::new(&mut self.driver, &mut link, id);
        let Some(socket) = self.service.accepted(&mut io) else {
            self.driver.wheel.cancel(id.index);
            self.driver.discard_out();
            return;
        };
        let entry = self.table.insert(link, socket);
        if entry.link.is_live() {
            receive(&mut self.service, &mut self.driver, &mut self.buffers, id, entry);
        }
        self.driver.settle(id, &mut entry.link);
        self.bury();
    }

    fn serve_socket(&mut self, id: SocketId, flags: EventFlags) {
        // The name also tells an event of a socket that is gone from one of the socket that got its descriptor.
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let link = &mut entry.link;
        let mut ended = false;
        self.driver.stamp();
        if link.stage == Stage::Connecting {
            match rustix::net::sockopt::socket_error(&link.fd) {
                Ok(Ok(())) => {
                    link.stage = Stage::Open;
                    let mut io = Io::new(&mut self.driver, link, id);
                    self.service.connected(&mut io, &mut entry.socket);
                    self.driver.drain(id, link);
                }
                Ok(Err(errno)) | Err(errno) => {
                    self.driver.doom(id, link, Closed::from_errno(errno));
                }
            }
        } else if flags.intersects(EventFlags::ERR | EventFlags::HUP) && ends_unread(link) {
            let why = reason(link, flags);
            self.driver.doom(id, link, why);
        } else {
            if flags.contains(EventFlags::OUT) {
                drain(&mut self.service, &mut self.driver, id, entry);
            }
            if flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) && !entry.link.doomed {
                let took_all = receive(&mut self.service, &mut self.driver, &mut self.buffers, id, entry);
                ended = took_all
                    && flags.contains(EventFlags::RDHUP)
                    && !flags.intersects(EventFlags::ERR | EventFlags::HUP);
            }
        }
        self.driver.settle(id, &mut entry.link);
        if ended && is_read(&entry.link) {
            // The peer's FIN had come before the read that took all, so the next one would find the end.
            let why = end_of(&entry.link, Closed::Peer);
            self.driver.doom(id, &mut entry.link, why);
        }
        self.bury();
    }

    fn call_deadlines(&mut self) {
        let now_ms = self.driver.now_ms();
        // A deadline that is set anew falls after `now_ms`, so this ends.
        while let Some(index) = self.driver.wheel.pop_due(now_ms) {
            let Some(id) = self.table.id_at(index) else {
                continue;
            };
            let Some(entry) = self.table.get_mut(id) else {
                continue;
            };
            if entry.link.is_live() {
                self.driver.stamp();
                let mut io = Io::new(&mut self.driver, &mut entry.link, id);
                self.service.deadline(&mut io, &mut entry.socket);
                self.driver.settle(id, &mut entry.link);
            } else {
                // The reactor's own deadline: the peer had its time to take leave.
                self.driver.doom(id, &mut entry.link, Closed::Local);
            }
            self.bury();
        }
    }

    /// Closes the doomed, and tells the service.
    fn bury(&mut self) {
        if self.driver.held_bytes > self.driver.options.held_bytes_max {
            self.doom_greediest();
        }
        while let Some((id, why)) = self.driver.take_doomed() {
            if let Some(mut entry) = self.table.remove(id) {
                self.driver.wheel.cancel(id.index);
                self.driver.count(&mut entry.link, true);
                if entry.link.closing == Closing::Release && why == Closed::Local {
                    self.driver.forget(&entry.link);
                    let loose = Loose::new(entry.link);
                    self.service.released(self.driver.now_ns, id, loose, entry.socket);
                    continue;
                }
                // close(2) also takes the descriptor out of the epoll set.
                drop(entry.link);
                self.service.closed(self.driver.now_ns, id, entry.socket, why);
            }
        }
    }

    /// Dooms the sockets that hold the most, until an eighth of what all may hold is free: so each look at all sockets
    /// is worth as many bytes, which somebody had to send.
    fn doom_greediest(&mut self) {
        let held_bytes_max = self.driver.options.held_bytes_max;
        let enough_bytes = held_bytes_max - held_bytes_max / 8;
        let mut held: Vec<_> = self.table.iter_mut().collect();
        held.retain(|(_, entry)| entry.link.counted_bytes() > 0);
        held.sort_unstable_by_key(|(_, entry)| std::cmp::Reverse(entry.link.counted_bytes()));
        let mut left_bytes = self.driver.held_bytes;
        for (id, entry) in held {
            if left_bytes <= enough_bytes {
                break;
            }
            left_bytes = left_bytes.saturating_sub(entry.link.counted_bytes());
            // The kernel is to forget what this peer does not take, too.
            reset_on_close(&entry.link);
            self.driver.doom(id, &mut entry.link, Closed::Greediest);
        }
    }

    fn close_all(&mut self) {
        self.listeners.close(&self.driver.epoll);
        for (id, entry) in self.table.iter_mut() {
            self.driver.doom(id, &mut entry.link, Closed::Local);
        }
        self.bury();
    }
}

/// Sends what waits, and tells the service once all is sent.
fn drain<S: Service>(service: &mut S, driver: &mut Driver, id: SocketId, entry: &mut Entry<S::Socket>) {
    let Entry { link, socket } = entry;
    if driver.drain(id, link) && link.is_live() {
        service.drained(&mut Io::new(driver, link, id), socket);
    }
}

/// Whether a socket that has failed or hung up is closed without a read, which measured 5 % of a server's cost. A client
/// reads on: an answer may lie in front of the reset, as when a server refuses and closes with our bytes unread. So does
/// a socket whose reading is paused: it was only to wait, and no more can come than the kernel has.
fn ends_unread(link: &Link) -> bool {
    link.inbound || link.closing != Closing::No || !(link.reading == Reading::Paused || is_read(link))
}

fn is_read(link: &Link) -> bool {
    link.watched().is_some_and(|flags| flags.contains(EventFlags::IN))
}

/// Why a socket that is not read any more has failed or hung up. One that was accepted has, nearly always, been reset: to
/// ask the kernel would cost a server a call per connection, to tell a time-out from it.
fn reason(link: &Link, flags: EventFlags) -> Closed {
    if link.inbound && flags.contains(EventFlags::ERR) {
        return end_of(link, Closed::Reset);
    }
    match rustix::net::sockopt::socket_error(&link.fd) {
        Ok(Ok(())) => end_of(link, Closed::Peer),
        Ok(Err(errno)) | Err(errno) => end_of(link, Closed::from_errno(errno)),
    }
}

fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        let message = format!("no processor {cpu}: at most {}", CpuSet::MAX_CPU);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(sched_setaffinity(None, &cpus)?)
}
