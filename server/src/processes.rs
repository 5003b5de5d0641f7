//! A gate of several processes, for more sockets than one process may have descriptors.
//!
//! The parent opens and keeps every listener and both ends of every inbox. It sends each child its listeners and its inbox
//! over the child's standard input, a Unix socket. A child that dies is restarted with the same descriptors: only its
//! sockets are lost, not the connections that wait in the kernel. A connection moves between children
//! (`gate/process_links.rs`) when another child owns the session of its request. `/metrics` goes to the parent, which
//! requests a page from every child.

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

/// A running gate of several processes. Dropping it ends them.
pub struct Processes {
    plan: Plan,
    members: Members,
    running: JoinSet<(u16, io::Result<ExitStatus>)>,
    /// Processes that are down, until their restart is due.
    down: JoinSet<u16>,
    /// The attempts at each process, by its number.
    attempts: Vec<Attempts>,
    drains: bool,
}

/// A process of the gate, by its number, has ended or did not start.
#[derive(Debug, thiserror::Error)]
pub enum ProcessFailed {
    #[error("process {process} of the gate cannot be started: {error}")]
    Start { process: u16, error: io::Error },
    /// The process ended before it was ready; its own log has the reason.
    #[error("process {process} of the gate did not start ({status})")]
    NotReady { process: u16, status: ExitStatus },
    #[error(
        "no process of the gate is left, and {FAILED_MAX} attempts at each have failed, the last one at process \
         {process}: {fault}"
    )]
    NoneLeft { process: u16, fault: String },
    /// The process did not drain when it was ordered to.
    #[error("process {process} of the gate ended with {status}")]
    Ended { process: u16, status: String },
}

impl ProcessFailed {
    /// The parent's exit code: that of a child that did not start, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotReady { status, .. } => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
            _ => 1,
        }
    }
}

impl Processes {
    /// Starts the processes of `group` with the command line of this process, and waits until all are ready.
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

    /// The address that the gate listens on.
    pub fn addr(&self) -> SocketAddr {
        self.plan.addr
    }

    /// The children's process ids.
    pub fn pids(&self) -> Vec<u32> {
        self.members.lock().members.iter().map(|it| it.pid).collect()
    }

    /// Orders every child to drain. [`Processes::ended`] waits for their ends.
    pub fn drain(&mut self) {
        self.drains = true;
        // Before the order, so that a listener is closed as soon as its children have closed it.
        self.plan.group.listeners.clear();
        // Processes that are down are not restarted.
        self.down = JoinSet::new();
        self.members.signal(Signal::TERM);
    }

    /// After `drain`, waits for the next child to end; `None` when all have ended. Before it, restarts children that end,
    /// until no child serves and no attempt is left. The future may be dropped at any time.
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
                        self.members.lock().restarts += 1;
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

    /// Plans the next attempt at a process that is down, unless no process serves and all attempts have failed.
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

/// The result of a child's end during the drain. A child that was not ready (`drained` is false) cannot fail.
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
