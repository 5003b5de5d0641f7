//! The bare client: the least that a client does to open authenticated sockets. One thread, one level-triggered epoll
//! set, and per handshake socket, connect, epoll_ctl, send, epoll_ctl, recv, close (and what a way of closing or
//! Socket.IO adds to it). It measures no latency: what it says in the end are its own counts and its processor time.

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

/// Open authenticated sockets, for as little as the kernel takes.
///
/// In the end one line of JSON on standard output has what came of them:
/// {"done":N,"failed":N,"lost":N,"heartbeats":N,"wall_s":S,"cpu_s":S}. With --hold there is one before it, as soon as all
/// handshakes are over: {"held":N,"failed":N,"wall_s":S,"cpu_s":S}. Standard error has the first failure. It leaves with
/// 0 however many failed, 1 when it could not work, 2 for wrong flags.
#[derive(Parser)]
#[command(name = "bare-client", version)]
struct Args {
    /// The server
    #[arg(long, value_name = "IP:PORT")]
    target: SocketAddr,
    /// What is spoken; Socket.IO over Engine.IO 4, by WebSocket alone
    #[arg(long, value_enum, default_value_t = Protocol::Websocket)]
    protocol: Protocol,
    /// The request's path [default: /ws or /socket.io/]
    #[arg(long)]
    path: Option<String>,
    /// Sent in the query
    #[arg(long, default_value = "")]
    token: String,
    /// As what it is sent there
    #[arg(long, value_name = "NAME", default_value = "token")]
    token_name: String,
    /// Handshakes in all
    #[arg(short, long, value_name = "N")]
    number: usize,
    /// Handshakes under way at once, as fast as they get done
    #[arg(short, long, default_value_t = 64, conflicts_with = "rate", value_parser = at_least_one)]
    concurrency: usize,
    /// Handshakes started per second, however fast they get done
    #[arg(short, long, value_name = "R/s", value_parser = rate)]
    rate: Option<f64>,
    /// Local addresses, used in turn: a list of addresses and ranges such as 127.0.0.2-127.0.0.17
    #[arg(long, value_name = "LIST", default_value = "")]
    source_ip: Sources,
    /// Keep the sockets, heartbeats answered, for so many seconds after the last handshake, or until `end`: the end of
    /// standard input
    #[arg(long, value_name = "S|end", value_parser = hold)]
    hold: Option<Hold>,
    /// How sockets are closed
    #[arg(long, value_enum, default_value_t = Close::Reset)]
    close: Close,
}

/// How long sockets are kept.
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
        say(&format!("{{\"held\":{done},\"failed\":{failed},{}}}", client.cost()))?;
        client.hold(hold)?;
    }
    client.close_all()?;
    let Counts { done, failed, lost, heartbeats } = client.counts;
    say(&format!(
        "{{\"done\":{done},\"failed\":{failed},\"lost\":{lost},\"heartbeats\":{heartbeats},{}}}",
        client.cost()
    ))
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err("a number of 1 or more, please".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("a rate from 0.001 to 1000000 per second, please".into()),
    }
}

fn hold(text: &str) -> Result<Hold, String> {
    if text == "end" {
        return Ok(Hold::UntilStdinEnds);
    }
    let seconds = text.parse().ok();
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.map(Hold::For).ok_or_else(|| "seconds, or `end`, please".into())
}
