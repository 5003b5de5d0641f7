//! The children: how one is started, and what it is told by signals.

use std::{
    env, io,
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, oneshot},
};

use crate::{
    descriptors,
    gate::{listener, process_links::Inbox},
    processes::{
        group::Group,
        member::{Ask, Conversation, Setup},
    },
    tls::Tls,
};

/// Questions to one child that wait for an answer.
const ASKS_MAX: usize = 16;

/// The program that this process runs, also when its file was replaced meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What makes a child of the command line of its parent.
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
    /// By their number; one that is down stands for the next.
    pub(super) members: Vec<Member>,
    /// Children that were started anew.
    pub(super) restarts: u64,
}

pub(super) struct Member {
    pub(super) pid: u32,
    pub(super) asks: mpsc::Sender<Ask>,
    ear: Arc<Ear>,
}

/// What hears signals: not before the child is ready.
struct Ear {
    /// Names the child even after it has ended, when another may have its pid.
    pidfd: OwnedFd,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// Since when it serves.
    ready_at: Option<Instant>,
    /// What it is to be told once it is ready.
    waiting: Vec<Signal>,
    /// It was told to drain, while it served.
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
    pub(super) fn tell(&self, signal: Signal) {
        self.now().members.iter().for_each(|it| it.ear.tell(signal));
    }

    /// Does any of them serve?
    pub(super) fn serve(&self) -> bool {
        let now = self.now();
        let mut all = now.members.iter();
        all.any(|it| locked(&it.ear.heard).ready_at.is_some())
    }

    /// Notes the end of a child: how long it served, and whether it was told to drain before.
    pub(super) fn ended(&self, process: u16) -> (Duration, bool) {
        let now = self.now();
        let Some(member) = now.members.get(usize::from(process)) else {
            return (Duration::ZERO, false);
        };
        let mut heard = locked(&member.ear.heard);
        let served = heard.ready_at.take().map(|at| at.elapsed());
        (served.unwrap_or_default(), heard.drains)
    }
}

impl Ear {
    fn tell(&self, signal: Signal) {
        let mut heard = locked(&self.heard);
        if heard.ready_at.is_some() {
            self.send(&mut heard, signal);
        } else if !heard.waiting.contains(&signal) {
            heard.waiting.push(signal);
        }
    }

    fn is_ready(&self) {
        let mut heard = locked(&self.heard);
        heard.ready_at = Some(Instant::now());
        for signal in std::mem::take(&mut heard.waiting) {
            self.send(&mut heard, signal);
        }
    }

    fn send(&self, heard: &mut Heard, signal: Signal) {
        // What has ended, unnoticed as yet, did not end by being told.
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        if poll(&mut ended, Some(&Timespec::default())).is_ok_and(|ended| ended > 0) {
            return;
        }
        heard.drains |= signal == Signal::TERM;
        // One that ends just now needs none.
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

    /// Starts a child; the last of what comes back is told once it is ready.
    pub(super) fn spawn(&self, process: u16) -> io::Result<(Member, Child, oneshot::Receiver<()>)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut words = env::args_os();
        let mut command = Command::new(OWN_PROGRAM);
        if let Some(name) = words.next() {
            command.arg0(name);
        }
        let child = command
            .args(words)
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
        let ear = Arc::new(Ear { pidfd, heard: Mutex::default() });
        let (ready, is_ready) = oneshot::channel();
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let conversation = Conversation::new(ours, asked)?;
        let hears = Arc::clone(&ear);
        tokio::spawn(conversation.hold(move || {
            hears.is_ready();
            // Only the first start is waited for.
            let _ = ready.send(());
        }));
        let member = Member { pid, asks, ear };
        Ok((member, child, is_ready))
    }

    /// Gives a child its listeners, its inbox, and the ways to all others'.
    fn hand_over(&self, process: u16, to: &UnixStream) -> io::Result<()> {
        let Group { listeners, shards, processes, .. } = &self.group;
        let in_all = shards * usize::from(*processes);
        let dealt = listener::deal(listeners, in_all)?;
        let first = shards * usize::from(process);
        let own = &dealt[first..first + shards];
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
