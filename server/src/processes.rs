//! A gate of several processes, for more sockets than one process may have descriptors.
//!
//! The parent binds every listener and keeps it, makes every inbox and keeps both its ends, and hands each child its
//! own over its standard input, a Unix socket. A child that dies is restarted with the same: connections that wait for
//! it in the kernel are not lost, only the sockets that it had. Connections go from child to child ([`courier`]), so
//! that a session that polls is found wherever its requests arrive; `/metrics` goes to the parent, which asks all
//! children.
//!
//! [`courier`]: crate::gate::process_links

mod attempts;
mod child;
mod group;
mod member;
mod pages;
mod scrape;

use std::{io, net::SocketAddr, process::ExitStatus, time::Duration};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use attempts::{Attempts, FAILED_MAX};
use child::{Members, Plan};
pub use group::Group;
pub use member::{Membership, ParentLink};

/// A running gate of several processes. They end when it is dropped.
pub struct Processes {
    plan: Plan,
    members: Members,
    running: JoinSet<(u16, io::Result<ExitStatus>)>,
    /// Processes that are down, until their restart is due.
    down: JoinSet<u16>,
    /// By their number.
    attempts: Vec<Attempts>,
    drains: bool,
}

/// A process of the gate has ended, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum ProcessFailed {
    /// It could not be started.
    #[error("process {process} of the gate cannot be started: {error}")]
    Start {
        /// Its number.
        process: u16,
        /// The system's error.
        error: io::Error,
    },
    /// It ended before it was ready; its own log has the reason.
    #[error("process {process} of the gate did not start ({status})")]
    NotReady {
        /// Its number.
        process: u16,
        /// How it ended.
        status: ExitStatus,
    },
    /// None is left, and none can be restarted.
    #[error(
        "no process of the gate is left, and {FAILED_MAX} attempts at each have failed, the last one at process \
         {process}: {fault}"
    )]
    NoneLeft {
        /// The last one's number.
        process: u16,
        /// How it failed.
        fault: String,
    },
    /// It did not drain when it was ordered to.
    #[error("process {process} of the gate ended with {status}")]
    Ended {
        /// Its number.
        process: u16,
        /// How it ended.
        status: String,
    },
}

impl ProcessFailed {
    /// The parent's exit code: the child's where it did not start, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotReady { status, .. } => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
            _ => 1,
        }
    }
}

impl Processes {
    /// Starts the processes of `group` by the command line of this one, and waits until all are ready.
    pub async fn start(group: Group) -> Result<Self, ProcessFailed> {
        let members = Members::default();
        let failed = |process| move |error| ProcessFailed::Start { process, error };
        forward_hangups(members.clone()).map_err(failed(0))?;
        let (plan, inbox) = Plan::new(group).map_err(failed(0))?;
        scrape::start(inbox, members.clone()).map_err(failed(0))?;
        let mut processes = Self {
            attempts: vec![Attempts::default(); plan.group.processes.into()],
            plan,
            members,
            running: JoinSet::new(),
            down: JoinSet::new(),
            drains: false,
        };
        let mut ready = Vec::new();
        for process in 0..processes.plan.group.processes {
            ready.push(processes.spawn(process).map_err(failed(process))?);
        }
        for is_ready in ready {
            tokio::select! {
                biased;
                Ok(()) = is_ready => {}
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

    /// Drains every child. Await [`Processes::ended`] for their ends.
    pub fn drain(&mut self) {
        self.drains = true;
        // First, so that the listeners close with the children's.
        self.plan.group.listeners.clear();
        // Those that are down have nothing to drain.
        self.down = JoinSet::new();
        self.members.signal(Signal::TERM);
    }

    /// Waits for the next end that matters: of a child after `drain`, before it of the last that can serve; others are
    /// restarted. `None` once all have ended. May be dropped and called again.
    pub async fn ended(&mut self) -> Option<Result<(), ProcessFailed>> {
        loop {
            let retried = tokio::select! {
                Some(Ok((process, status))) = self.running.join_next() => {
                    let (served, drained) = self.members.ended(process);
                    if self.drains {
                        return Some(ended_in_order(process, status, drained));
                    }
                    self.retry(process, served, describe(status))
                }
                Some(Ok(process)) = self.down.join_next() => match self.spawn(process) {
                    Ok(_) => {
                        self.members.now().restarts += 1;
                        Ok(())
                    }
                    Err(error) => {
                        let fault = format!("it cannot be started: {error}");
                        self.retry(process, Duration::ZERO, fault)
                    }
                },
                else => return None,
            };
            if let Err(failed) = retried {
                return Some(Err(failed));
            }
        }
    }

    /// Starts a child; the receiver gets a message once it is ready.
    fn spawn(&mut self, process: u16) -> io::Result<oneshot::Receiver<()>> {
        let (member, mut child, ready) = self.plan.spawn(process)?;
        tracing::info!(process, pid = member.pid, "process of the gate started");
        self.members.put(process, member);
        self.running.spawn(async move { (process, child.wait().await) });
        Ok(ready)
    }

    /// Plans the next attempt at a process that is down, unless none serves and all attempts have failed.
    fn retry(&mut self, process: u16, served: Duration, fault: String) -> Result<(), ProcessFailed> {
        let wait = self.attempts[usize::from(process)].next_after(served);
        if self.attempts.iter().all(Attempts::are_exhausted) && !self.members.serve() {
            return Err(ProcessFailed::NoneLeft { process, fault });
        }
        tracing::error!(process, fault, again_in = ?wait, "a process of the gate is down and will be restarted");
        self.down.spawn(async move {
            sleep(wait).await;
            process
        });
        Ok(())
    }
}

/// Judges the end of a child after the order to drain; only one that `drained` can fail at it.
fn ended_in_order(process: u16, status: io::Result<ExitStatus>, drained: bool) -> Result<(), ProcessFailed> {
    if !drained || matches!(status, Ok(status) if status.success()) {
        return Ok(());
    }
    let status = describe(status);
    tracing::error!(process, status, "a process of the gate did not drain: the others go on");
    Err(ProcessFailed::Ended { process, status })
}

fn describe(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Passes each SIGHUP on to the children, which read their keys again.
fn forward_hangups(members: Members) -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            members.signal(Signal::HUP);
        }
    });
    Ok(())
}
