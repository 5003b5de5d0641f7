//! The floor: the least that a server does for a WebSocket handshake. One thread, one level-triggered epoll set, and per
//! connection accept4, setsockopt (TCP_NODELAY), epoll_ctl, recv, send, recv, close. It checks nothing: it answers the
//! first bytes by one constant 101, the next by one constant close frame, and closes.
//! (Clients other than ours check the accept key, so there is a flag to answer with the right one.)
//!
//! It is written without the optimisations of a real server, so that it stays a constant to compare with.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Context;
use clap::Parser;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::process::{Signal, set_parent_process_death_signal};

/// Accept every socket at the least cost.
///
/// Once it listens it prints one line of JSON with its port: {"port":N,"pid":N}. It ends with its parent.
#[derive(Parser)]
#[command(name = "floor", version)]
struct Args {
    /// The port on 127.0.0.1; 0: any
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Compute the accept key from the client's key, for clients that check it, instead of sending a constant
    #[arg(long)]
    answer_keys: bool,
}

/// The answer to the first bytes. The accept key is that of the constant key that `bare-client` sends
/// (RFC 6455 section 1.3).
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The answer to the next bytes: a close frame with 1000 (RFC 6455 section 5.5.1).
const CLOSE_FRAME: &[u8] = &[0x88, 0x02, 0x03, 0xe8];

const BACKLOG: i32 = 4096;
const EVENTS_MAX: usize = 256;
const READ_BYTES: usize = 4096;

/// Event data of the listener: no descriptor.
const LISTENER_DATA: u64 = u64::MAX;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let listener = listen(args.port).with_context(|| format!("listen on port {}", args.port))?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let data = EventData::new_u64(LISTENER_DATA);
    epoll::add(&epoll, &listener, data, EventFlags::IN)?;
    let (port, pid) = (listener.local_addr()?.port(), std::process::id());
    println!("{{\"port\":{port},\"pid\":{pid}}}");
    std::io::stdout().flush()?;
    serve(&listener, &epoll, args.answer_keys)
}

fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// A connection, and whether its 101 was sent.
struct Socket {
    fd: OwnedFd,
    is_upgraded: bool,
}

fn serve(listener: &TcpListener, epoll: &OwnedFd, answer_keys: bool) -> anyhow::Result<()> {
    // By descriptor, which the kernel keeps small.
    let mut sockets: Vec<Option<Socket>> = Vec::new();
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let mut buffer = [0; READ_BYTES];
    let mut switching = SWITCHING.to_vec();
    loop {
        events.clear();
        match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        for event in &events {
            match event.data.u64() {
                LISTENER_DATA => accept_all(listener, epoll, &mut sockets)?,
                fd => {
                    let key = answer_keys.then_some(&mut switching);
                    answer(&mut sockets[fd as usize], &mut buffer, key);
                }
            }
        }
    }
}

fn accept_all(listener: &TcpListener, epoll: &OwnedFd, sockets: &mut Vec<Option<Socket>>) -> anyhow::Result<()> {
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = match rustix::net::accept_with(listener, flags) {
            Ok(fd) => fd,
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno).context("accept: raise the limit on descriptors?"),
        };
        sockopt::set_tcp_nodelay(&fd, true)?;
        let place = fd.as_raw_fd() as usize;
        epoll::add(epoll, &fd, EventData::new_u64(place as u64), EventFlags::IN)?;
        if sockets.len() <= place {
            sockets.resize_with(place + 1, || None);
        }
        sockets[place] = Some(Socket { fd, is_upgraded: false });
    }
}

/// `switching`: the 101 to write the accept key of this client into; `None` for the constant one.
fn answer(place: &mut Option<Socket>, buffer: &mut [u8], switching: Option<&mut Vec<u8>>) {
    let Some(socket) = place else { return };
    let keep = match rustix::net::recv(&socket.fd, &mut *buffer, RecvFlags::empty()) {
        Ok((0, _)) => false,
        Ok((received, _)) => {
            let bytes = match switching {
                _ if socket.is_upgraded => CLOSE_FRAME,
                None => SWITCHING,
                Some(switching) => {
                    write_accept_key(switching, &buffer[..received]);
                    switching
                }
            };
            let sent = rustix::net::send(&socket.fd, bytes, SendFlags::NOSIGNAL);
            sent.is_ok() && !std::mem::replace(&mut socket.is_upgraded, true)
        }
        Err(Errno::AGAIN | Errno::INTR) => true,
        Err(_) => false,
    };
    if !keep {
        // Dropping the descriptor is close(2), which also takes it out of the epoll set.
        *place = None;
    }
}

/// Writes the accept key of this request into the 101. Without a key in the request the previous one stays.
fn write_accept_key(switching: &mut [u8], request: &[u8]) {
    let mut lines = request.split(|byte| *byte == b'\n');
    let key = lines.find_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(value.trim())
    });
    if let Some(key) = key {
        let end = switching.len() - b"\r\n\r\n".len();
        switching[end - 28..end].copy_from_slice(&wire::http::accept_key(key));
    }
}
