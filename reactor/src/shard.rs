//! The loop: one thread, one epoll set, one service.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use crate::accept_rate::AcceptRate;
use crate::closed::Closed;
use crate::connection::{Closing, Connection, Reading, Stage};
use crate::detached::DetachedSocket;
use crate::driver::Driver;
use crate::io::Io;
use crate::listeners::{Accepted, Listeners};
use crate::options::Options;
use crate::pacing::{EVENTS_MAX, wait};
use crate::receive::{Buffers, end_of, receive};
use crate::service::{Next, Service};
use crate::socket_id::SocketId;
use crate::sockets::Sockets;
use crate::sys::{self, Clock, Event, EventFlags};
use crate::table::{Entry, Table};
use crate::timer::Timer;
use crate::tls::Tls;
use crate::waker::Waker;

/// Event data of the waker: no socket's index and no listener's place.
const WAKER_DATA: u64 = u32::MAX as u64;

/// Event data of the timer: a socket's lower half, its index, lies below 2^31, and a listener's is below 2^32.
const TIMER_DATA: u64 = u64::MAX;

/// One thread's worth of sockets, and the service that they belong to.
pub struct Shard<S: Service> {
    service: S,
    table: Table<S::Socket>,
    listeners: Listeners,
    driver: Driver,
    buffers: Buffers,
    waker: Waker,
    timer: Timer,
    /// Set at the first exact instant: only those are worth the calls.
    has_reduced_wakeup_delay: bool,
    /// The last turn found a connection to accept, and this one.
    accepted_last_turn: bool,
    accepted_this_turn: bool,
    accept_rate: AcceptRate,
}

/// When a wait ends if nothing happens, ns: an instant where some lateness does no harm, and one where it does.
pub(crate) struct WaitUntil {
    coarse_ns: Option<u64>,
    exact_ns: Option<u64>,
}

impl<S: Service> Shard<S> {
    /// A shard without sockets or listeners. Fails when no descriptors are left.
    pub fn new(service: S, clock: Clock, options: Options) -> io::Result<Self> {
        let buffers = Buffers::new(options.read_buffer_bytes);
        let driver = Driver::new(clock, options)?;
        let waker = Waker::new(&driver.epoll, WAKER_DATA)?;
        let timer = Timer::new(&driver.epoll, TIMER_DATA)?;
        Ok(Self {
            service,
            table: Table::new(),
            listeners: Listeners::default(),
            driver,
            buffers,
            waker,
            timer,
            has_reduced_wakeup_delay: false,
            accepted_last_turn: false,
            accepted_this_turn: false,
            accept_rate: AcceptRate::default(),
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
            // A process that had it before may have set it.
            Some(_) => self.listeners.defer_accept(0),
            None => Ok(()),
        }
    }

    /// Runs on this thread until [`Service::turn`] answers [`Next::Stop`], and gives the service back.
    ///
    /// Fails when the thread may not be pinned to the processor asked for, or when the epoll set itself fails.
    pub fn run(mut self) -> io::Result<S> {
        if let Some(cpu) = self.driver.options.cpu {
            sys::pin_thread(cpu)?;
        }
        self.driver.now_ns = self.driver.clock.now_ns();
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while let Some(until) = self.step(&events)? {
            self.wait(until, &mut events)?;
        }
        self.close_all();
        Ok(self.service)
    }

    /// One round of the loop, which never waits: handles `events`, of which there are none in the first round, and the
    /// deadlines that are due, then gives the service its turn. Returns until when to wait; `None`: stop.
    pub(crate) fn step(&mut self, events: &[Event]) -> io::Result<Option<WaitUntil>> {
        for event in events {
            self.handle_event(*event)?;
        }
        self.accepted_last_turn = std::mem::take(&mut self.accepted_this_turn);
        self.call_deadlines();
        self.listeners.resume(&self.driver.epoll, self.driver.now_ns)?;
        Ok(self.turn())
    }

    /// Waits for events, and reads the clock after that.
    pub(crate) fn wait(&mut self, until: WaitUntil, events: &mut Vec<Event>) -> io::Result<()> {
        let now_ns = self.driver.now_ns;
        let mut exact_ns = until.exact_ns;
        match until.coarse_ns {
            // Due already: no wait, and no timer for it.
            Some(at_ns) if at_ns <= now_ns => exact_ns = Some(at_ns),
            Some(at_ns) => self.timer.fire_by(at_ns, now_ns)?,
            None => {}
        }
        let Driver { clock, epoll, .. } = &self.driver;
        self.driver.spun_ns += wait(exact_ns, clock, epoll, events)?;
        self.driver.now_ns = self.driver.clock.now_ns();
        Ok(())
    }

    /// Gives the service its turn, and plans the next wait. `None`: stop.
    fn turn(&mut self) -> Option<WaitUntil> {
        let mut sockets = Sockets::new(&mut self.table, &mut self.driver, &mut self.listeners);
        let next = self.service.turn(&mut sockets);
        self.reap_closed();
        let (at_ns, exact_ns) = match next {
            Next::WhenNeeded => (None, None),
            Next::At(at_ns) => (Some(at_ns), None),
            Next::AtExactly(at_ns) => {
                if !self.has_reduced_wakeup_delay {
                    self.has_reduced_wakeup_delay = true;
                    sys::reduce_wakeup_delay();
                }
                (None, Some(at_ns))
            }
            Next::Stop => return None,
        };
        let coarse_ns = [at_ns, self.driver.next_due_ns(), self.listeners.paused_until_ns()];
        Some(WaitUntil { coarse_ns: coarse_ns.into_iter().flatten().min(), exact_ns })
    }

    fn handle_event(&mut self, event: Event) -> io::Result<()> {
        let data = event.data.u64();
        if data == WAKER_DATA {
            self.waker.clear();
            return Ok(());
        }
        if data == TIMER_DATA {
            self.timer.has_fired();
            return Ok(());
        }
        if let Some(place) = self.listeners.at(data) {
            return self.accept(place);
        }
        self.handle_socket_event(SocketId::from_bits(data), event.flags);
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
                Ok(Some(connection)) => self.add_accepted(connection),
                Ok(None) => break,
                Err(error) => {
                    self.service.accept_failed(&error);
                    return self.listeners.pause(&self.driver.epoll, self.driver.now_ns);
                }
            }
            accepted += 1;
        }
        if let Some(seconds) = self.driver.options.defer_accept_s
            && self.accept_rate.count(self.driver.now_ns, accepted)
        {
            let seconds = if self.accept_rate.is_high() { seconds } else { 0 };
            self.listeners.defer_accept(seconds)?;
        }
        Ok(())
    }

    /// Adds a new connection, and reads at once what has arrived with it.
    fn add_accepted(&mut self, accepted: Accepted) {
        let Accepted { descriptor, tls } = accepted;
        let held_bytes_max = self.driver.options.output_bytes_max;
        let tls = match tls.map(|config| Tls::server(config, held_bytes_max)) {
            None => None,
            Some(Ok(tls)) => Some(tls),
            // An unusable configuration: no client can be served with it.
            Some(Err(_)) => return,
        };
        self.driver.update_time();
        let id = self.table.next_id();
        let mut connection = Connection::new(descriptor, id, Stage::Open, tls);
        let mut io = Io::new(&mut self.driver, &mut connection, id);
        let Some(socket) = self.service.accepted(&mut io) else {
            self.driver.wheel.cancel(id.index);
            self.driver.discard_out();
            return;
        };
        let entry = self.table.insert(connection, socket);
        if entry.connection.is_live() {
            receive(&mut self.service, &mut self.driver, &mut self.buffers, id, entry);
        }
        self.driver.after_callback(id, &mut entry.connection);
        self.reap_closed();
    }

    fn handle_socket_event(&mut self, id: SocketId, flags: EventFlags) {
        // The generation distinguishes a socket that is gone from the one that has its place now.
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let connection = &mut entry.connection;
        let mut ended = false;
        self.driver.update_time();
        if connection.stage == Stage::Connecting {
            match sys::pending_error(&connection.descriptor) {
                Ok(()) => {
                    connection.stage = Stage::Open;
                    let mut io = Io::new(&mut self.driver, connection, id);
                    self.service.connected(&mut io, &mut entry.socket);
                    self.driver.send_unsent(id, connection);
                }
                Err(error) => self.driver.mark_closed(id, connection, Closed::from_error(&error)),
            }
        } else if flags.intersects(EventFlags::ERR | EventFlags::HUP) && ends_unread(connection) {
            let why = reason(connection, flags);
            self.driver.mark_closed(id, connection, why);
        } else {
            if flags.contains(EventFlags::OUT) {
                send_unsent(&mut self.service, &mut self.driver, id, entry);
            }
            if flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) && !entry.connection.is_closed {
                let took_all = receive(&mut self.service, &mut self.driver, &mut self.buffers, id, entry);
                ended = took_all
                    && flags.contains(EventFlags::RDHUP)
                    && !flags.intersects(EventFlags::ERR | EventFlags::HUP);
            }
        }
        self.driver.after_callback(id, &mut entry.connection);
        if ended && is_read(&entry.connection) {
            // The peer's FIN had come before the read that took all, so the next one would find the end.
            let why = end_of(&entry.connection, Closed::Peer);
            self.driver.mark_closed(id, &mut entry.connection, why);
        }
        self.reap_closed();
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
            if entry.connection.is_live() {
                self.driver.update_time();
                let mut io = Io::new(&mut self.driver, &mut entry.connection, id);
                self.service.deadline(&mut io, &mut entry.socket);
                self.driver.after_callback(id, &mut entry.connection);
            } else {
                // The reactor's own deadline: the time of the peer to close is over.
                self.driver.mark_closed(id, &mut entry.connection, Closed::Local);
            }
            self.reap_closed();
        }
    }

    /// Removes the sockets that are marked as closed, and reports them to the service.
    fn reap_closed(&mut self) {
        if self.driver.held_bytes > self.driver.options.held_bytes_max {
            self.relieve_memory_pressure();
        }
        while let Some((id, why)) = self.driver.next_closed() {
            if let Some(mut entry) = self.table.remove(id) {
                self.driver.wheel.cancel(id.index);
                self.driver.count(&mut entry.connection, true);
                if entry.connection.closing == Closing::Release && why == Closed::Local {
                    self.driver.unwatch(&entry.connection);
                    let detached = DetachedSocket { connection: entry.connection };
                    self.service.released(self.driver.now_ns, id, detached, entry.socket);
                    continue;
                }
                // close(2) also takes the descriptor out of the epoll set.
                drop(entry.connection);
                self.service.closed(self.driver.now_ns, id, entry.socket, why);
            }
        }
    }

    /// Marks the sockets that hold the most as closed, until an eighth of what all may hold is free: each pass over all
    /// sockets frees that much, which peers had to send first.
    fn relieve_memory_pressure(&mut self) {
        let held_bytes_max = self.driver.options.held_bytes_max;
        let enough_bytes = held_bytes_max - held_bytes_max / 8;
        let mut held: Vec<_> = self.table.iter_mut().collect();
        held.retain(|(_, entry)| entry.connection.counted_bytes() > 0);
        held.sort_unstable_by_key(|(_, entry)| std::cmp::Reverse(entry.connection.counted_bytes()));
        let mut left_bytes = self.driver.held_bytes;
        for (id, entry) in held {
            if left_bytes <= enough_bytes {
                break;
            }
            left_bytes = left_bytes.saturating_sub(entry.connection.counted_bytes());
            // The kernel is to discard what this peer does not take, too.
            sys::reset_on_close(&entry.connection.descriptor);
            self.driver.mark_closed(id, &mut entry.connection, Closed::MemoryPressure);
        }
    }

    fn close_all(&mut self) {
        self.listeners.close(&self.driver.epoll);
        for (id, entry) in self.table.iter_mut() {
            self.driver.mark_closed(id, &mut entry.connection, Closed::Local);
        }
        self.reap_closed();
    }
}

/// Sends what waits, and reports to the service once all is sent.
fn send_unsent<S: Service>(service: &mut S, driver: &mut Driver, id: SocketId, entry: &mut Entry<S::Socket>) {
    let Entry { connection, socket } = entry;
    if driver.send_unsent(id, connection) && connection.is_live() {
        service.drained(&mut Io::new(driver, connection, id), socket);
    }
}

/// Whether a socket that has failed or hung up is closed without a read, which measured 5 % of a server's cost. A client
/// reads on: an answer may lie in front of the reset, as when a server refuses and closes with our bytes unread. A
/// socket whose reading is paused is read too: no more can come than the kernel has.
fn ends_unread(connection: &Connection) -> bool {
    connection.inbound
        || connection.closing != Closing::No
        || !(connection.reading == Reading::Paused || is_read(connection))
}

fn is_read(connection: &Connection) -> bool {
    connection.watched().is_some_and(|flags| flags.contains(EventFlags::IN))
}

/// Why a socket that is not read any more has failed or hung up. One that was accepted has nearly always been reset: to
/// distinguish a time-out from that would cost a server a call per connection.
fn reason(connection: &Connection, flags: EventFlags) -> Closed {
    if connection.inbound && flags.contains(EventFlags::ERR) {
        return end_of(connection, Closed::Reset);
    }
    match sys::pending_error(&connection.descriptor) {
        Ok(()) => end_of(connection, Closed::Peer),
        Err(error) => end_of(connection, Closed::from_error(&error)),
    }
}
