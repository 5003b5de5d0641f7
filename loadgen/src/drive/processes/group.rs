//! The side of the run: starts its processes, sends them their jobs, receives their reports, and ends all of them.

use std::io::{self, BufReader, BufWriter};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use reactor::Clock;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::drive::control::Control;
use crate::drive::processes::job::{Job, Tokens, shard_index};
use crate::drive::processes::protocol::{FromMember, Steer, ToMember, TokenMessage, read_message, write_message};
use crate::drive::shard::FromShard;
use crate::ground::outcome::{Failure, FailureKind, Phase};
use crate::ground::time::{ClockOffset, MachineInstant};
use crate::tokens::{Answer, Requests, Ticket};

/// How long the processes may take to be ready: each reads its job and makes its threads.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Shards report every second; a process that sends nothing during this number of ticks has stalled. Ticks are counted
/// because the counting thread stops while the machine is suspended, as the processes do.
const SILENT_TICKS_MAX: u32 = 16;
const TICK: Duration = Duration::from_millis(500);

/// The program that this process runs, even if its file was replaced after the start.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// The hidden command that makes a process a part of a run.
pub const MEMBER_COMMAND: &str = "member";
/// The environment variables that a process receives: the paths of certificate authorities, and how a panic is shown.
/// Other variables may hold secrets of the run.
const ENVIRONMENT: [&str; 3] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_BACKTRACE"];

/// The processes of one load. Dropping the group kills them; [`Group::end`] ends them in order.
pub struct Group {
    members: Vec<Member>,
    /// Dropping the sender ends the thread, which detects stalled processes.
    watched: Option<(Sender<()>, JoinHandle<()>)>,
}

struct Member {
    pid: u32,
    state: Arc<State>,
    outgoing: Sender<Outgoing>,
    reader: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
}

/// Input of the thread that writes to a process.
enum Outgoing {
    Message(Box<ToMember>),
    /// Closes the standard input of the process.
    End,
}

/// The state that the threads of one process share.
struct State {
    /// Identifies the process even after it has ended and the kernel has reused its number.
    pidfd: OwnedFd,
    /// The number of messages received from the process.
    received: AtomicU64,
    /// T0 was set, and its shards have not all ended.
    is_running: AtomicBool,
    /// The process was killed because it sent nothing.
    stalled: AtomicBool,
}

/// Why the processes of a load did not start.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The system refused to start a process.
    #[error("process {process} of the generator cannot be started: {error}")]
    Start {
        /// From 1.
        process: usize,
        /// The system's error.
        error: io::Error,
    },
    /// A process ended or failed before it was ready.
    #[error("process {process} of the generator did not start: {why}")]
    Failed {
        /// From 1.
        process: usize,
        /// The error of the process, or how it ended.
        why: String,
    },
    /// A process was not ready in time.
    #[error("the processes of the generator were not ready within {READY_WITHIN:?}")]
    NotReady,
}

/// The arguments of [`Group::start`], except for the jobs.
pub struct GroupSetting<'a> {
    /// Starts, stops and closes all shards.
    pub control: &'a Control,
    /// Receives token requests; `None`: shards make none.
    pub requests: Option<&'a Requests>,
    /// The run's clock.
    pub clock: Clock,
    /// The tokens of every process.
    pub tokens: Tokens,
    /// Receives the reports of shards.
    pub report: &'a Sender<FromShard>,
}

impl Group {
    /// Starts a process for each job and waits until all shards wait for T0. The calling thread must live as long as the
    /// run: the kernel kills the processes when it ends.
    pub fn start(jobs: Vec<Job>, setting: GroupSetting<'_>) -> Result<Self, GroupError> {
        let mut group = Self { members: Vec::new(), watched: None };
        let (ready, is_ready) = mpsc::channel();
        let processes = jobs.len();
        for job in jobs {
            let process = job.process + 1;
            let failed = |error| GroupError::Start { process, error };
            let member = Member::start(job, &setting, &ready).map_err(failed)?;
            group.members.push(member);
        }
        drop(ready);
        for _ in 0..processes {
            match is_ready.recv_timeout(READY_WITHIN) {
                Ok((_, Ok(()))) => {}
                Ok((process, Err(why))) => return Err(GroupError::Failed { process, why }),
                Err(_) => return Err(GroupError::NotReady),
            }
        }
        let offset = ClockOffset::to_machine(&setting.clock);
        for member in &group.members {
            let (outgoing, state) = (member.outgoing.clone(), member.state.clone());
            setting.control.register(move |signals| {
                let t0 = signals.t0.map(|t0| offset.machine(t0));
                if t0.is_some() {
                    state.is_running.store(true, Ordering::Release);
                }
                let t0_monotonic_ns = t0.map(MachineInstant::as_ns);
                let steer = Steer { t0_monotonic_ns, stop: signals.stop, close: signals.close };
                // If the process has ended, its reader reports that.
                let _gone = outgoing.send(Outgoing::message(ToMember::Steer(steer)));
            });
        }
        group.watched = Some(watch(group.members.iter().map(|it| it.state.clone())));
        Ok(group)
    }

    /// The numbers of the processes, by process index.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.pid).collect()
    }

    /// Closes the standard input of all processes and waits until they have ended. Call it when all shards have reported
    /// that they are done.
    pub fn end(mut self) {
        for member in &self.members {
            let _gone = member.outgoing.send(Outgoing::End);
        }
        self.join();
    }

    fn join(&mut self) {
        if let Some((over, watcher)) = self.watched.take() {
            drop(over);
            let _panicked = watcher.join();
        }
        for member in &mut self.members {
            for thread in [member.writer.take(), member.reader.take()] {
                let _panicked = thread.map(JoinHandle::join);
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for member in &self.members {
            if member.reader.is_some() {
                member.state.kill();
                let _gone = member.outgoing.send(Outgoing::End);
            }
        }
        self.join();
    }
}

impl Outgoing {
    fn message(message: ToMember) -> Self {
        Self::Message(Box::new(message))
    }
}

impl State {
    fn kill(&self) {
        // Fails only if the process has ended.
        let _ended_already = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

impl Member {
    fn start(job: Job, setting: &GroupSetting<'_>, ready: &Sender<(usize, Result<(), String>)>) -> io::Result<Self> {
        let mut command = Command::new(OWN_PROGRAM);
        let kept = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command
            .arg(MEMBER_COMMAND)
            .env_clear()
            .envs(kept)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in the terminal signals the run only.
            .process_group(0);
        let mut process = command.spawn()?;
        let pid = process.id();
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or_else(|| io::Error::other("it has no number"))?;
        let state = Arc::new(State {
            pidfd: pidfd_open(number, PidfdFlags::empty())?,
            received: AtomicU64::new(0),
            is_running: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
        });
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let pipes = stdin.zip(stdout);
        let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("it has no pipes"))?;
        let (outgoing, to_write) = mpsc::channel();
        let reading = Reading {
            process: job.process,
            processes: job.load.processes,
            pid,
            workers: job.cpus.len(),
            state: state.clone(),
            outgoing: outgoing.clone(),
            requests: setting.requests.cloned(),
            report: Some(setting.report.clone()),
        };
        if let Some(requests) = setting.requests {
            for shard in reading.shards() {
                let outgoing = Mutex::new(outgoing.clone());
                requests.connect_shard(shard, move |answer| send_answer(&outgoing, shard, &answer));
            }
        }
        for first in [ToMember::Job(Box::new(job)), ToMember::Tokens(setting.tokens.clone())] {
            let _sent_at_once = outgoing.send(Outgoing::message(first));
        }
        let ready = ready.clone();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let writer = thread("to-member").spawn(move || write(stdin, &to_write))?;
        let reader = thread("from-member").spawn(move || reading.run(process, stdout, &ready))?;
        Ok(Self { pid, state, outgoing, reader: Some(reader), writer: Some(writer) })
    }
}

/// Sends an answer to the process whose shard asked.
fn send_answer(outgoing: &Mutex<Sender<Outgoing>>, shard: usize, answer: &Answer) {
    let message = Outgoing::message(ToMember::Token(TokenMessage::new(shard, answer)));
    // Where the process has ended, the answer is not needed.
    let _gone = outgoing.lock().is_ok_and(|outgoing| outgoing.send(message).is_ok());
}

fn write(to: ChildStdin, to_write: &Receiver<Outgoing>) {
    let mut to = BufWriter::new(to);
    while let Ok(Outgoing::Message(message)) = to_write.recv() {
        if write_message(&mut to, &message).is_err() {
            // It has ended, and its reader reports that.
            return;
        }
    }
}

/// What the thread that reads a process's messages knows of it.
struct Reading {
    process: usize,
    processes: usize,
    pid: u32,
    workers: usize,
    state: Arc<State>,
    outgoing: Sender<Outgoing>,
    requests: Option<Requests>,
    /// `None` once all its shards are done: the receiver waits for the last sender to be dropped.
    report: Option<Sender<FromShard>>,
}

impl Reading {
    /// The places of its shards among all.
    fn shards(&self) -> impl Iterator<Item = usize> + use<> {
        let (process, processes) = (self.process, self.processes);
        (0..self.workers).map(move |worker| shard_index(process, worker, processes))
    }

    /// Reads to the end of the process.
    fn run(mut self, mut process: Child, stdout: ChildStdout, ready: &Sender<(usize, Result<(), String>)>) {
        let mut from = BufReader::new(stdout);
        let mut done = 0;
        let fault = loop {
            let message = match read_message(&mut from) {
                Ok(Some(message)) => message,
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            };
            self.state.received.fetch_add(1, Ordering::Relaxed);
            match message {
                FromMember::Ready => {
                    let _nobody_waits = ready.send((self.process + 1, Ok(())));
                }
                FromMember::Ask(ticket) => self.ask(ticket.into()),
                FromMember::Failed(why) => break Some(why),
                FromMember::Report(record) => match FromShard::try_from(record) {
                    Ok(report) if self.shards().any(|shard| shard == report.shard()) => {
                        done += usize::from(report.is_last());
                        self.report(report);
                        if done == self.workers {
                            self.state.is_running.store(false, Ordering::Release);
                            self.report = None;
                        }
                    }
                    Ok(_) => break Some("it reported for a shard of another process".to_owned()),
                    Err(error) => break Some(error.to_string()),
                },
            }
        };
        self.state.is_running.store(false, Ordering::Release);
        if fault.is_some() {
            self.state.kill();
        }
        let status = process.wait();
        if done == self.workers && fault.is_none() {
            return;
        }
        let why = match fault {
            Some(fault) => fault,
            None if self.state.stalled.load(Ordering::Acquire) => {
                format!("it sent nothing for {:?} and was killed", TICK * SILENT_TICKS_MAX)
            }
            None => status.map_or_else(|error| error.to_string(), |status| format!("it ended ({status})")),
        };
        let _nobody_waits = ready.send((self.process + 1, Err(why.clone())));
        self.report(FromShard::Lost { error: self.lost(&why) });
    }

    fn report(&self, report: FromShard) {
        let _run_is_over = self.report.as_ref().map(|to| to.send(report));
    }

    fn ask(&self, ticket: Ticket) {
        let (shard, number) = (ticket.shard, ticket.number);
        let asked = self.requests.as_ref().map(|requests| requests.ask(ticket));
        if !matches!(asked, Some(Ok(()))) {
            let full = Failure { phase: Phase::Token, kind: FailureKind::Limit };
            let answer = Answer { number, result: Err(full), token_ns: None, made: false };
            let message = ToMember::Token(TokenMessage::new(shard, &answer));
            let _gone = self.outgoing.send(Outgoing::message(message));
        }
    }

    fn lost(&self, why: &str) -> String {
        format!(
            "process {} of {} (pid {}), which had {:.1} % of the load: {why}",
            self.process + 1,
            self.processes,
            self.pid,
            100.0 / self.processes as f64
        )
    }
}

/// Kills processes from which nothing is received any more.
fn watch(states: impl Iterator<Item = Arc<State>>) -> (Sender<()>, JoinHandle<()>) {
    let mut watched: Vec<(Arc<State>, u64, u32)> = states.map(|state| (state, 0, 0)).collect();
    let (over, is_over) = mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        while is_over.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            for (state, before, silent) in &mut watched {
                let received = state.received.load(Ordering::Relaxed);
                let sends = received != *before || !state.is_running.load(Ordering::Acquire);
                *silent = if sends { 0 } else { *silent + 1 };
                *before = received;
                if *silent == SILENT_TICKS_MAX {
                    state.stalled.store(true, Ordering::Release);
                    state.kill();
                }
            }
        }
    });
    (over, watcher)
}
