//! Carries out what callbacks asked for: sends what they wrote, watches sockets for what they wait for, begins and ends
//! their closing. It knows a socket's [`Link`] but not its service, so none of this is generic.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};

use crate::link::{Closing, Delay, Link, Stage};
use crate::pacing::Clock;
use crate::service::Closed;
use crate::shard::{Options, TimeSource};
use crate::slab::SocketId;
use crate::wheel::Wheel;

/// How long a finished socket waits for the peer's FIN. A peer that is alive answers within a round trip.
const FAREWELL_NS_MAX: u64 = 1_000_000_000;

/// How long a closing socket may take to send what is unsent. The service has lost interest in it, so someone must
/// bound it.
const DRAIN_NS_MAX: u64 = 10_000_000_000;

/// One large answer shall not keep its buffer for the rest of the shard's life.
const OUT_KEPT_BYTES_MAX: usize = 1 << 20;

const NS_PER_MS: u64 = 1_000_000;

/// What all sockets of a shard share.
pub(crate) struct Driver {
    pub(crate) epoll: OwnedFd,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    /// The time that callbacks are told, ns.
    pub(crate) now_ns: u64,
    /// How long the shard has spun before exact instants, ns.
    pub(crate) spun_ns: u64,
    pub(crate) wheel: Wheel,
    /// What the running callback has written. Empty between callbacks.
    pub(crate) out: Vec<u8>,
    /// TLS records on their way from `out` to the socket. Empty between callbacks.
    records: Vec<u8>,
    doomed: VecDeque<(SocketId, Closed)>,
    /// How many sockets hold a buffer, as of the last callback of each.
    pub(crate) buffered: usize,
    /// The memory that those buffers take, with what TLS keeps beside its keys.
    pub(crate) held_bytes: usize,
}

impl Driver {
    pub(crate) fn new(clock: Clock, options: Options) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            now_ns: clock.now_ns(),
            spun_ns: 0,
            clock,
            options,
            wheel: Wheel::new(),
            out: Vec::new(),
            records: Vec::new(),
            doomed: VecDeque::new(),
            buffered: 0,
            held_bytes: 0,
        })
    }

    /// Takes the time for the next callback, where each has its own.
    pub(crate) fn stamp(&mut self) {
        if self.options.time == TimeSource::PerEvent {
            self.now_ns = self.clock.now_ns();
        }
    }

    /// The current millisecond, never ahead of the clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ns / NS_PER_MS
    }

    /// The wheel's next appointment as an instant, ns.
    pub(crate) fn next_due_ns(&mut self) -> Option<u64> {
        let due_ms = self.wheel.next_due_ms()?;
        Some(due_ms.saturating_mul(NS_PER_MS))
    }

    /// Sets a socket's deadline: rounded up to the millisecond, so that it never comes early.
    pub(crate) fn set_deadline_ns(&mut self, id: SocketId, at_ns: u64) {
        self.wheel.schedule(id.index, at_ns.div_ceil(NS_PER_MS));
    }

    /// Ends each round of callbacks on a socket: sends, closes, watches.
    pub(crate) fn settle(&mut self, id: SocketId, link: &mut Link) {
        if !link.doomed
            && let Err(why) = self.carry_out(id, link)
        {
            self.doom(id, link, why);
        }
        if link.is_counted || link.is_buffered() {
            self.count(link, false);
        }
        self.discard_out();
    }

    /// Counts a socket among those with a buffer, and what it holds, or no longer where it `is_gone`.
    pub(crate) fn count(&mut self, link: &mut Link, is_gone: bool) {
        let (before_bytes, now_bytes) = link.recount(is_gone);
        self.held_bytes = self.held_bytes - before_bytes + now_bytes;
        let is_buffered = link.is_buffered() && !is_gone;
        if link.is_counted != is_buffered {
            link.is_counted = is_buffered;
            match is_buffered {
                true => self.buffered += 1,
                false => self.buffered -= 1,
            }
        }
    }

    /// Forgets what the last callback has written.
    pub(crate) fn discard_out(&mut self) {
        self.out.clear();
        self.out.shrink_to(OUT_KEPT_BYTES_MAX);
        self.records.clear();
        self.records.shrink_to(OUT_KEPT_BYTES_MAX);
    }

    /// Puts a socket on the list of those that end after this callback.
    pub(crate) fn doom(&mut self, id: SocketId, link: &mut Link, why: Closed) {
        if !link.doomed {
            link.doomed = true;
            self.doomed.push_back((id, why));
        }
    }

    /// Takes one of the doomed, in their order.
    pub(crate) fn take_doomed(&mut self) -> Option<(SocketId, Closed)> {
        self.doomed.pop_front()
    }

    /// Sends bytes that did not fit before, and answers whether there were some and all are sent.
    pub(crate) fn drain(&mut self, id: SocketId, link: &mut Link) -> bool {
        if link.unsent_bytes() == 0 {
            return false;
        }
        send_at_once(link);
        match send(&link.fd, link.unsent()) {
            Ok(bytes) => link.sent(bytes),
            Err(errno) => self.doom(id, link, Closed::from_errno(errno)),
        }
        link.unsent_bytes() == 0
    }

    /// Lets TLS tell the peer what it did wrong, as far as the socket takes it, then dooms the socket.
    pub(crate) fn fail_tls(&mut self, id: SocketId, link: &mut Link, why: Closed) {
        self.records.clear();
        let mut records = std::mem::take(&mut self.records);
        if let Some(tls) = link.tls_mut() {
            tls.take_alert(&mut records);
        }
        if link.unsent_bytes() == 0 && !records.is_empty() {
            // The socket ends for TLS's reason, whatever becomes of the alert.
            let _ = send(&link.fd, &records);
        }
        self.records = records;
        self.doom(id, link, why);
    }

    /// Makes the epoll set watch a socket for what it waits for.
    pub(crate) fn watch(&mut self, id: SocketId, link: &mut Link) -> io::Result<()> {
        let wanted = link.wanted(self.options.output_pause_bytes);
        if link.watched() == Some(wanted) {
            return Ok(());
        }
        let data = EventData::new_u64(id.to_bits());
        // Who reads is told of the peer's FIN with the bytes before it.
        let flags = if wanted.contains(EventFlags::IN) { wanted | EventFlags::RDHUP } else { wanted };
        match link.watched() {
            Some(_) => epoll::modify(&self.epoll, &link.fd, data, flags)?,
            None => epoll::add(&self.epoll, &link.fd, data, flags)?,
        }
        link.set_watched(wanted);
        Ok(())
    }

    /// Stops watching a socket that stays open.
    pub(crate) fn forget(&self, link: &Link) {
        if link.watched().is_some() {
            // It fails only for a descriptor that is not in the set, which is what is wanted.
            let _ = epoll::delete(&self.epoll, &link.fd);
        }
    }

    fn carry_out(&mut self, id: SocketId, link: &mut Link) -> Result<(), Closed> {
        match link.closing {
            Closing::Reset => {
                reset_on_close(link);
                return Err(Closed::Local);
            }
            // Nothing can be sent to a peer that is not there yet.
            Closing::Close | Closing::Finish if link.stage == Stage::Connecting => {
                return Err(Closed::Local);
            }
            _ => {}
        }
        self.send_out(link)?;
        if link.closing == Closing::Release {
            return Err(Closed::Local);
        }
        if link.unsent_bytes() > self.options.output_bytes_max {
            // A reset lets the kernel forget the bytes that this peer does not take.
            reset_on_close(link);
            return Err(Closed::PeerTooSlow);
        }
        if matches!(link.closing, Closing::Close | Closing::Finish) {
            self.leave(id, link)?;
        }
        self.watch(id, link).map_err(|error| Closed::Failed(error.kind()))
    }

    /// Goes on with closing, as far as everything has been sent.
    fn leave(&mut self, id: SocketId, link: &mut Link) -> Result<(), Closed> {
        if !link.leaving {
            link.leaving = true;
            self.set_deadline_ns(id, self.now_ns.saturating_add(DRAIN_NS_MAX));
            if let Some(tls) = link.tls_mut() {
                tls.say_farewell();
                self.send_out(link)?;
            }
        }
        if link.unsent_bytes() > 0 {
            return Ok(());
        }
        if link.closing == Closing::Close {
            return Err(Closed::Local);
        }
        rustix::net::shutdown(&link.fd, Shutdown::Write).map_err(Closed::from_errno)?;
        link.closing = Closing::Discard;
        self.set_deadline_ns(id, self.now_ns.saturating_add(FAREWELL_NS_MAX));
        Ok(())
    }

    /// Sends what the callback has written, sealed under TLS; what the socket does not take is kept.
    fn send_out(&mut self, link: &mut Link) -> Result<(), Closed> {
        if let Some(tls) = link.tls_mut() {
            self.records.clear();
            tls.seal(&self.out, &mut self.records)?;
            std::mem::swap(&mut self.out, &mut self.records);
        }
        if !self.out.is_empty() {
            let sent = match link.stage {
                Stage::Open if link.unsent_bytes() == 0 => {
                    send_at_once(link);
                    send(&link.fd, &self.out).map_err(Closed::from_errno)?
                }
                // Earlier bytes go first.
                _ => 0,
            };
            link.keep_unsent(&self.out[sent..]);
            self.out.clear();
        }
        Ok(())
    }
}

/// Keeps the kernel from holding small segments back until those before are acknowledged (Nagle, RFC 896). That begins
/// with what is sent second, so a socket that never gets there saves the call. An accepted one has it from its listener.
fn send_at_once(link: &mut Link) {
    match link.delay {
        Delay::First => link.delay = Delay::Later,
        Delay::Later => {
            link.delay = Delay::Never;
            // Should it fail, some bytes come later than they could.
            let _ = rustix::net::sockopt::set_tcp_nodelay(&link.fd, true);
        }
        Delay::Never => {}
    }
}

/// Sends what the socket takes now, which may be nothing.
pub(crate) fn send(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match rustix::net::send(fd, bytes, SendFlags::NOSIGNAL) {
        Ok(sent) => Ok(sent),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(errno) => Err(errno),
    }
}

/// Makes close(2) send RST and forget what is unsent.
pub(crate) fn reset_on_close(link: &Link) {
    // Should it fail, the peer sees a FIN in place of a RST.
    let _ = rustix::net::sockopt::set_socket_linger(&link.fd, Some(Duration::ZERO));
}
