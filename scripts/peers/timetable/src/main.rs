//! A server whose every delay is known in advance: it serves one handshake at a time, each in an exact time, and serves
//! nothing during its stalls. The true response times follow from its timetable and the schedule of arrivals, so a load
//! generator's figures can be checked.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Signal, set_parent_process_death_signal};

/// Serve WebSocket handshakes by a timetable, one at a time.
///
/// Its clock starts with its first handshake. Once it listens it prints one line of JSON with its port:
/// {"port":N,"pid":N}. It ends with its parent.
#[derive(Parser)]
#[command(name = "timetable", version)]
struct Args {
    /// Time that each handshake takes
    #[arg(long, value_name = "US", default_value_t = 0)]
    service_us: u64,
    /// Length of the stall in the middle of each period
    #[arg(long, value_name = "MS", default_value_t = 0)]
    stall_ms: u64,
    /// Length of a period
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    every_ms: u64,
    /// A file for the end of each handshake: nanoseconds after the first began, 8 bytes each, little-endian
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// Connections that may arrive in the longest stall.
const BACKLOG: i32 = 4096;
/// Sockets that stay open. The oldest is closed when there are more; its client has closed it long before.
const KEPT_MAX: usize = 4096;
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A client that sends no request for so long is ignored.
const READ_TIME_MAX: Duration = Duration::from_secs(1);
/// A sleep ends late by less than this on a machine that is not busy.
const SPIN: Duration = Duration::from_micros(300);

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let timetable = Timetable::new(&args)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_current_timer_slack(Some(std::num::NonZeroU64::MIN))?;
    let listener = listen()?;
    let (port, pid) = (listener.local_addr()?.port(), std::process::id());
    println!("{{\"port\":{port},\"pid\":{pid}}}");
    std::io::stdout().flush()?;
    let log = args.log.as_deref().map(File::create).transpose()?;
    timetable.serve(&listener, log)
}

fn listen() -> anyhow::Result<TcpListener> {
    let family = AddressFamily::INET;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// When handshakes are completed.
///
/// ```text
/// end = max(ready, end of the stall that ready falls into) + service
/// ```
struct Timetable {
    service: Duration,
    stall: Duration,
    /// Above `stall`.
    every: Duration,
}

impl Timetable {
    fn new(args: &Args) -> anyhow::Result<Self> {
        if args.stall_ms >= args.every_ms {
            bail!(
                "a stall of {} ms in each {} ms leaves no time to serve; give --every-ms more",
                args.stall_ms,
                args.every_ms
            );
        }
        Ok(Self {
            service: Duration::from_micros(args.service_us),
            stall: Duration::from_millis(args.stall_ms),
            every: Duration::from_millis(args.every_ms),
        })
    }

    /// When a handshake ends that may begin at `ready`; both count from the first handshake.
    fn end(&self, ready: Duration) -> Duration {
        let periods = (ready.as_nanos() / self.every.as_nanos()) as u32;
        let begin = self.every * periods + (self.every - self.stall) / 2;
        let end = begin + self.stall;
        let stalls = (begin..end).contains(&ready);
        (if stalls { end } else { ready }) + self.service
    }

    fn serve(&self, listener: &TcpListener, mut log: Option<File>) -> anyhow::Result<()> {
        let mut zero: Option<Instant> = None;
        let mut last_end = Duration::ZERO;
        let mut kept = VecDeque::with_capacity(KEPT_MAX);
        loop {
            // A connection that is already there has waited: its service starts at the end of the last one.
            listener.set_nonblocking(true)?;
            let waiting = listener.accept();
            listener.set_nonblocking(false)?;
            let (stream, ready) = match waiting {
                Ok((stream, _)) => (stream, zero.map(|_| last_end)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let (stream, _) = listener.accept().context("accept")?;
                    (stream, zero.map(|zero| zero.elapsed()))
                }
                Err(error) => return Err(error).context("accept: raise the limit on descriptors?"),
            };
            // A connection without a request does not start the clock.
            let Some(answer) = answer(&stream) else {
                continue;
            };
            let zero = *zero.get_or_insert_with(Instant::now);
            wait_until(zero + self.end(ready.unwrap_or_default()));
            // The client may have closed meanwhile.
            let _ = (&stream).write_all(&answer);
            last_end = zero.elapsed();
            if let Some(log) = &mut log {
                // Unbuffered, because the reader may kill this process at any time.
                log.write_all(&(last_end.as_nanos() as u64).to_le_bytes())?;
            }
            if kept.len() == KEPT_MAX {
                kept.pop_front();
            }
            kept.push_back(stream);
        }
    }
}

/// Reads a request to its end; the 101 for it.
fn answer(mut stream: &TcpStream) -> Option<Vec<u8>> {
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(READ_TIME_MAX)).ok()?;
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(bytes @ 1..) if head.len() < HEAD_BYTES_MAX => {
                head.extend_from_slice(&buffer[..bytes]);
            }
            _ => return None,
        }
    }
    let request = wire::http::RequestHead::parse(&head).ok().flatten()?;
    let mut answer = Vec::new();
    let key = request.header("sec-websocket-key")?;
    wire::http::write_switching_protocols(&mut answer, key, None);
    Some(answer)
}

fn wait_until(end: Instant) {
    std::thread::sleep(end.saturating_duration_since(Instant::now() + SPIN));
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshake_ends_at_the_instant_of_the_timetable() {
        let timetable = |service_us, stall_ms, every_ms| {
            let args = Args { service_us, stall_ms, every_ms, log: None };
            Timetable::new(&args)
        };
        for (service_us, stall_ms, ready_us, end_us, why) in [
            (1000, 0, 0, 1000, "served at once"),
            (0, 1000, 4_499_999, 4_499_999, "just before the stall"),
            (0, 1000, 4_500_000, 5_500_000, "as it begins"),
            (1000, 1000, 5_499_999, 5_501_000, "at its end, then served"),
            (0, 1000, 5_500_000, 5_500_000, "it is over"),
            (0, 1000, 15_000_000, 15_500_000, "the next one"),
        ] {
            let end = timetable(service_us, stall_ms, 10_000).unwrap().end(Duration::from_micros(ready_us));
            assert_eq!(end, Duration::from_micros(end_us), "{why}");
        }
        assert!(timetable(0, 10, 10).is_err(), "nothing but stall");
    }
}
