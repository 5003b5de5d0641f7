//! The children: how one is started, and the signals that it gets.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::descriptors;
use crate::gate::listener;
use crate::gate::process_links::Inbox;
use crate::processes::group::Group;
use crate::processes::member::{ChildLink, PageRequest, Setup};
use crate::tls::Tls;

/// Requests to one child that wait for an answer.
const PAGE_REQUESTS_MAX: usize = 16;

/// The program that this process runs, also when its file was replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The flag that turns the parent's command line into a child's.
const MEMBER_FLAG: &str = "--member";

/// What each child is started with.
pub(super) struct Plan {
    pub(super) group: Group,
    pub(super) addr: SocketAddr,
    inboxes: Vec<(Inbox, OwnedFd)>,
    parent: OwnedFd,
}

/// The children as they are now.
#[derive(Clone, Default)]
pub(super) struct Members(Arc<Mutex<Now>>);

#[derive(Default)]
pub(super) struct Now {
    /// By their number; one that is down stays until it is restarted.
    pub(super) members: Vec<Member>,
    /// How often a child was restarted.
    pub(super) restarts: u64,
}

pub(super) struct Member {
    pub(super) pid: u32,
    pub(super) page_requests: mpsc::Sender<PageRequest>,
    signals: Arc<ChildSignals>,
}

/// Sends signals to a child, but not before it is ready.
struct ChildSignals {
    /// Names the child even after it has ended, when another may have its pid.
    pidfd: OwnedFd,
    state: Mutex<SignalState>,
}

#[derive(Default)]
struct SignalState {
    /// Since when it serves.
    ready_at: Option<Instant>,
    /// The signals to send once it is ready.
    waiting: Vec<Signal>,
    /// It was ordered to drain while it served.
    drains: bool,
}

impl Members {
    pub(super) fn now(&self) -> MutexGuard<'_, Now> {
        locked(&self.0)
    }

    /// Puts a child into its place.
    pub(super) fn put(&self, process: u16, member: Member) {
        let mut now = self.now();
        match now.members.get_mut(usize::from(process)) {
            Some(place) => *place = member,
            None => now.members.push(member),
        }
    }

    /// Sends all children a signal, those that are not ready as soon as they are.
    pub(super) fn signal(&self, signal: Signal) {
        self.now().members.iter().for_each(|it| it.signals.signal(signal));
    }

    /// Does any of them serve?
    pub(super) fn serve(&self) -> bool {
        let now = self.now();
        let mut all = now.members.iter();
        all.any(|it| locked(&it.signals.state).ready_at.is_some())
    }

    /// Notes the end of a child: how long it served, and whether it was ordered to drain before.
    pub(super) fn ended(&self, process: u16) -> (Duration, bool) {
        let now = self.now();
        let Some(member) = now.members.get(usize::from(process)) else {
            return (Duration::ZERO, false);
        };
        let mut state = locked(&member.signals.state);
        let served = state.ready_at.take().map(|at| at.elapsed());
        (served.unwrap_or_default(), state.drains)
    }
}

impl ChildSignals {
    fn signal(&self, signal: Signal) {
        let mut state = locked(&self.state);
        if state.ready_at.is_some() {
            self.send(&mut state, signal);
        } else if !state.waiting.contains(&signal) {
            state.waiting.push(signal);
        }
    }

    fn is_ready(&self) {
        let mut state = locked(&self.state);
        state.ready_at = Some(Instant::now());
        for signal in std::mem::take(&mut state.waiting) {
            self.send(&mut state, signal);
        }
    }

    fn send(&self, state: &mut SignalState, signal: Signal) {
        // A child that has ended already did not end by this signal.
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        if poll(&mut ended, Some(&Timespec::default())).is_ok_and(|ended| ended > 0) {
            return;
        }
        state.drains |= signal == Signal::TERM;
        // A child that ends at this moment needs no signal.
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plan {
    /// The plan, and the inbox where the parent's own connections arrive.
    pub(super) fn new(group: Group) -> io::Result<(Self, Inbox)> {
        let first = group.listeners.first().ok_or(io::ErrorKind::InvalidInput)?;
        let (inbox, parent) = Inbox::new()?;
        let inboxes = (0..group.processes).map(|_| Inbox::new());
        let plan = Self { addr: first.local_addr()?, inboxes: inboxes.collect::<io::Result<_>>()?, parent, group };
        Ok((plan, inbox))
    }

    /// Starts a child; the receiver gets a message once it is ready.
    pub(super) fn spawn(&self, process: u16) -> io::Result<(Member, Child, oneshot::Receiver<()>)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut arguments = env::args_os();
        let mut command = Command::new(OWN_PROGRAM);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        let child = command
            .args(arguments)
            .arg(MEMBER_FLAG)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        self.hand_over(process, &ours)?;
        let gone = || io::Error::other("it ended at once");
        let pid = child.id().ok_or_else(gone)?;
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pidfd = pidfd_open(raw.ok_or_else(gone)?, PidfdFlags::empty())?;
        let signals = Arc::new(ChildSignals { pidfd, state: Mutex::default() });
        let (ready, is_ready) = oneshot::channel();
        let (page_requests, requests) = mpsc::channel(PAGE_REQUESTS_MAX);
        let link = ChildLink::new(ours, requests)?;
        let on_ready = Arc::clone(&signals);
        tokio::spawn(link.hold(move || {
            on_ready.is_ready();
            // Only the first start is waited for.
            let _ = ready.send(());
        }));
        let member = Member { pid, page_requests, signals };
        Ok((member, child, is_ready))
    }

    /// Sends a child its listeners, its inbox, and the links to all others.
    fn hand_over(&self, process: u16, to: &UnixStream) -> io::Result<()> {
        let Group { listeners, shards, processes, .. } = &self.group;
        let in_all = shards * usize::from(*processes);
        let by_shard = listener::distribute(listeners, in_all)?;
        let first = shards * usize::from(process);
        let own = &by_shard[first..first + shards];
        let setup = Setup {
            process,
            processes: *processes,
            listeners: own.iter().map(Vec::len).collect(),
            frontend: self.group.frontend,
            seed: self.group.tls.as_ref().map(Tls::seed),
        };
        let (inbox, _) = &self.inboxes[usize::from(process)];
        let mut descriptors: Vec<BorrowedFd<'_>> = own.iter().flatten().map(AsFd::as_fd).collect();
        descriptors.push(inbox.as_fd());
        descriptors.extend(self.inboxes.iter().map(|(_, outbox)| outbox.as_fd()));
        descriptors.push(self.parent.as_fd());
        descriptors::send_bundle(to, &setup, &descriptors)
    }
}
