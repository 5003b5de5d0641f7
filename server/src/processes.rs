//! A gate of several processes, for more sockets than one process may have descriptors.
//!
//! The parent binds every listener and keeps it, makes every inbox and keeps both its ends, and hands each child its own
//! over its standard input, a Unix socket. A child that dies is started anew with the same: connections that wait for it
//! in the kernel are not lost, only the sockets that it had. Connections go from child to child ([`courier`]), so that a
//! session that polls is found wherever its requests arrive; `/metrics` goes to the parent, which asks all children.
//!
//! [`courier`]: crate::gate::courier

mod member;
mod pages;
mod scrape;

use std::{
    collections::VecDeque,
    env, io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use crate::{
    descriptors,
    frontend::Whereabouts,
    gate::{courier::Inbox, listener},
    tls::Tls,
};
pub use member::{Control, Membership};
use member::{Conversation, Setup};
use scrape::Ask;

/// A process that was started so often within [`RESTARTS_WITHIN`] will not do better the next time.
const RESTARTS_MAX: usize = 5;
/// See [`RESTARTS_MAX`].
const RESTARTS_WITHIN: Duration = Duration::from_secs(60);

/// Questions to one child that wait for an answer.
const ASKS_MAX: usize = 16;

/// The program that this process runs, also when its file was replaced meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What makes a child of the command line of its parent.
const MEMBER_FLAG: &str = "--member";

/// A running gate of several processes. They end when it is dropped.
pub struct Processes {
    plan: Plan,
    members: Members,
    running: JoinSet<(u16, io::Result<ExitStatus>)>,
    /// When each was started again, in the last [`RESTARTS_WITHIN`].
    restarts: Vec<VecDeque<Instant>>,
    drains: bool,
}

/// What the processes are to be.
pub struct Group {
    /// The gate's listeners, at least one.
    pub listeners: Vec<TcpListener>,
    /// How many processes, at least one.
    pub processes: u16,
    /// How many shards each has, at least one.
    pub shards: usize,
    /// Where the parent's frontend is, if it has one.
    pub frontend: Option<Whereabouts>,
    /// What they share for TLS, if they speak it.
    pub tls: Option<Tls>,
}

/// A process of the gate has ended, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum ProcessFailed {
    /// It could not be started.
    #[error("process {process} of the gate cannot be started: {error}")]
    Start {
        /// Its number.
        process: u16,
        /// What the system says.
        error: io::Error,
    },
    /// It ended before it was ready; why, it has said itself.
    #[error("process {process} of the gate did not start ({status})")]
    NotReady {
        /// Its number.
        process: u16,
        /// How it ended.
        status: ExitStatus,
    },
    /// It ended by itself, again and again.
    #[error(
        "process {process} of the gate ended {RESTARTS_MAX} times within {RESTARTS_WITHIN:?}, at last with {status}"
    )]
    Again {
        /// Its number.
        process: u16,
        /// How it ended.
        status: String,
    },
    /// It did not end in order when it was told to.
    #[error("process {process} of the gate ended with {status}")]
    Ended {
        /// Its number.
        process: u16,
        /// How it ended.
        status: String,
    },
}

impl ProcessFailed {
    /// What the parent is to leave with: what the child left with where it did not start, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotReady { status, .. } => status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1),
            _ => 1,
        }
    }
}

/// What each child is started with.
struct Plan {
    group: Group,
    addr: SocketAddr,
    inboxes: Vec<(Inbox, OwnedFd)>,
    parent: OwnedFd,
}

/// The children as they are now.
#[derive(Clone, Default)]
struct Members(Arc<Mutex<Now>>);

#[derive(Default)]
struct Now {
    /// By their number.
    members: Vec<Member>,
    /// Children that were started anew.
    restarts: u64,
}

struct Member {
    pid: u32,
    /// Names it even after it has ended, when another may have its pid.
    pidfd: OwnedFd,
    /// It handles signals.
    is_ready: Arc<AtomicBool>,
    asks: mpsc::Sender<Ask>,
}

impl Processes {
    /// Starts the processes of `group` by the command line of this one, and waits until all are ready.
    pub async fn start(group: Group) -> Result<Self, ProcessFailed> {
        let members = Members::default();
        let failed = |error| ProcessFailed::Start { process: 0, error };
        let plan = Plan::new(group, &members).map_err(failed)?;
        let mut processes = Self {
            restarts: (0..plan.group.processes).map(|_| VecDeque::new()).collect(),
            plan,
            members,
            running: JoinSet::new(),
            drains: false,
        };
        let mut ready = Vec::new();
        for process in 0..processes.plan.group.processes {
            ready.push(processes.spawn(process)?);
        }
        for told in ready {
            tokio::select! {
                biased;
                Ok(()) = told => {}
                Some(Ok((process, status))) = processes.running.join_next() => {
                    return Err(match status {
                        Ok(status) => ProcessFailed::NotReady { process, status },
                        Err(error) => ProcessFailed::Start { process, error },
                    });
                }
            }
        }
        Ok(processes)
    }

    /// Where the gate listens.
    pub fn addr(&self) -> SocketAddr {
        self.plan.addr
    }

    /// The children's process ids.
    pub fn pids(&self) -> Vec<u32> {
        let now = self.members.now();
        now.members.iter().map(|it| it.pid).collect()
    }

    /// Passes each SIGHUP on to the children, which read their keys again. Comes back only when signals cannot be had.
    pub fn forward_hangups(&self) -> io::Result<()> {
        let mut hangups = signal(SignalKind::hangup())?;
        let members = self.members.clone();
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                let now = members.now();
                // One that is not ready is about to read them, and would not survive the signal.
                let ready = now.members.iter().filter(|it| it.is_ready.load(Acquire));
                ready.for_each(|member| member.signal(Signal::HUP));
            }
        });
        Ok(())
    }

    /// Goes down: each child drains. Await [`Processes::ended`] for their ends.
    pub fn drain(&mut self) {
        self.drains = true;
        // First, so that the listeners close with the children's.
        self.plan.group.listeners.clear();
        let now = self.members.now();
        now.members.iter().for_each(|it| it.signal(Signal::TERM));
    }

    /// Waits for the next end that matters: of a child that was told to drain, or that was started too often; others are
    /// started anew. `None` once all have ended. May be dropped and called again.
    pub async fn ended(&mut self) -> Option<Result<(), ProcessFailed>> {
        loop {
            let (process, status) = self.running.join_next().await?.ok()?;
            let status = match status {
                Ok(status) if self.drains && status.success() => return Some(Ok(())),
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            if self.drains {
                return Some(Err(ProcessFailed::Ended { process, status }));
            }
            if self.is_hopeless(process) {
                return Some(Err(ProcessFailed::Again { process, status }));
            }
            tracing::error!(
                process,
                status,
                "a process of the gate ended: starting it anew"
            );
            if let Err(failed) = self.spawn(process) {
                return Some(Err(failed));
            }
        }
    }

    /// Starts a child; what comes back is told once it is ready.
    fn spawn(&mut self, process: u16) -> Result<oneshot::Receiver<()>, ProcessFailed> {
        let (member, child, ready) = self
            .plan
            .spawn(process)
            .map_err(|error| ProcessFailed::Start { process, error })?;
        tracing::info!(process, pid = member.pid, "process of the gate started");
        let mut now = self.members.now();
        match now.members.get_mut(usize::from(process)) {
            Some(place) => *place = member,
            None => now.members.push(member),
        }
        drop(now);
        let mut child = child;
        self.running
            .spawn(async move { (process, child.wait().await) });
        Ok(ready)
    }

    /// Counts a start that is to come; `true` where it is one too many.
    fn is_hopeless(&mut self, process: u16) -> bool {
        let Some(restarts) = self.restarts.get_mut(usize::from(process)) else {
            return true;
        };
        restarts.push_back(Instant::now());
        restarts.retain(|at| at.elapsed() < RESTARTS_WITHIN);
        self.members.now().restarts += 1;
        restarts.len() >= RESTARTS_MAX
    }
}

impl Members {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn signal(&self, signal: Signal) {
        // One that has ended needs none.
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }
}

impl Plan {
    fn new(group: Group, members: &Members) -> io::Result<Self> {
        let first = group.listeners.first().ok_or(io::ErrorKind::InvalidInput)?;
        let (inbox, parent) = Inbox::new()?;
        scrape::start(inbox, members.clone())?;
        let inboxes = (0..group.processes).map(|_| Inbox::new());
        Ok(Self {
            addr: first.local_addr()?,
            inboxes: inboxes.collect::<io::Result<_>>()?,
            parent,
            group,
        })
    }

    fn spawn(&self, process: u16) -> io::Result<(Member, Child, oneshot::Receiver<()>)> {
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
        let (is_ready, ready) = (Arc::new(AtomicBool::new(false)), oneshot::channel());
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let conversation = Conversation::new(ours, asked)?;
        let is_ready_now = Arc::clone(&is_ready);
        tokio::spawn(conversation.hold(move || {
            is_ready_now.store(true, Release);
            // Only the first start is waited for.
            let _ = ready.0.send(());
        }));
        let member = Member {
            pid,
            pidfd: pidfd_open(raw.ok_or_else(gone)?, PidfdFlags::empty())?,
            is_ready,
            asks,
        };
        Ok((member, child, ready.1))
    }

    /// Gives a child its listeners, its inbox, and the ways to all others'.
    fn hand_over(&self, process: u16, to: &UnixStream) -> io::Result<()> {
        let Group {
            listeners,
            shards,
            processes,
            ..
        } = &self.group;
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
