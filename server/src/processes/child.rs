//! Starts children and sends signals to them.

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

/// The program of this process, even when its file was replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The flag that turns the parent's command line into a child's.
const MEMBER_FLAG: &str = "--member";

/// The data with which each child is started.
pub(super) struct Plan {
    pub(super) group: Group,
    pub(super) addr: SocketAddr,
    inboxes: Vec<(Inbox, OwnedFd)>,
    parent: OwnedFd,
}

/// The children, shared by the tasks of the parent.
#[derive(Clone, Default)]
pub(super) struct Members(Arc<Mutex<MemberTable>>);

#[derive(Default)]
pub(super) struct MemberTable {
    /// By number. A child that is down stays in the table until it is restarted.
    pub(super) members: Vec<Member>,
    /// The number of restarts of all children.
    pub(super) restarts: u64,
}

pub(super) struct Member {
    pub(super) pid: u32,
    pub(super) page_requests: mpsc::Sender<PageRequest>,
    signals: Arc<ChildSignals>,
}

/// Sends signals to a child once it is ready.
struct ChildSignals {
    /// Refers to the child even after it has ended, when another process may have its pid.
    pidfd: OwnedFd,
    state: Mutex<SignalState>,
}

#[derive(Default)]
struct SignalState {
    ready_at: Option<Instant>,
    /// The signals to send once the child is ready.
    waiting: Vec<Signal>,
    /// The child was ordered to drain while it served.
    drains: bool,
}

impl Members {
    pub(super) fn lock(&self) -> MutexGuard<'_, MemberTable> {
        locked(&self.0)
    }

    /// Adds a child, or replaces the child of the same number.
    pub(super) fn put(&self, process: u16, member: Member) {
        let mut table = self.lock();
        match table.members.get_mut(usize::from(process)) {
            Some(old) => *old = member,
            None => table.members.push(member),
        }
    }

    /// Sends a signal to all children. A child that is not ready gets the signal once it is.
    pub(super) fn signal(&self, signal: Signal) {
        self.lock().members.iter().for_each(|it| it.signals.signal(signal));
    }

    /// Whether any child serves.
    pub(super) fn serve(&self) -> bool {
        self.lock().members.iter().any(|it| locked(&it.signals.state).ready_at.is_some())
    }

    /// Records the end of a child; returns how long it served, and whether it was ordered to drain.
    pub(super) fn ended(&self, process: u16) -> (Duration, bool) {
        let table = self.lock();
        let Some(member) = table.members.get(usize::from(process)) else {
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
        // A child that has ended did not drain because of this signal.
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        if poll(&mut ended, Some(&Timespec::default())).is_ok_and(|ended| ended > 0) {
            return;
        }
        state.drains |= signal == Signal::TERM;
        // This fails when the child has ended since, and then needs no signal.
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plan {
    /// The plan, and the inbox of the parent.
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
        tokio::spawn(link.run(move || {
            on_ready.is_ready();
            // The receiver is dropped when the child was restarted.
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
