//! The side of the run: its processes are started, listened to, told what to do, and never left behind.

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
use crate::drive::processes::job::Job;
use crate::drive::processes::words::{FromMember, Steer, ToMember, TokenWord, hear, say};
use crate::drive::shard::FromShard;
use crate::ground::outcome::{Failure, FailureKind, Phase};
use crate::ground::time::{ClockOffset, MachineInstant};
use crate::tokens::{Answer, Requests, Ticket};

/// How long the processes may take to be ready: each reads its job and makes its threads.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Shards tell something every second; a process that says nothing for so many ticks has stalled. Ticks are counted, not
/// time: where the whole machine slept, so did whoever counts.
const SILENT_TICKS_MAX: u32 = 16;
const TICK: Duration = Duration::from_millis(500);

/// The program that this process runs, also when its file was replaced meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// The hidden command that makes a process a part of a run.
pub const MEMBER_COMMAND: &str = "member";
/// What of the environment a part needs: where certificate authorities are, and how a panic is shown. Secrets that the
/// run was given in other variables are not its business.
const ENVIRONMENT: [&str; 3] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_BACKTRACE"];

/// The processes of a run, for one load. They are killed when it is dropped; [`Group::end`] lets them go in order.
pub struct Group {
    members: Vec<Member>,
    /// Ends the thread that looks for silence when it is dropped.
    watched: Option<(Sender<()>, JoinHandle<()>)>,
}

struct Member {
    pid: u32,
    state: Arc<State>,
    say: Sender<Said>,
    reader: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
}

/// What is to be written to a process.
enum Said {
    Word(Box<ToMember>),
    /// No more.
    End,
}

/// What the threads of a process share.
struct State {
    /// Names it even after it has ended, when another may have its number.
    pidfd: OwnedFd,
    /// Words that it has said.
    words: AtomicU64,
    /// T0 was set, and its shards have not all ended.
    is_running: AtomicBool,
    /// It was killed for its silence.
    stalled: AtomicBool,
}

/// Why there are no processes.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The system would not start one.
    #[error("process {process} of the generator cannot be started: {error}")]
    Start {
        /// From 1.
        process: usize,
        /// What the system says.
        error: io::Error,
    },
    /// It ended, or said that it cannot.
    #[error("process {process} of the generator did not start: {why}")]
    Failed {
        /// From 1.
        process: usize,
        /// What it said, or how it ended.
        why: String,
    },
    /// It says nothing.
    #[error("the processes of the generator were not ready within {READY_WITHIN:?}")]
    NotReady,
}

/// What a group is started with, beside its jobs.
pub struct Setting<'a> {
    /// Steers all shards, wherever they run.
    pub control: &'a Control,
    /// Where tokens are asked for, if any are.
    pub requests: Option<&'a Requests>,
    /// The run's clock.
    pub clock: Clock,
    /// Hears what shards tell.
    pub report: &'a Sender<FromShard>,
}

impl Group {
    /// Starts a process for each job, and waits until all their shards wait for T0. The thread that calls must live as
    /// long as the run: its end is that of the processes.
    pub fn start(jobs: Vec<Job>, setting: Setting<'_>) -> Result<Self, GroupError> {
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
            let (say, state) = (member.say.clone(), member.state.clone());
            setting.control.register(move |signals| {
                let t0 = signals.t0.map(|t0| offset.machine(t0));
                if t0.is_some() {
                    state.is_running.store(true, Ordering::Release);
                }
                let t0_monotonic_ns = t0.map(MachineInstant::as_ns);
                let steer = Steer { t0_monotonic_ns, stop: signals.stop, close: signals.close };
                // Where it has ended, its reader says so.
                let _gone = say.send(Said::word(ToMember::Steer(steer)));
            });
        }
        group.watched = Some(watch(group.members.iter().map(|it| it.state.clone())));
        Ok(group)
    }

    /// The process numbers, in order.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.pid).collect()
    }

    /// Lets all processes go and waits for their ends. Whoever listens has heard by then that their shards are done.
    pub fn end(mut self) {
        for member in &self.members {
            let _gone = member.say.send(Said::End);
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
                let _gone = member.say.send(Said::End);
            }
        }
        self.join();
    }
}

impl Said {
    fn word(word: ToMember) -> Self {
        Self::Word(Box::new(word))
    }
}

impl State {
    fn kill(&self) {
        // Fails only where it has ended.
        let _ended_already = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

impl Member {
    fn start(job: Job, setting: &Setting<'_>, ready: &Sender<(usize, Result<(), String>)>) -> io::Result<Self> {
        let mut command = Command::new(OWN_PROGRAM);
        let kept = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command
            .arg(MEMBER_COMMAND)
            .env_clear()
            .envs(kept)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C reaches the run alone.
            .process_group(0);
        let mut process = command.spawn()?;
        let pid = process.id();
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or_else(|| io::Error::other("it has no number"))?;
        let state = Arc::new(State {
            pidfd: pidfd_open(number, PidfdFlags::empty())?,
            words: AtomicU64::new(0),
            is_running: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
        });
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let pipes = stdin.zip(stdout);
        let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("it has no pipes"))?;
        let (say, said) = mpsc::channel();
        let hearing = Hearing {
            process: job.process,
            processes: job.processes,
            pid,
            workers: job.cpus.len(),
            state: state.clone(),
            say: say.clone(),
            requests: setting.requests.cloned(),
            report: Some(setting.report.clone()),
        };
        if let Some(requests) = setting.requests {
            for shard in hearing.shards() {
                let say = Mutex::new(say.clone());
                requests.connect_shard(shard, move |answer| hand_over(&say, shard, &answer));
            }
        }
        let _sent_at_once = say.send(Said::word(ToMember::Job(Box::new(job))));
        let ready = ready.clone();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let writer = thread("to-member").spawn(move || write(stdin, &said))?;
        let reader = thread("from-member").spawn(move || hearing.hear(process, stdout, &ready))?;
        Ok(Self { pid, state, say, reader: Some(reader), writer: Some(writer) })
    }
}

/// Passes an answer on to the process whose shard asked.
fn hand_over(say: &Mutex<Sender<Said>>, shard: usize, answer: &Answer) {
    let word = Said::word(ToMember::Token(TokenWord::new(shard, answer)));
    // Where it has ended, nobody needs it.
    let _gone = say.lock().is_ok_and(|say| say.send(word).is_ok());
}

fn write(to: ChildStdin, said: &Receiver<Said>) {
    let mut to = BufWriter::new(to);
    while let Ok(Said::Word(word)) = said.recv() {
        if say(&mut to, &word).is_err() {
            // It has ended, and its reader says so.
            return;
        }
    }
}

/// What the thread that hears a process knows of it.
struct Hearing {
    process: usize,
    processes: usize,
    pid: u32,
    workers: usize,
    state: Arc<State>,
    say: Sender<Said>,
    requests: Option<Requests>,
    /// `None` once all its shards have told their last word: whoever listens waits for the last sender.
    report: Option<Sender<FromShard>>,
}

impl Hearing {
    /// The places of its shards among all.
    fn shards(&self) -> impl Iterator<Item = usize> + use<> {
        let (process, processes) = (self.process, self.processes);
        (0..self.workers).map(move |worker| crate::drive::processes::job::shard_index(process, worker, processes))
    }

    /// Hears it to its end.
    fn hear(mut self, mut process: Child, stdout: ChildStdout, ready: &Sender<(usize, Result<(), String>)>) {
        let mut from = BufReader::new(stdout);
        let mut done = 0;
        let fault = loop {
            let word = match hear(&mut from) {
                Ok(Some(word)) => word,
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            };
            self.state.words.fetch_add(1, Ordering::Relaxed);
            match word {
                FromMember::Ready => {
                    let _nobody_waits = ready.send((self.process + 1, Ok(())));
                }
                FromMember::Ask(ticket) => self.ask(ticket.into()),
                FromMember::Failed(why) => break Some(why),
                FromMember::Told(record) => match FromShard::try_from(record) {
                    Ok(told) if self.shards().any(|shard| shard == told.shard()) => {
                        done += usize::from(told.is_last());
                        self.tell(told);
                        if done == self.workers {
                            self.state.is_running.store(false, Ordering::Release);
                            self.report = None;
                        }
                    }
                    Ok(_) => break Some("it spoke for a shard of another".to_owned()),
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
                format!("it said nothing for {:?} and was killed", TICK * SILENT_TICKS_MAX)
            }
            None => status.map_or_else(|error| error.to_string(), |status| format!("it ended ({status})")),
        };
        let _nobody_waits = ready.send((self.process + 1, Err(why.clone())));
        self.tell(FromShard::Lost { error: self.lost(&why) });
    }

    fn tell(&self, told: FromShard) {
        let _nobody_listens = self.report.as_ref().map(|report| report.send(told));
    }

    fn ask(&self, ticket: Ticket) {
        let (shard, number) = (ticket.shard, ticket.number);
        let asked = self.requests.as_ref().map(|requests| requests.ask(ticket));
        if !matches!(asked, Some(Ok(()))) {
            let full = Failure { phase: Phase::Token, kind: FailureKind::Limit };
            let answer = Answer { number, result: Err(full), token_ns: None, made: false };
            let word = ToMember::Token(TokenWord::new(shard, &answer));
            let _gone = self.say.send(Said::word(word));
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

/// Looks whether processes go on saying something, and kills those that do not.
fn watch(states: impl Iterator<Item = Arc<State>>) -> (Sender<()>, JoinHandle<()>) {
    let mut watched: Vec<(Arc<State>, u64, u32)> = states.map(|state| (state, 0, 0)).collect();
    let (over, is_over) = mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        while is_over.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            for (state, heard, silent) in &mut watched {
                let words = state.words.load(Ordering::Relaxed);
                let speaks = words != *heard || !state.is_running.load(Ordering::Acquire);
                *silent = if speaks { 0 } else { *silent + 1 };
                *heard = words;
                if *silent == SILENT_TICKS_MAX {
                    state.stalled.store(true, Ordering::Release);
                    state.kill();
                }
            }
        }
    });
    (over, watcher)
}
