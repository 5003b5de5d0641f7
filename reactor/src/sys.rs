//! Every system call of the reactor, and the only place where it reads a clock.
//!
//! The other files work on a [`Descriptor`] and on plain values. A simulated world replaces this file and no other.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::os::fd::{OwnedFd, RawFd};
use std::time::{Duration, Instant};

use libc::{SCHED_OTHER, SYS_sched_getattr, SYS_sched_setattr, c_long, sched_attr};
use nix::{setsockopt_impl, sockopt_impl};
use rustix::event::epoll::{self, EventData};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

// Plain data: an event's flags, and the number that its descriptor was watched with.
pub(crate) use rustix::event::epoll::{Event, EventFlags};

const NS_PER_S: u64 = 1_000_000_000;

/// A socket, listener, epoll set, timer or event counter. Dropping it closes it, which also ends its being watched unless
/// another process holds it too.
#[derive(Debug)]
pub(crate) struct Descriptor(OwnedFd);

impl From<OwnedFd> for Descriptor {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Descriptor> for OwnedFd {
    fn from(descriptor: Descriptor) -> Self {
        descriptor.0
    }
}

/// Monotonic nanoseconds since one epoch that all shards of a process share.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    /// A clock whose epoch is now.
    pub fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    /// Nanoseconds since the epoch. It never goes back, and lasts 584 years.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The instant at which the clock reads zero.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }
}

/// Connections that wait in the kernel until they are accepted: a storm of reconnects arrives faster than it is accepted.
/// The kernel cuts it to `net.core.somaxconn`, 4096 by default.
const BACKLOG: i32 = 4096;

/// Opens a listener whose sockets inherit TCP_NODELAY, so that no accept needs a call for it.
///
/// `shared` sets SO_REUSEPORT: each shard can have a listener of its own at one address, and the kernel distributes the
/// connections. A second process that also sets it succeeds without a warning.
///
/// Fails when the address is in use, is not one of this machine, or its port may not be bound.
pub fn bind(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = rustix::net::socket_with(family(addr), SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, shared)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::bind(&socket, &addr)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Makes any listener one whose accepts do not block and whose sockets inherit TCP_NODELAY.
pub(crate) fn prepare_listener(listener: TcpListener) -> io::Result<Descriptor> {
    listener.set_nonblocking(true)?;
    let fd = OwnedFd::from(listener);
    sockopt::set_tcp_nodelay(&fd, true)?;
    Ok(Descriptor(fd))
}

sockopt_impl!(
    /// TCP_DEFER_ACCEPT in seconds, for which no crate has a name and std's is not stable yet.
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    i32
);

/// Sets TCP_DEFER_ACCEPT of a listener, in seconds; zero: a connection is reported as soon as it is up.
pub(crate) fn defer_accept(listener: &Descriptor, seconds: u32) -> io::Result<()> {
    let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
    Ok(nix::sys::socket::setsockopt(&listener.0, DeferAccept, &seconds)?)
}

/// Accepts one connection. `Ok(None)`: there is none, or the one there was has already gone.
#[inline]
pub(crate) fn accept(listener: &Descriptor) -> io::Result<Option<Descriptor>> {
    match rustix::net::accept_with(&listener.0, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(fd) => Ok(Some(Descriptor(fd))),
        Err(errno) if concerns_one_connection(errno) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Errors that concern one connection, not the listener: accept(2) passes on what happened to it while it waited.
fn concerns_one_connection(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::AGAIN
            | Errno::INTR
            | Errno::CONNABORTED
            | Errno::NETDOWN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
            | Errno::PERM
    )
}

/// Makes a non-blocking socket and starts to connect it: writable then means connected or failed.
///
/// Fails for local reasons: no descriptor or port is left, or the addresses do not go together.
pub(crate) fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<Descriptor> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(family(to), SocketType::STREAM, flags, None)?;
    if let Some(from) = from {
        // Without it bind() would reserve a port for this socket alone, whoever the peer is.
        nix::sys::socket::setsockopt(&fd, nix::sys::socket::sockopt::IpBindAddressNoPort, &true)?;
        rustix::net::bind(&fd, &SocketAddr::new(from, 0))?;
    }
    match rustix::net::connect(&fd, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(Descriptor(fd)),
        Err(errno) => Err(errno.into()),
    }
}

fn family(addr: SocketAddr) -> AddressFamily {
    match addr {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

/// Reads what has arrived, as much as `buffer` takes. `Ok(None)`: nothing is there yet. Zero bytes: the peer's FIN.
#[inline]
pub(crate) fn receive(socket: &Descriptor, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    // recv(2) has a shorter way through the kernel than read(2).
    match rustix::net::recv(&socket.0, buffer, RecvFlags::empty()) {
        Ok((_, bytes)) => Ok(Some(bytes)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Sends as many bytes as the socket takes now, which may be none.
#[inline]
pub(crate) fn send(socket: &Descriptor, bytes: &[u8]) -> io::Result<usize> {
    match rustix::net::send(&socket.0, bytes, SendFlags::NOSIGNAL) {
        Ok(sent) => Ok(sent),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}

/// Sends FIN.
pub(crate) fn shut_down_output(socket: &Descriptor) -> io::Result<()> {
    Ok(rustix::net::shutdown(&socket.0, Shutdown::Write)?)
}

/// Makes closing send RST and discard what is unsent.
pub(crate) fn reset_on_close(socket: &Descriptor) {
    // Should it fail, the peer sees a FIN in place of a RST.
    let _ = sockopt::set_socket_linger(&socket.0, Some(Duration::ZERO));
}

/// Keeps the kernel from holding small segments back until those before are acknowledged (Nagle, RFC 896).
pub(crate) fn disable_delay(socket: &Descriptor) {
    // Should it fail, some bytes come later than they could.
    let _ = sockopt::set_tcp_nodelay(&socket.0, true);
}

/// The error that a connect or the peer has left on a socket (SO_ERROR), which this clears.
#[inline]
pub(crate) fn pending_error(socket: &Descriptor) -> io::Result<()> {
    match sockopt::socket_error(&socket.0) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(errno)) | Err(errno) => Err(errno.into()),
    }
}

/// The peer's address. `None`: the peer has gone already.
pub(crate) fn peer_address(socket: &Descriptor) -> Option<SocketAddr> {
    let peer = rustix::net::getpeername(&socket.0).ok()?;
    SocketAddr::try_from(peer?).ok()
}

/// Makes an epoll set.
pub(crate) fn event_set() -> io::Result<Descriptor> {
    Ok(Descriptor(epoll::create(epoll::CreateFlags::CLOEXEC)?))
}

/// Adds a descriptor to the set: its events carry `data`.
#[inline]
pub(crate) fn watch(epoll: &Descriptor, descriptor: &Descriptor, data: u64, flags: EventFlags) -> io::Result<()> {
    Ok(epoll::add(&epoll.0, &descriptor.0, EventData::new_u64(data), flags)?)
}

/// Changes what a descriptor of the set is watched for.
#[inline]
pub(crate) fn rewatch(epoll: &Descriptor, descriptor: &Descriptor, data: u64, flags: EventFlags) -> io::Result<()> {
    Ok(epoll::modify(&epoll.0, &descriptor.0, EventData::new_u64(data), flags)?)
}

/// Takes a descriptor out of the set. It fails only for one that is not in it.
pub(crate) fn unwatch(epoll: &Descriptor, descriptor: &Descriptor) -> io::Result<()> {
    Ok(epoll::delete(&epoll.0, &descriptor.0)?)
}

/// Waits until something happens or, if given, for `timeout_ns`. `events` holds what has happened, as much as it has room
/// for; nothing after a signal.
#[inline]
pub(crate) fn wait(epoll: &Descriptor, events: &mut Vec<Event>, timeout_ns: Option<u64>) -> io::Result<()> {
    let timeout = timeout_ns.map(timespec);
    events.clear();
    match epoll::wait(&epoll.0, rustix::buffer::spare_capacity(events), timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: i64::try_from(ns / NS_PER_S).unwrap_or(i64::MAX), tv_nsec: (ns % NS_PER_S) as _ }
}

/// Makes a counter that any thread may raise (eventfd), readable while it is above zero.
pub(crate) fn event_counter() -> io::Result<Descriptor> {
    Ok(Descriptor(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
}

/// Adds one to the counter.
pub(crate) fn raise_counter(counter: &Descriptor) {
    // The one possible error is a counter that is full, and then it is readable already.
    let _ = rustix::io::write(&counter.0, &1u64.to_ne_bytes());
}

/// Sets the counter to zero.
pub(crate) fn clear_counter(counter: &Descriptor) {
    let mut count = [0; 8];
    let _ = rustix::io::read(&counter.0, &mut count);
}

/// Makes a timer (timerfd) that is not set; readable once it has fired.
pub(crate) fn timer() -> io::Result<Descriptor> {
    Ok(Descriptor(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?))
}

/// Has the timer fire once, in `ahead_ns` (1 at least: zero would clear it), whatever it was set to before.
pub(crate) fn set_timer(timer: &Descriptor, ahead_ns: u64) -> io::Result<()> {
    let value = Itimerspec { it_interval: Timespec::default(), it_value: timespec(ahead_ns.max(1)) };
    timerfd_settime(&timer.0, TimerfdTimerFlags::empty(), &value)?;
    Ok(())
}

/// Keeps this thread on one processor.
pub(crate) fn pin_thread(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        let message = format!("no processor {cpu}: at most {}", CpuSet::MAX_CPU);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(sched_setaffinity(None, &cpus)?)
}

/// Gives up this thread's timer slack (prctl(2), PR_SET_TIMERSLACK), so that its timers are late by the wake-up alone, and
/// asks for short time slices, so that it runs as soon as it is woken up.
pub(crate) fn reduce_wakeup_delay() {
    // Should either fail, exact instants are met less exactly, which the load engine measures and reports.
    let _ = rustix::thread::set_current_timer_slack(Some(NonZeroU64::MIN));
    let _ = request_short_slices();
}

/// The shortest time slice that Linux gives.
const SLICE_NS: u64 = 100_000;

/// Asks for the shortest time slices (sched_setattr(2)) where this thread runs at the usual policy. Its priority stays.
/// An older Linux accepts the call and does nothing.
///
/// A thread that wakes up where another runs waits until that one has used its slice, 1.4 to 3 ms. Since Linux 6.12 a
/// thread may ask for shorter slices of its own, without any privilege, and then runs at once. On two cores shared with its
/// server and with the thread that adds up figures, a load began 1 % of its arrivals late by 0.10 to 0.41 ms in place of
/// 0.16 to 0.62 (six runs of each in turn, 500/s), and by 0.12 in place of 1.06 ms while the kernel wrote 2 GB to the disk.
///
/// No library offers that call without `unsafe`: this is the only place in the workspace that needs it.
fn request_short_slices() -> io::Result<()> {
    let mut attributes = scheduling()?;
    if attributes.sched_policy != SCHED_OTHER as u32 {
        return Ok(());
    }
    attributes.sched_runtime = SLICE_NS;
    set_scheduling(&attributes)
}

#[allow(unsafe_code)]
fn scheduling() -> io::Result<sched_attr> {
    let mut attributes = sched_attr {
        size: 0,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    let size = size_of::<sched_attr>() as c_long;
    // SAFETY: the kernel writes at most `size` bytes to the third argument, which is one such structure of integers, borrowed
    // for the call alone. 0 is this thread.
    result_of(unsafe { libc::syscall(SYS_sched_getattr, 0, &raw mut attributes, size, 0) })?;
    Ok(attributes)
}

#[allow(unsafe_code)]
fn set_scheduling(attributes: &sched_attr) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes of the second argument as its first member says, which `scheduling` filled in
    // and which is no more than the structure has. 0 is this thread.
    result_of(unsafe { libc::syscall(SYS_sched_setattr, 0, std::ptr::from_ref(attributes), 0) })
}

fn result_of(returned: c_long) -> io::Result<()> {
    match returned {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The kernel's table of descriptors is prepared for so many, even where the limit is higher: a million entries are 8 MiB
/// of the kernel's memory.
const TABLE_ENTRIES_MAX: u64 = 1 << 20;

/// File descriptors that this process may have open (RLIMIT_NOFILE).
pub fn descriptor_limit() -> u64 {
    // None is no limit at all.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft limit of descriptors to the hard one, which takes no privilege (it is there for programs that use
/// select(2)), makes room for as many in the kernel's table, and returns the limit.
///
/// The room is made once, best before the first thread: a table that grows while threads share it waits for them all
/// (`expand_fdtable` in the kernel's fs/file.c, `synchronize_rcu`). It grows by doubling, and the thread that opens the
/// 257th, 513th, 1,025th... descriptor stood still for 5 to 30 ms: most of what a load generator's arrivals were late by.
pub fn raise_descriptor_limit() -> u64 {
    let hard = getrlimit(Resource::Nofile).maximum;
    // Only a sandbox refuses it; then the limit stays as it was, and the caller gets that one.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard });
    let limit = descriptor_limit();
    // Without it, sockets are opened all the same, some of them late.
    let _ = grow_table(limit.min(TABLE_ENTRIES_MAX));
    limit
}

/// The kernel's table holds the highest descriptor there ever was, and never shrinks.
fn grow_table(entries: u64) -> rustix::io::Result<()> {
    let highest = RawFd::try_from(entries.saturating_sub(1)).unwrap_or(RawFd::MAX);
    let any = eventfd(0, EventfdFlags::CLOEXEC)?;
    fcntl_dupfd_cloexec(&any, highest).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listener_disables_delay_and_shares_its_address_only_if_asked() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = bind(any, true).unwrap();
        let addr = first.local_addr().unwrap();
        assert!(sockopt::tcp_nodelay(&first).unwrap());
        assert!(bind(addr, true).is_ok(), "shared with another that shares");
        let refused = bind(addr, false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn shortage_of_resources_is_no_error_of_one_connection() {
        for (errno, expected) in [
            (Errno::AGAIN, true),
            (Errno::CONNABORTED, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
        ] {
            assert_eq!(concerns_one_connection(errno), expected, "{errno:?}");
        }
    }

    #[test]
    fn short_slices_change_nothing_else_of_the_scheduling() {
        // A thread of its own: another test may run on this one later.
        let measured = std::thread::spawn(|| {
            let before = scheduling().unwrap();
            request_short_slices().unwrap();
            (before, scheduling().unwrap())
        });
        let (before, after) = measured.join().unwrap();
        // Before Linux 6.12 there is nothing to read, nor is there where the tests run at another policy.
        assert!([SLICE_NS, 0, before.sched_runtime].contains(&after.sched_runtime));
        if before.sched_runtime > SLICE_NS && before.sched_policy == SCHED_OTHER as u32 {
            assert_eq!(after.sched_runtime, SLICE_NS);
        }
        let rest = |it: &sched_attr| (it.sched_policy, it.sched_nice, it.sched_flags);
        assert_eq!(rest(&after), rest(&before));
    }

    #[test]
    fn descriptor_table_is_as_large_as_the_limit_before_it_is_used() {
        let limit = raise_descriptor_limit();
        assert_eq!(limit, descriptor_limit());
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
        // proc_pid_status(5): "FDSize: Number of file descriptor slots currently allocated."
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let slots = status
            .lines()
            .find_map(|line| line.strip_prefix("FDSize:"))
            .and_then(|slots| slots.trim().parse::<u64>().ok())
            .unwrap();
        assert!(slots >= limit.min(TABLE_ENTRIES_MAX), "{slots} of {limit}");
    }
}
