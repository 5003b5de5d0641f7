//! Links between the processes of one gate. A connection goes in one message, with the bytes that are read of its
//! request.
//!
//! ```text
//! shard u16, served u8, left_ns u64, from [u8; 16], input_bytes u32 (all little-endian), input, output; the socket as a descriptor
//! ```
//!
//! Every process has an inbox, a pair of Unix sockets (SOCK_SEQPACKET) whose ends the parent holds too: one that was
//! started again finds the messages that were sent before.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{io, thread};

use reactor::Parts;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, getpeername, socketpair};

use crate::descriptors;
use crate::metrics::{Outcome, ShardMetrics};

/// In place of a shard's number: the parent, which answers for all processes.
pub const PARENT: u16 = u16::MAX;

/// A head, the rest of one read, and room for answers that a slow client has not read: less than the
/// kernel's default for a message (`net.core.wmem_default`).
const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// Has a message room for a connection with so many bytes that are unread or unsent?
pub(super) fn fits(bytes: usize) -> bool {
    HEAD_BYTES + bytes <= MESSAGE_BYTES_MAX
}

/// How long to wait for room in a full inbox. Its reader has no other work, so it is stuck or gone.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

const HEAD_BYTES: usize = size_of::<u16>() + size_of::<u8>() + size_of::<u64>() + ADDRESS_BYTES + size_of::<u32>();

/// An address of IPv6.
const ADDRESS_BYTES: usize = 16;

/// The links of one process of a gate to the others.
#[derive(Debug)]
pub struct ProcessLinks {
    /// Its own number, from 0.
    pub process: u16,
    /// Where connections for this process arrive.
    pub inbox: Inbox,
    /// Where connections for each process go, by its number.
    pub outboxes: Vec<OwnedFd>,
    /// Where connections for the parent go.
    pub parent: OwnedFd,
}

/// A connection that is sent to another process.
#[derive(Debug)]
pub struct ForwardedConnection {
    /// The number of the shard that it is for, among those of all processes.
    pub shard: u16,
    /// It had requests answered before.
    pub served: bool,
    /// How long its client may take to be authenticated, ns.
    pub left_ns: u64,
    /// The client's address, if addresses are limited and the socket does not give it.
    pub from: Option<IpAddr>,
    /// The connection itself.
    pub parts: Parts,
}

impl ForwardedConnection {
    /// The client's address; unspecified where the connection has failed.
    pub fn peer(&self) -> IpAddr {
        if let Some(from) = self.from {
            return from;
        }
        let peer = getpeername(&self.parts.fd).ok().flatten();
        peer.and_then(|peer| SocketAddr::try_from(peer).ok()).map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip())
    }
}

/// Where a process receives connections.
#[derive(Debug)]
pub struct Inbox(OwnedFd);

impl Inbox {
    /// An inbox, and the end that others write to.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let kind = SocketType::SEQPACKET;
        let (inbox, outbox) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        Ok((Self(inbox), outbox))
    }

    /// Waits for the next connection; `None` when no sender is left.
    fn next(&self, buffer: &mut Buffer) -> io::Result<Option<ForwardedConnection>> {
        loop {
            let mut descriptors = Vec::new();
            let length = match descriptors::receive(&self.0, &mut buffer.0, &mut descriptors) {
                Ok(0) => return Ok(None),
                Ok(length) => length,
                // Longer than any message that is sent.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => continue,
                Err(error) => return Err(error),
            };
            let message = buffer.0.get(..length).unwrap_or_default();
            if let Some(connection) = decode(message, descriptors.pop()) {
                return Ok(Some(connection));
            }
        }
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Inbox {
    fn from(inbox: OwnedFd) -> Self {
        Self(inbox)
    }
}

/// Room for one message.
struct Buffer(Vec<u8>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; MESSAGE_BYTES_MAX])
    }
}

/// Sends connections to other processes from a thread of its own, so that a full inbox blocks no shard.
pub(super) struct ProcessForwarder {
    connections: mpsc::Sender<ForwardedConnection>,
}

impl ProcessForwarder {
    /// Starts the thread, which ends with the last sender. `shards` is how many each process has.
    pub(super) fn start(
        outboxes: Vec<OwnedFd>,
        parent: OwnedFd,
        shards: usize,
        metrics: Arc<ShardMetrics>,
    ) -> io::Result<Self> {
        let (connections, received) = mpsc::channel::<ForwardedConnection>();
        thread::Builder::new().name("gate-forwarder".into()).spawn(move || {
            for connection in received {
                let place = usize::from(connection.shard) / shards;
                let outbox = match connection.shard {
                    PARENT => Some(&parent),
                    _ => outboxes.get(place),
                };
                let sent =
                    outbox.ok_or_else(|| io::ErrorKind::NotFound.into()).and_then(|outbox| send(outbox, &connection));
                if let Err(error) = sent {
                    tracing::warn!(%error, "a connection was lost between two processes");
                    metrics.handshake(Outcome::Abandoned);
                }
            }
        })?;
        Ok(Self { connections })
    }

    /// Sends a connection on. As many wait as there are descriptors, at most.
    pub(super) fn send(&self, connection: ForwardedConnection) {
        // The thread lives as long as this.
        let _ = self.connections.send(connection);
    }
}

/// Starts the thread that calls `take` for every connection that arrives.
pub fn receive(inbox: Inbox, take: impl Fn(ForwardedConnection) + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name("gate-inbox".into())
        .spawn(move || {
            let mut buffer = Buffer::default();
            loop {
                match inbox.next(&mut buffer) {
                    Ok(Some(connection)) => take(connection),
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(%error, "connections from other processes cannot be received");
                        // Descriptors have run out: this connection is lost, later ones may succeed.
                        thread::sleep(Duration::from_millis(50));
                    }
                }
            }
        })
        .map(drop)
}

fn send(outbox: &OwnedFd, connection: &ForwardedConnection) -> io::Result<()> {
    let head = encode_head(connection)?;
    let parts = [&head[..], &connection.parts.input, &connection.parts.output].map(IoSlice::new);
    let descriptors = [connection.parts.fd.as_fd()];
    let mut is_last = false;
    loop {
        match descriptors::send(outbox, &parts, &descriptors, SendFlags::DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_last => {
                let mut room = [PollFd::new(outbox, PollFlags::OUT)];
                is_last = poll(&mut room, Some(&PATIENCE)).is_ok_and(|ready| ready == 0);
            }
            sent => return sent.map(drop),
        }
    }
}

fn encode_head(connection: &ForwardedConnection) -> io::Result<[u8; HEAD_BYTES]> {
    let Parts { input, output, .. } = &connection.parts;
    let fits = fits(input.len() + output.len());
    let (true, Ok(input_bytes)) = (fits, u32::try_from(input.len())) else {
        return Err(io::Error::other("too much of it was read already"));
    };
    let mut head = [0; HEAD_BYTES];
    let mut rest = &mut head[..];
    io::Write::write_all(&mut rest, &connection.shard.to_le_bytes())?;
    io::Write::write_all(&mut rest, &[u8::from(connection.served)])?;
    io::Write::write_all(&mut rest, &connection.left_ns.to_le_bytes())?;
    io::Write::write_all(&mut rest, &address_to_bytes(connection.from))?;
    io::Write::write_all(&mut rest, &input_bytes.to_le_bytes())?;
    Ok(head)
}

fn decode(message: &[u8], descriptor: Option<OwnedFd>) -> Option<ForwardedConnection> {
    let (shard, rest) = message.split_first_chunk()?;
    let (&[served], rest) = rest.split_first_chunk()?;
    let (left_ns, rest) = rest.split_first_chunk()?;
    let (from, rest) = rest.split_first_chunk::<ADDRESS_BYTES>()?;
    let (input_bytes, rest) = rest.split_first_chunk()?;
    let (input, output) = rest.split_at_checked(u32::from_le_bytes(*input_bytes) as usize)?;
    Some(ForwardedConnection {
        shard: u16::from_le_bytes(*shard),
        served: served != 0,
        left_ns: u64::from_le_bytes(*left_ns),
        from: address_from_bytes(*from),
        parts: Parts { fd: descriptor?, input: input.to_vec(), output: output.to_vec() },
    })
}

/// An address in as many bytes as one of IPv6 has.
fn address_to_bytes(address: Option<IpAddr>) -> [u8; 16] {
    match address {
        None => [0; 16],
        Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
        Some(IpAddr::V6(v6)) => v6.octets(),
    }
}

/// The address that such bytes stand for.
fn address_from_bytes(bytes: [u8; 16]) -> Option<IpAddr> {
    let address = IpAddr::from(bytes);
    (!address.is_unspecified()).then(|| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(input: &[u8], output: &[u8]) -> ForwardedConnection {
        ForwardedConnection {
            shard: 0x0102,
            served: true,
            left_ns: u64::MAX - 1,
            from: Some([192, 0, 2, 7].into()),
            parts: Parts {
                fd: rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap(),
                input: input.to_vec(),
                output: output.to_vec(),
            },
        }
    }

    #[test]
    fn a_connection_arrives_as_it_was_sent() {
        let (inbox, outbox) = Inbox::new().unwrap();
        let mut buffer = Buffer::default();
        let long = vec![b'x'; MESSAGE_BYTES_MAX - HEAD_BYTES];
        for (input, output, why) in [
            (&b""[..], &b""[..], "nothing was read"),
            (b"GET /", b"", "a request"),
            (b"", b"HTTP/1.1 200", "an answer"),
            (b"GET /", b"HTTP/1.1 200", "both"),
            (&long, b"", "as much as there may be"),
        ] {
            send(&outbox, &connection(input, output)).unwrap();
            let received = inbox.next(&mut buffer).unwrap().unwrap();
            assert_eq!((received.shard, received.served), (0x0102, true), "{why}");
            assert_eq!(received.left_ns, u64::MAX - 1, "{why}");
            assert_eq!(received.peer(), IpAddr::from([192, 0, 2, 7]), "{why}");
            assert_eq!(received.parts.input, input, "{why}");
            assert_eq!(received.parts.output, output, "{why}");
        }
        assert!(send(&outbox, &connection(&long, b"x")).is_err(), "a byte too many");
        drop(outbox);
        assert!(inbox.next(&mut buffer).unwrap().is_none());
    }

    #[test]
    fn messages_that_are_no_connection_are_skipped() {
        let (inbox, outbox) = Inbox::new().unwrap();
        let head = encode_head(&connection(b"abc", b"")).unwrap();
        for message in [&head[..3], &head[..], b"\xff"] {
            descriptors::send(&outbox, &[IoSlice::new(message)], &[], SendFlags::empty()).unwrap();
        }
        send(&outbox, &connection(b"good", b"")).unwrap();
        let received = inbox.next(&mut Buffer::default()).unwrap().unwrap();
        assert_eq!(received.parts.input, b"good");
    }

    #[test]
    fn sending_to_an_inbox_without_a_reader_fails() {
        let (_inbox, outbox) = Inbox::new().unwrap();
        let long = vec![b'x'; MESSAGE_BYTES_MAX / 2];
        let full = (0..1000).find_map(|_| send(&outbox, &connection(&long, b"")).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
