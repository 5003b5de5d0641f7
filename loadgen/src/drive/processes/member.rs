//! The side of a process: it does its job's part of the run, and says all that it measures.

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
use crate::drive::processes::job::{Job, Understood, shard_index};
use crate::drive::processes::words::{FromMember, Steer, ToMember, hear, say};
use crate::drive::shard::{FromShard, ShardHandle, ShardPlan, spawn};
use crate::ground::time::{ClockOffset, MachineInstant};
use crate::judge::verdict;
use crate::plan::arrival::Schedule;
use crate::spec::Refresh;
use crate::tokens::{Relay, Supply, relay};

/// What is measured may be said a moment later; the arrivals of another process on this processor may not.
const NICE_OF_TELLING: i32 = 10;

/// Does what standard input says, and tells of it on standard output. Answers the exit code.
pub fn run() -> u8 {
    die_with_parent();
    let Ok((from, to)) = streams() else {
        return verdict::INTERNAL;
    };
    let out = Out(Arc::new(Mutex::new(BufWriter::new(to))));
    match member(BufReader::new(from), &out) {
        Ok(()) => verdict::PASS,
        Err(error) => {
            out.say(&FromMember::Failed(error));
            verdict::INTERNAL
        }
    }
}

fn member(mut from: BufReader<File>, out: &Out) -> Result<(), String> {
    let job = match hear(&mut from) {
        Ok(Some(ToMember::Job(job))) => *job,
        Ok(_) => return Err("the first word is no job".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    // Before the first thread.
    raise_descriptor_limit();
    let load = Load::start(job, out).map_err(|error| format!("cannot start: {error}"))?;
    let done = Arc::new(AtomicBool::new(false));
    let listener = load.listen(from, done.clone()).map_err(|error| format!("cannot start: {error}"))?;
    // From here on this thread alone: those of shards, tickets and words have begun.
    let _kept_if_refused = nice(NICE_OF_TELLING);
    out.say(&FromMember::Ready);
    for told in load.reports {
        out.say(&FromMember::Told((&told).into()));
    }
    for (shard, handle) in load.handles {
        if !handle.join() {
            let error = io::Error::other("it panicked");
            out.say(&FromMember::Told((&FromShard::Broken { shard, error }).into()));
        }
    }
    done.store(true, Ordering::Release);
    // The run reads this process's figures until it has let go of it.
    let _panicked = listener.join();
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
    fn start(job: Job, out: &Out) -> Result<Self, String> {
        let (process, cpus) = (job.process, job.cpus.clone());
        let Understood { scenario, targets, tokens, asks, bad } =
            job.understand().map_err(|error| error.to_string())?;
        let shards = scenario.shards();
        let ahead = match scenario.tokens.refresh {
            Refresh::Ahead(ahead) => Some(ahead),
            Refresh::Never | Refresh::OnRefusal => None,
        };
        let (supply, relay) = if asks {
            let out = out.clone();
            let kept = (!tokens.is_empty()).then_some((tokens, ahead));
            let ask = move |ticket| out.say(&FromMember::Ask(crate::drive::processes::words::TicketWord::from(ticket)));
            let (supply, relay) = relay(shards, kept, ask).map_err(|error| error.to_string())?;
            (supply, Some(relay))
        } else {
            (Supply::Ready(tokens.into()), None)
        };
        let clock = Clock::start();
        let control = Arc::new(Control::new());
        let schedule = Schedule::new(&scenario.load, scenario.connections, scenario.duration, scenario.seed);
        let (report, reports) = mpsc::channel();
        let scenario = Arc::new(scenario);
        let mut handles = Vec::new();
        for (worker, cpu) in cpus.into_iter().enumerate() {
            let index = shard_index(process, worker, scenario.processes);
            let handle = spawn(ShardPlan {
                index,
                of: shards,
                scenario: scenario.clone(),
                targets: targets.clone(),
                arrivals: schedule.as_ref().map(|schedule| schedule.shard(index, shards)),
                supply: supply.clone(),
                bad: bad.clone(),
                cpu,
                clock,
                control: control.clone(),
                report: report.clone(),
            });
            handles.push((index, handle.map_err(|error| error.to_string())?));
        }
        Ok(Self { control, offset: ClockOffset::to_machine(&clock), relay, handles, reports })
    }

    /// Hears what the run says, until it says no more: it has let go of this process, or is gone.
    fn listen(&self, mut from: BufReader<File>, done: Arc<AtomicBool>) -> io::Result<std::thread::JoinHandle<()>> {
        let (control, offset) = (self.control.clone(), self.offset);
        let relay = self.relay.clone();
        std::thread::Builder::new().name("words".to_owned()).spawn(move || {
            while let Ok(Some(word)) = hear(&mut from) {
                match word {
                    ToMember::Steer(steer) => follow(steer, &control, offset),
                    ToMember::Token(word) => {
                        if let (Some(relay), Some((shard, answer))) = (&relay, word.answer()) {
                            relay.give(shard, answer);
                        }
                    }
                    // There is one, at the beginning.
                    ToMember::Job(_) => {}
                }
            }
            if !done.load(Ordering::Acquire) {
                // Nobody listens, and nobody will say stop.
                exit(i32::from(verdict::INTERNAL));
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

/// Standard output, a word at a time.
#[derive(Clone)]
struct Out(Arc<Mutex<BufWriter<File>>>);

impl Out {
    fn say(&self, word: &FromMember) {
        let mut to = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the run is gone, the thread that hears it ends this process.
        let _gone = say(&mut *to, word);
    }
}

/// Standard input and output by themselves: nothing else of this program is to read or write them.
fn streams() -> io::Result<(File, File)> {
    let from = io::stdin().as_fd().try_clone_to_owned()?;
    let to = io::stdout().as_fd().try_clone_to_owned()?;
    Ok((from.into(), to.into()))
}

/// Asks the kernel to end this process with the thread that started it.
fn die_with_parent() {
    // Where it is refused, the end of standard input says the same.
    let _refused = set_parent_process_death_signal(Some(Signal::KILL));
    // It may have died before that; init has then taken its place.
    if getppid().is_none_or(Pid::is_init) {
        exit(i32::from(verdict::INTERNAL));
    }
}
