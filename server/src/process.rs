//! The process and its system: signals, the log, processor affinity, exit with the parent.

use std::{
    io, process,
    task::{Context, Waker},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use tokio::signal::unix::{self, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Resolves at the first SIGTERM or SIGINT.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The system's wall clock in seconds since 1970. A clock before 1970 reads 0, so that every time in a token is refused.
pub fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The SIGHUPs of a start.
pub struct EarlyHangups(unix::Signal);

impl EarlyHangups {
    /// From now on a SIGHUP does not end the process: key rotation may send it to one that is still starting, or that
    /// has no keys to read again. Needs a tokio runtime.
    pub fn outlive() -> io::Result<Self> {
        // The handler stays when its receiver goes.
        signal(SignalKind::hangup()).map(Self)
    }

    /// Raises one again if any came: files may have been read before it, and their watcher was not started
    /// yet.
    pub fn raise_again(mut self) {
        let mut nobody = Context::from_waker(Waker::noop());
        if self.0.poll_recv(&mut nobody).is_ready() {
            // One may always signal oneself.
            let _ = kill_process(getpid(), Signal::HUP);
        }
    }
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// For a machine: a JSON object per line.
    Json,
}

/// Starts the log on standard error; RUST_LOG sets its level.
pub fn start_log(format: LogFormat) {
    // tower-sessions warns of every malformed session id: a peer that sends them would fill the log.
    let usual = || EnvFilter::new("info,tower_sessions=error");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| usual());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Write failures would be reported by `eprintln!`, which panics on a full disk and on a pipe without a reader.
        .log_internal_errors(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    // A program that embeds the server may have its own log already, which is then used.
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

/// A repeated fault is logged once in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Limits how often a repeated fault is logged.
#[derive(Debug, Default)]
pub struct LogThrottle(Option<Instant>);

impl LogThrottle {
    /// Is another line due? It counts as written then.
    pub fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|at| at.elapsed() >= LOG_EVERY);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

/// Asks the kernel to end this process with the thread that started it.
pub fn die_with_parent() {
    let asked = set_parent_process_death_signal(Some(Signal::KILL));
    if let Err(error) = asked {
        tracing::warn!(%error, "cannot ask for an end with the parent");
    }
    // The parent may have ended before; init is the parent then.
    if getppid().is_none_or(Pid::is_init) {
        process::exit(0);
    }
}

/// Keeps this thread, and the threads it will start, to `cpus`; to any when there are none.
pub fn keep_to(cpus: &[usize]) -> io::Result<()> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = rustix::thread::CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    rustix::thread::sched_setaffinity(None, &set)?;
    Ok(())
}
