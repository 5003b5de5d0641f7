//! The side of a process: it runs its part of the load, and sends all that it measures.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::os::fd::AsFd;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};

use reactor::{Clock, raise_descriptor_limit};
use rustix::process::{Pid, Signal, getppid, nice, set_parent_process_death_signal};

use crate::drive::control::Control;
use crate::drive::processes::job::{Job, Tokens, shard_index};
use crate::drive::processes::protocol::{FromMember, Steer, TicketMessage, ToMember, read_message, write_message};
use crate::drive::shard::{FromShard, ShardHandle, ShardPlan, spawn};
use crate::ground::time::{ClockOffset, MachineInstant};
use crate::plan::arrival::Schedule;
use crate::spec::Refresh;
use crate::tokens::{Relay, Supply, relay};

/// The exit code of a process that could not do its job.
const EXIT_FAILED: u8 = 1;
/// Reports may be sent a moment later; the arrivals of another process on this processor may not.
const NICE_OF_REPORTS: i32 = 10;

/// Runs the job of standard input, reports on standard output, and returns the exit code.
pub fn run() -> u8 {
    die_with_parent();
    let Ok((from, to)) = streams() else {
        return EXIT_FAILED;
    };
    let out = Out(Arc::new(Mutex::new(BufWriter::new(to))));
    match member(BufReader::new(from), &out) {
        Ok(()) => 0,
        Err(error) => {
            out.send(&FromMember::Failed(error));
            EXIT_FAILED
        }
    }
}

fn member(mut from: BufReader<File>, out: &Out) -> Result<(), String> {
    let mut first = || read_message(&mut from).map_err(|error| error.to_string());
    let (Some(ToMember::Job(job)), Some(ToMember::Tokens(tokens))) = (first()?, first()?) else {
        return Err("the first messages are not a job and its tokens".to_owned());
    };
    // Before the first thread.
    raise_descriptor_limit();
    let load = Load::start(*job, tokens, out).map_err(|error| format!("cannot start: {error}"))?;
    let done = Arc::new(AtomicBool::new(false));
    let receiver = load.receive(from, done.clone()).map_err(|error| format!("cannot start: {error}"))?;
    // From here on this thread alone: those of shards, tickets and messages have begun.
    let _kept_if_refused = nice(NICE_OF_REPORTS);
    out.send(&FromMember::Ready);
    for report in load.reports {
        out.send(&FromMember::Report((&report).into()));
    }
    for (shard, handle) in load.handles {
        if !handle.join() {
            let error = io::Error::other("it panicked");
            out.send(&FromMember::Report((&FromShard::Broken { shard, error }).into()));
        }
    }
    done.store(true, Ordering::Release);
    // The run reads this process's figures until it ends standard input.
    let _panicked = receiver.join();
    Ok(())
}

/// The shards of this process, waiting for T0.
struct Load {
    control: Arc<Control>,
    offset: ClockOffset<MachineInstant>,
    relay: Option<Relay>,
    handles: Vec<(usize, ShardHandle)>,
    reports: Receiver<FromShard>,
}

impl Load {
    fn start(job: Job, tokens: Tokens, out: &Out) -> Result<Self, String> {
        let targets = job.targets().map_err(|error| error.to_string())?;
        let Job { load, process, cpus, .. } = job;
        let (tokens, asks, invalid) = tokens.into_parts();
        let shards = load.shards();
        let ahead = match load.refresh {
            Refresh::Ahead(ahead) => Some(ahead),
            Refresh::Never | Refresh::OnRefusal => None,
        };
        let (supply, relay) = if asks {
            let out = out.clone();
            let kept = (!tokens.is_empty()).then_some((tokens, ahead));
            let ask = move |ticket| out.send(&FromMember::Ask(TicketMessage::from(ticket)));
            let (supply, relay) = relay(shards, kept, ask).map_err(|error| error.to_string())?;
            (supply, Some(relay))
        } else {
            (Supply::Ready(tokens.into()), None)
        };
        let clock = Clock::start();
        let control = Arc::new(Control::new());
        let schedule = Schedule::new(&load.model, load.connections, load.duration, load.seed);
        let (report, reports) = mpsc::channel();
        let load = Arc::new(load);
        let mut handles = Vec::new();
        for (worker, cpu) in cpus.into_iter().enumerate() {
            let index = shard_index(process, worker, load.processes);
            let handle = spawn(ShardPlan {
                index,
                of: shards,
                load: load.clone(),
                targets: targets.clone(),
                arrivals: schedule.as_ref().map(|schedule| schedule.shard(index, shards)),
                supply: supply.clone(),
                invalid: invalid.clone(),
                cpu,
                clock,
                control: control.clone(),
                report: report.clone(),
            });
            handles.push((index, handle.map_err(|error| error.to_string())?));
        }
        Ok(Self { control, offset: ClockOffset::to_machine(&clock), relay, handles, reports })
    }

    /// Receives the messages of the run until the run closes the pipe or ends.
    fn receive(&self, mut from: BufReader<File>, done: Arc<AtomicBool>) -> io::Result<std::thread::JoinHandle<()>> {
        let (control, offset) = (self.control.clone(), self.offset);
        let relay = self.relay.clone();
        std::thread::Builder::new().name("messages".to_owned()).spawn(move || {
            while let Ok(Some(message)) = read_message(&mut from) {
                match message {
                    ToMember::Steer(steer) => follow(steer, &control, offset),
                    ToMember::Token(token) => {
                        if let Some(relay) = &relay {
                            let (shard, answer) = token.answer();
                            relay.give(shard, answer);
                        }
                    }
                    // Only the first two messages; they were read before.
                    ToMember::Job(_) | ToMember::Tokens(_) => {}
                }
            }
            if !done.load(Ordering::Acquire) {
                // The run has ended: nothing receives reports, and nothing else would stop this process.
                exit(i32::from(EXIT_FAILED));
            }
        })
    }
}

fn follow(steer: Steer, control: &Control, offset: ClockOffset<MachineInstant>) {
    if let Some(t0_ns) = steer.t0_monotonic_ns {
        control.start(offset.from_machine(MachineInstant::from_ns(t0_ns)));
    }
    if steer.stop {
        control.stop();
    }
    if steer.close {
        control.close();
    }
}

/// Standard output, which one thread at a time writes a message to.
#[derive(Clone)]
struct Out(Arc<Mutex<BufWriter<File>>>);

impl Out {
    fn send(&self, message: &FromMember) {
        let mut to = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // If the run has ended, the thread that receives its messages ends this process.
        let _gone = write_message(&mut *to, message);
    }
}

/// Descriptors of standard input and output. Nothing else in this program may read or write them.
fn streams() -> io::Result<(File, File)> {
    let from = io::stdin().as_fd().try_clone_to_owned()?;
    let to = io::stdout().as_fd().try_clone_to_owned()?;
    Ok((from.into(), to.into()))
}

/// Asks the kernel to end this process with the thread that started it.
fn die_with_parent() {
    // If the kernel refuses, the end of standard input ends this process instead.
    let _refused = set_parent_process_death_signal(Some(Signal::KILL));
    // If the parent ended before the request, init is now the parent.
    if getppid().is_none_or(Pid::is_init) {
        exit(i32::from(EXIT_FAILED));
    }
}
