//! Links between the processes of one gate. A connection is sent in one message, with the received bytes of its request.
//!
//! ```text
//! shard u16, served u8, left_ns u64, from [u8; 16], input_bytes u32 (all little-endian), input, output; the socket as a descriptor
//! ```
//!
//! Every process has an inbox, a pair of Unix sockets (SOCK_SEQPACKET). The parent holds both ends too, so a process that
//! is restarted receives the messages that were sent while it was down.

use std::io::{IoSlice, Write};
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

/// Enough for a head, the rest of one read, and unsent answers; less than the kernel's default limit on a message
/// (`net.core.wmem_default`).
const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// Whether a connection with this many bytes of input and unsent output fits into one message.
pub(super) fn fits(bytes: usize) -> bool {
    HEAD_BYTES + bytes <= MESSAGE_BYTES_MAX
}

/// How long to wait for room in a full inbox. Its reader has no other work: a full inbox means that the reader is stuck or
/// has ended.
const ROOM_WITHIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

const HEAD_BYTES: usize = size_of::<u16>() + size_of::<u8>() + size_of::<u64>() + ADDRESS_BYTES + size_of::<u32>();

/// The length of an IPv6 address.
const ADDRESS_BYTES: usize = 16;

/// The links of one process of a gate to the others.
#[derive(Debug)]
pub struct ProcessLinks {
    /// The number of this process, from 0.
    pub process: u16,
    /// Receives connections for this process.
    pub inbox: Inbox,
    /// Sends connections to each process, by its number.
    pub outboxes: Vec<OwnedFd>,
    /// Sends connections to the parent.
    pub parent: OwnedFd,
}

/// A connection that is sent to another process.
#[derive(Debug)]
pub struct ForwardedConnection {
    /// The number of the receiving shard, among those of all processes.
    pub shard: u16,
    /// An earlier request on this connection was answered.
    pub served: bool,
    /// The time that is left to complete the request.
    pub left_ns: u64,
    /// The client's address, where addresses are limited and the socket is no socket of the client.
    pub from: Option<IpAddr>,
    pub parts: Parts,
}

impl ForwardedConnection {
    /// The client's address; 0.0.0.0 when the connection has failed.
    pub fn peer(&self) -> IpAddr {
        if let Some(from) = self.from {
            return from;
        }
        let peer = getpeername(&self.parts.fd).ok().flatten();
        peer.and_then(|peer| SocketAddr::try_from(peer).ok()).map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip())
    }
}

/// The end of a link at which a process receives connections.
#[derive(Debug)]
pub struct Inbox(OwnedFd);

impl Inbox {
    /// An inbox, and the end to which other processes write.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (inbox, outbox) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(inbox), outbox))
    }

    /// Waits for the next connection; `None` when no process can send any more. `buffer` has [`MESSAGE_BYTES_MAX`].
    fn next(&self, buffer: &mut [u8]) -> io::Result<Option<ForwardedConnection>> {
        loop {
            let mut descriptors = Vec::new();
            let length = match descriptors::receive(&self.0, buffer, &mut descriptors) {
                Ok(0) => return Ok(None),
                Ok(length) => length,
                // Skip a message that is longer than the limit.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => continue,
                Err(error) => return Err(error),
            };
            if let Some(connection) = decode(&buffer[..length], descriptors.pop()) {
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

/// Sends connections to other processes from a thread of its own, so that a full inbox blocks no shard. As many
/// connections wait for the thread as there are descriptors, at most.
pub(super) struct ProcessForwarder(pub(super) mpsc::Sender<ForwardedConnection>);

impl ProcessForwarder {
    /// Starts the thread, which ends with the last sender. `shards` is the number of shards of each process.
    pub(super) fn start(
        outboxes: Vec<OwnedFd>,
        parent: OwnedFd,
        shards: usize,
        metrics: Arc<ShardMetrics>,
    ) -> io::Result<Self> {
        let (connections, received) = mpsc::channel::<ForwardedConnection>();
        thread::Builder::new().name("gate-forwarder".into()).spawn(move || {
            for connection in received {
                let outbox = match connection.shard {
                    PARENT => Some(&parent),
                    shard => outboxes.get(usize::from(shard) / shards),
                };
                let outbox = outbox.ok_or_else(|| io::ErrorKind::NotFound.into());
                if let Err(error) = outbox.and_then(|outbox| send(outbox, &connection)) {
                    tracing::warn!(%error, "a connection was lost between two processes");
                    metrics.handshake(Outcome::Abandoned);
                }
            }
        })?;
        Ok(Self(connections))
    }
}

/// Starts a thread that calls `take` for every connection in the inbox.
pub fn receive(inbox: Inbox, take: impl Fn(ForwardedConnection) + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name("gate-inbox".into())
        .spawn(move || {
            let mut buffer = vec![0; MESSAGE_BYTES_MAX];
            loop {
                match inbox.next(&mut buffer) {
                    Ok(Some(connection)) => take(connection),
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(%error, "connections from other processes cannot be received");
                        // The process has no free descriptor. This connection is lost; later ones may succeed.
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
                is_last = poll(&mut room, Some(&ROOM_WITHIN)).is_ok_and(|ready| ready == 0);
            }
            sent => return sent.map(drop),
        }
    }
}

fn encode_head(connection: &ForwardedConnection) -> io::Result<[u8; HEAD_BYTES]> {
    let Parts { input, output, .. } = &connection.parts;
    let (true, Ok(input_bytes)) = (fits(input.len() + output.len()), u32::try_from(input.len())) else {
        return Err(io::Error::other("too much of it was read already"));
    };
    let mut head = [0; HEAD_BYTES];
    let mut rest = &mut head[..];
    rest.write_all(&connection.shard.to_le_bytes())?;
    rest.write_all(&[u8::from(connection.served)])?;
    rest.write_all(&connection.left_ns.to_le_bytes())?;
    rest.write_all(&address_to_bytes(connection.from))?;
    rest.write_all(&input_bytes.to_le_bytes())?;
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

/// An address as IPv6; zeros for `None`.
fn address_to_bytes(address: Option<IpAddr>) -> [u8; 16] {
    match address {
        None => [0; 16],
        Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
        Some(IpAddr::V6(v6)) => v6.octets(),
    }
}

/// The inverse of [`address_to_bytes`].
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
    fn connection_is_received_as_it_was_sent() {
        let (inbox, outbox) = Inbox::new().unwrap();
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let long = vec![b'x'; MESSAGE_BYTES_MAX - HEAD_BYTES];
        for (input, output, why) in [
            (&b""[..], &b""[..], "no bytes"),
            (b"GET /", b"", "a request"),
            (b"", b"HTTP/1.1 200", "an answer"),
            (b"GET /", b"HTTP/1.1 200", "both"),
            (&long, b"", "the longest input"),
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
    fn invalid_messages_are_skipped() {
        let (inbox, outbox) = Inbox::new().unwrap();
        let head = encode_head(&connection(b"abc", b"")).unwrap();
        for message in [&head[..3], &head[..], b"\xff"] {
            descriptors::send(&outbox, &[IoSlice::new(message)], &[], SendFlags::empty()).unwrap();
        }
        send(&outbox, &connection(b"good", b"")).unwrap();
        let received = inbox.next(&mut vec![0; MESSAGE_BYTES_MAX]).unwrap().unwrap();
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
