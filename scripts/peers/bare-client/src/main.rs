//! The bare client: the least that a client does to open authenticated sockets. One thread, one level-triggered epoll
//! set, and per handshake socket, connect, epoll_ctl, send, epoll_ctl, recv, close (and what a way of closing or
//! Socket.IO adds to it). It measures no latency: it prints its counts and its processor time.

mod client;
mod protocol;
mod sources;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use client::{Client, Counts};
use protocol::Protocol;
use sources::Sources;

/// Open authenticated sockets at the least cost.
///
/// At its end it prints one line of JSON:
/// {"done":N,"failed":N,"lost":N,"heartbeats":N,"wall_s":S,"cpu_s":S}. With --hold there is one before it, as soon as all
/// handshakes have ended: {"held":N,"failed":N,"wall_s":S,"cpu_s":S}. Standard error has the first failure. The exit
/// code is 0 however many failed, 1 when it could not work, 2 for wrong flags.
#[derive(Parser)]
#[command(name = "bare-client", version)]
struct Args {
    /// The server
    #[arg(long, value_name = "IP:PORT")]
    target: SocketAddr,
    /// The protocol; Socket.IO is over Engine.IO 4, by WebSocket alone
    #[arg(long, value_enum, default_value_t = Protocol::Websocket)]
    protocol: Protocol,
    /// The request's path [default: /ws or /socket.io/]
    #[arg(long)]
    path: Option<String>,
    /// Sent in the query
    #[arg(long, default_value = "")]
    token: String,
    /// Its name in the query
    #[arg(long, value_name = "NAME", default_value = "token")]
    token_name: String,
    /// Handshakes in all
    #[arg(short, long, value_name = "N")]
    number: usize,
    /// Handshakes under way at once, as fast as they complete
    #[arg(short, long, default_value_t = 64, conflicts_with = "rate", value_parser = at_least_one)]
    concurrency: usize,
    /// Handshakes started per second, however fast they complete
    #[arg(short, long, value_name = "R/s", value_parser = rate)]
    rate: Option<f64>,
    /// Local addresses, used in turn: a list of addresses and ranges such as 127.0.0.2-127.0.0.17
    #[arg(long, value_name = "LIST", default_value = "")]
    source_ip: Sources,
    /// Hold the sockets and answer heartbeats for so many seconds after the last handshake, or until `end`: the end of
    /// standard input
    #[arg(long, value_name = "S|end", value_parser = hold)]
    hold: Option<Hold>,
    /// How sockets are closed
    #[arg(long, value_enum, default_value_t = Close::Reset)]
    close: Close,
}

/// How long sockets are held.
#[derive(Clone, Copy)]
enum Hold {
    For(Duration),
    UntilStdinEnds,
}

/// How a socket is closed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Close {
    /// RST: no port waits (TIME-WAIT) afterwards
    Reset,
    /// FIN
    Fin,
    /// A WebSocket close frame, answered by the server's, who closes first
    Frame,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut client = Client::new(&args)?;
    client.open_all()?;
    if let Some(hold) = args.hold {
        let Counts { done, failed, .. } = client.counts;
        print_line(&format!("{{\"held\":{done},\"failed\":{failed},{}}}", client.cost()))?;
        client.hold(hold)?;
    }
    client.close_all()?;
    let Counts { done, failed, lost, heartbeats } = client.counts;
    print_line(&format!(
        "{{\"done\":{done},\"failed\":{failed},\"lost\":{lost},\"heartbeats\":{heartbeats},{}}}",
        client.cost()
    ))
}

fn print_line(line: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err("must be a whole number of at least 1".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("must be a rate from 0.001 to 1000000 per second".into()),
    }
}

fn hold(text: &str) -> Result<Hold, String> {
    if text == "end" {
        return Ok(Hold::UntilStdinEnds);
    }
    let seconds = text.parse().ok();
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.map(Hold::For).ok_or_else(|| "must be seconds, or `end`".into())
}
