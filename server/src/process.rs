//! The process and its system: signals, the log, processor affinity, exit with the parent.

use std::task::{Context, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{io, process};

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

/// The SIGHUPs that are received while the server starts.
pub struct EarlyHangups(unix::Signal);

impl EarlyHangups {
    /// From now on a SIGHUP does not end the process: key rotation may send one to a server that is still starting, or
    /// that has no keys to read again. Needs a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        // The handler stays when the receiver is dropped.
        signal(SignalKind::hangup()).map(Self)
    }

    /// Sends this process a SIGHUP if it received one: files may have been read before that, and no task watched them yet.
    pub fn raise_again(mut self) {
        if self.0.poll_recv(&mut Context::from_waker(Waker::noop())).is_ready() {
            // A process may always send signals to itself.
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
    let filter = EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info,tower_sessions=error"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Write failures would be reported by `eprintln!`, which panics on a full disk and on a pipe without a reader.
        .log_internal_errors(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    // This fails when a program that embeds the server has started its own log, which is then used.
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

/// A repeated fault is logged at most once in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Limits how often a repeated fault is logged.
#[derive(Debug, Default)]
pub struct LogThrottle(Option<Instant>);

impl LogThrottle {
    /// Whether another line may be written now. The caller must write it.
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
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        tracing::warn!(%error, "cannot ask for an end with the parent");
    }
    // If the parent ended before the call, init is the parent now.
    if getppid().is_none_or(Pid::is_init) {
        process::exit(0);
    }
}

/// Pins this thread, and the threads that it will start, to `cpus`; does nothing when `cpus` is empty.
pub fn pin_to_cpus(cpus: &[usize]) -> io::Result<()> {
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
