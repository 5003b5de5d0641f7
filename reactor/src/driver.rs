//! Carries out what callbacks asked for: sends what they wrote, watches sockets for what they wait for, begins and ends
//! their closing. It knows a socket's [`Connection`] but not the service, so none of this is generic.

use std::collections::VecDeque;
use std::io;

use crate::closed::Closed;
use crate::connection::{Closing, Connection, Delay, Stage};
use crate::options::{Options, TimeSource};
use crate::socket_id::SocketId;
use crate::sys::{self, Clock, Descriptor, EventFlags};
use crate::wheel::Wheel;

/// How long a finished socket waits for the peer's FIN. A peer that is alive answers within a round trip.
const PEER_FIN_NS_MAX: u64 = 1_000_000_000;

/// How long a closing socket may take to send what is unsent. The service sets no deadline for it any more, so the reactor
/// does.
const DRAIN_NS_MAX: u64 = 10_000_000_000;

/// After a larger answer the output buffer shrinks to this, so that one such answer does not hold memory for ever.
const OUT_KEPT_BYTES_MAX: usize = 1 << 20;

const NS_PER_MS: u64 = 1_000_000;

/// What all sockets of a shard share.
pub(crate) struct Driver {
    pub(crate) epoll: Descriptor,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    /// The time that callbacks see, ns.
    pub(crate) now_ns: u64,
    /// How long the shard has spun before exact instants, ns.
    pub(crate) spun_ns: u64,
    pub(crate) wheel: Wheel,
    /// What the running callback has written. Empty between callbacks.
    pub(crate) out: Vec<u8>,
    /// TLS records on their way from `out` to the socket. Empty between callbacks.
    records: Vec<u8>,
    /// Sockets that are marked as closed, to be removed once the current callback has returned.
    closed: VecDeque<(SocketId, Closed)>,
    /// How many sockets hold a buffer, as of the last callback of each.
    pub(crate) buffered: usize,
    /// The memory that those buffers take, with what TLS keeps beside its keys.
    pub(crate) held_bytes: usize,
}

impl Driver {
    pub(crate) fn new(clock: Clock, options: Options) -> io::Result<Self> {
        Ok(Self {
            epoll: sys::event_set()?,
            now_ns: clock.now_ns(),
            spun_ns: 0,
            clock,
            options,
            wheel: Wheel::new(),
            out: Vec::new(),
            records: Vec::new(),
            closed: VecDeque::new(),
            buffered: 0,
            held_bytes: 0,
        })
    }

    /// Reads the clock for the next callback, where each has its own time.
    pub(crate) fn update_time(&mut self) {
        if self.options.time == TimeSource::PerEvent {
            self.now_ns = self.clock.now_ns();
        }
    }

    /// The current millisecond, never ahead of the clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ns / NS_PER_MS
    }

    /// When the wheel next has something to do, ns.
    pub(crate) fn next_due_ns(&mut self) -> Option<u64> {
        let due_ms = self.wheel.next_due_ms()?;
        Some(due_ms.saturating_mul(NS_PER_MS))
    }

    /// Sets a socket's deadline: rounded up to the millisecond, so that it never comes early.
    pub(crate) fn set_deadline_ns(&mut self, id: SocketId, at_ns: u64) {
        self.wheel.schedule(id.index, at_ns.div_ceil(NS_PER_MS));
    }

    /// To be called after each callback on a socket: sends, closes, watches.
    pub(crate) fn after_callback(&mut self, id: SocketId, connection: &mut Connection) {
        if !connection.is_closed
            && let Err(why) = self.apply_requests(id, connection)
        {
            self.mark_closed(id, connection, why);
        }
        if connection.is_counted || connection.is_buffered() {
            self.count(connection, false);
        }
        self.discard_out();
    }

    /// Counts a socket among those with a buffer, and what it holds, or no longer where it `is_gone`.
    pub(crate) fn count(&mut self, connection: &mut Connection, is_gone: bool) {
        let (before_bytes, now_bytes) = connection.recount(is_gone);
        self.held_bytes = self.held_bytes - before_bytes + now_bytes;
        let is_buffered = connection.is_buffered() && !is_gone;
        if connection.is_counted != is_buffered {
            connection.is_counted = is_buffered;
            match is_buffered {
                true => self.buffered += 1,
                false => self.buffered -= 1,
            }
        }
    }

    /// Discards what the last callback has written.
    pub(crate) fn discard_out(&mut self) {
        self.out.clear();
        self.out.shrink_to(OUT_KEPT_BYTES_MAX);
        self.records.clear();
        self.records.shrink_to(OUT_KEPT_BYTES_MAX);
    }

    /// Marks a socket as closed: it is removed once the current callback has returned.
    pub(crate) fn mark_closed(&mut self, id: SocketId, connection: &mut Connection, why: Closed) {
        if !connection.is_closed {
            connection.is_closed = true;
            self.closed.push_back((id, why));
        }
    }

    /// Takes one of the sockets that are marked as closed, in the order in which they were.
    pub(crate) fn next_closed(&mut self) -> Option<(SocketId, Closed)> {
        self.closed.pop_front()
    }

    /// Sends bytes that did not fit before. Returns whether there were some and all are sent.
    pub(crate) fn send_unsent(&mut self, id: SocketId, connection: &mut Connection) -> bool {
        if connection.unsent_bytes() == 0 {
            return false;
        }
        limit_delay(connection);
        match sys::send(&connection.descriptor, connection.unsent()) {
            Ok(bytes) => connection.sent(bytes),
            Err(error) => self.mark_closed(id, connection, Closed::from_error(&error)),
        }
        connection.unsent_bytes() == 0
    }

    /// Sends TLS's alert to the peer, as far as the socket takes it, then marks the socket as closed.
    pub(crate) fn fail_tls(&mut self, id: SocketId, connection: &mut Connection, why: Closed) {
        self.records.clear();
        let mut records = std::mem::take(&mut self.records);
        if let Some(tls) = connection.tls_mut() {
            tls.take_alert(&mut records);
        }
        if connection.unsent_bytes() == 0 && !records.is_empty() {
            // The socket ends for TLS's reason, whether the alert is sent or not.
            let _ = sys::send(&connection.descriptor, &records);
        }
        self.records = records;
        self.mark_closed(id, connection, why);
    }

    /// Makes the epoll set watch a socket for what it waits for.
    pub(crate) fn watch(&mut self, id: SocketId, connection: &mut Connection) -> io::Result<()> {
        let wanted = connection.wanted(self.options.output_pause_bytes);
        if connection.watched() == Some(wanted) {
            return Ok(());
        }
        // A socket that is read reports the peer's FIN with the bytes before it.
        let flags = if wanted.contains(EventFlags::IN) { wanted | EventFlags::RDHUP } else { wanted };
        match connection.watched() {
            Some(_) => sys::rewatch(&self.epoll, &connection.descriptor, id.to_bits(), flags)?,
            None => sys::watch(&self.epoll, &connection.descriptor, id.to_bits(), flags)?,
        }
        connection.set_watched(wanted);
        Ok(())
    }

    /// Stops watching a socket that stays open.
    pub(crate) fn unwatch(&self, connection: &Connection) {
        if connection.watched().is_some() {
            // It fails only for a descriptor that is not in the set, which is what is wanted.
            let _ = sys::unwatch(&self.epoll, &connection.descriptor);
        }
    }

    fn apply_requests(&mut self, id: SocketId, connection: &mut Connection) -> Result<(), Closed> {
        match connection.closing {
            Closing::Reset => {
                sys::reset_on_close(&connection.descriptor);
                return Err(Closed::Local);
            }
            // Nothing can be sent to a peer that is not there yet.
            Closing::Close | Closing::Finish if connection.stage == Stage::Connecting => {
                return Err(Closed::Local);
            }
            _ => {}
        }
        self.send_out(connection)?;
        if connection.closing == Closing::Release {
            return Err(Closed::Local);
        }
        if connection.unsent_bytes() > self.options.output_bytes_max {
            // A reset lets the kernel discard the bytes that this peer does not take.
            sys::reset_on_close(&connection.descriptor);
            return Err(Closed::PeerTooSlow);
        }
        if matches!(connection.closing, Closing::Close | Closing::Finish) {
            self.continue_closing(id, connection)?;
        }
        self.watch(id, connection).map_err(|error| Closed::Failed(error.kind()))
    }

    /// Goes on with closing, as far as what precedes the next step has been sent.
    fn continue_closing(&mut self, id: SocketId, connection: &mut Connection) -> Result<(), Closed> {
        if !connection.close_begun {
            connection.close_begun = true;
            self.set_deadline_ns(id, self.now_ns.saturating_add(DRAIN_NS_MAX));
            if let Some(tls) = connection.tls_mut() {
                tls.queue_close_notify();
                self.send_out(connection)?;
            }
        }
        if connection.unsent_bytes() > 0 {
            return Ok(());
        }
        if connection.closing == Closing::Close {
            return Err(Closed::Local);
        }
        sys::shut_down_output(&connection.descriptor).map_err(|error| Closed::from_error(&error))?;
        connection.closing = Closing::Discard;
        self.set_deadline_ns(id, self.now_ns.saturating_add(PEER_FIN_NS_MAX));
        Ok(())
    }

    /// Sends what the callback has written, sealed under TLS; what the socket does not take is kept.
    fn send_out(&mut self, connection: &mut Connection) -> Result<(), Closed> {
        if let Some(tls) = connection.tls_mut() {
            self.records.clear();
            tls.seal(&self.out, &mut self.records)?;
            std::mem::swap(&mut self.out, &mut self.records);
        }
        if !self.out.is_empty() {
            let sent = match connection.stage {
                Stage::Open if connection.unsent_bytes() == 0 => {
                    limit_delay(connection);
                    sys::send(&connection.descriptor, &self.out).map_err(|error| Closed::from_error(&error))?
                }
                // Earlier bytes go first.
                _ => 0,
            };
            connection.keep_unsent(&self.out[sent..]);
            self.out.clear();
        }
        Ok(())
    }
}

/// Keeps the kernel from holding small segments back. It would begin to with what is sent second, so a socket that never
/// gets there saves the call. An accepted socket has the option from its listener.
fn limit_delay(connection: &mut Connection) {
    match connection.delay {
        Delay::First => connection.delay = Delay::Later,
        Delay::Later => {
            connection.delay = Delay::Never;
            sys::disable_delay(&connection.descriptor);
        }
        Delay::Never => {}
    }
}
