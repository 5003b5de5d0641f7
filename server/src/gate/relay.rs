//! Connections that cannot leave for another process, whose requests are for it: those under TLS, whose keys stay here, and
//! those that sent more ahead than a message between processes holds. Their bytes go in their place.
//!
//! ```text
//! client <-----> this shard <- a pair of Unix sockets -> the other process, which sees an ordinary connection
//! ```
//!
//! One end of the pair goes where a connection without TLS would have gone itself; the other end is a second socket of this
//! shard. What comes out of one of the two goes into the other in the shard's next turn, and each ends with the other. One
//! is not read while much of what came out of it still waits to go into the other, so both ends wait for the slower.

use std::{io, net::IpAddr};

use reactor::{DetachedSocket, Io, Parts, Reading, SocketId, Sockets};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::gate::{
    HEAD_BYTES_MAX,
    admission::Place,
    answers,
    connection::{Socket, answer},
    courier::{self, Parcel},
    service::GateService,
};
use crate::{
    metrics::{Limit, Outcome},
    session::End,
};

/// What may wait for one end before the other is not read, but for the two reads that go before it is known: enough that
/// neither waits for a turn of the shard, and little beside what the kernel holds for a connection.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// What a relay wants done in the shard's next turn.
#[derive(Debug, Default)]
pub(super) struct Relays {
    /// Connections that are to become one.
    begun: Vec<SocketId>,
    /// Bytes for a socket.
    bytes: Vec<(SocketId, Vec<u8>)>,
    /// Sockets whose other end has sent all it had.
    awaited: Vec<SocketId>,
    /// Sockets whose other end is gone.
    over: Vec<SocketId>,
}

impl Relays {
    /// A connection's next request is for another process.
    pub(super) fn begin(&mut self, id: SocketId) {
        self.begun.push(id);
    }

    /// Bytes came that are for the socket `other`.
    pub(super) fn pass(&mut self, other: u64, bytes: &[u8]) {
        let other = SocketId::from_bits(other);
        match self.bytes.last_mut() {
            Some((last, held)) if *last == other => held.extend_from_slice(bytes),
            _ => self.bytes.push((other, bytes.to_vec())),
        }
    }

    /// All that came from the socket `other` is sent.
    pub(super) fn drained(&mut self, other: u64) {
        self.awaited.push(SocketId::from_bits(other));
    }

    /// The other end of the socket `other` is gone.
    pub(super) fn end(&mut self, other: u64) {
        self.over.push(SocketId::from_bits(other));
    }
}

impl GateService {
    /// Does what relays want done.
    pub(super) fn run_relays(&mut self, sockets: &mut Sockets<'_, Socket>) {
        for id in std::mem::take(&mut self.state.relays.begun) {
            self.begin_relay(sockets, id);
        }
        for id in std::mem::take(&mut self.state.relays.awaited) {
            sockets.with(id, |io, _| io.set_reading(Reading::Always));
        }
        for (id, bytes) in std::mem::take(&mut self.state.relays.bytes) {
            let mut ahead = None;
            sockets.with(id, |io, socket| {
                io.write(&bytes);
                // These are bytes of earlier turns, so that the socket is sure to tell when they are sent.
                if let Socket::Relay(other) = *socket
                    && io.unsent_bytes() > WAITING_BYTES_MAX
                {
                    ahead = Some(SocketId::from_bits(other));
                }
            });
            if let Some(other) = ahead {
                sockets.with(other, |io, _| io.set_reading(Reading::Paused));
            }
        }
        // Behind the last bytes for them.
        for id in std::mem::take(&mut self.state.relays.over) {
            sockets.with(id, |io, _| io.finish());
        }
    }

    fn begin_relay(&mut self, sockets: &mut Sockets<'_, Socket>, id: SocketId) {
        let mut input = Vec::new();
        let mut leaving = None;
        sockets.with_input(id, |_, socket, bytes| {
            if let Socket::Leaving { shard, until_ns, served } = *socket {
                leaving = Some((shard, until_ns, served));
                input.extend_from_slice(bytes);
            }
            input.len()
        });
        let Some((shard, until_ns, served)) = leaving else {
            return;
        };
        let left_ns = until_ns.saturating_sub(sockets.now_ns());
        let from = self.addresses.get(&id.to_bits()).copied();
        match self.open_relay(sockets, id, input) {
            Ok((inner, parts)) => {
                // Each way waits for its own end alone: if both had to be free, each could wait for the other.
                sockets.with(inner, |io, _| io.set_reading(Reading::Always));
                sockets.with(id, |io, socket| {
                    io.clear_deadline();
                    io.set_reading(Reading::Always);
                    *socket = Socket::Relay(inner.to_bits());
                });
                self.send_abroad(Parcel { shard, served, left_ns, from, parts });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be relayed to another process");
                self.refuse_relay(sockets, id);
            }
        }
    }

    /// Opens the pair: the end that stays, which has its own place, and what goes to the other process.
    fn open_relay(
        &mut self,
        sockets: &mut Sockets<'_, Socket>,
        id: SocketId,
        input: Vec<u8>,
    ) -> io::Result<(SocketId, Parts)> {
        match self.admission.enter() {
            Place::Admitted => {}
            place => {
                self.admission.leave(place);
                return Err(io::Error::other("as many connections as allowed are open"));
            }
        }
        let opened = open_pair(sockets, id, input);
        if opened.is_err() {
            self.admission.leave(Place::Admitted);
        }
        opened
    }

    fn refuse_relay(&mut self, sockets: &mut Sockets<'_, Socket>, id: SocketId) {
        sockets.with(id, |io, socket| {
            self.host.metrics.handshake(Outcome::Full(Limit::Connections));
            answer(&mut self.host, io, |_, reply| answers::full(reply.out));
            // Its fate is counted.
            *socket = Socket::Ended;
            self.end(io, socket, Some(End::Failed));
        });
    }

    /// Where a connection is to go whose request, the first of `input_bytes`, is for the shard numbered `shard`: it leaves,
    /// or it is relayed.
    pub(super) fn leave_for(&mut self, io: &mut Io<'_>, shard: u16, input_bytes: usize) {
        let fits = courier::fits(input_bytes + io.unsent_bytes());
        if !self.mailboxes.has(shard) && (io.is_tls() || !fits) {
            self.state.relays.begin(io.id());
        } else {
            io.release();
        }
    }
}

fn open_pair(sockets: &mut Sockets<'_, Socket>, id: SocketId, mut input: Vec<u8>) -> io::Result<(SocketId, Parts)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // A message between processes has room for a head.
    let behind = input.split_off(input.len().min(HEAD_BYTES_MAX));
    let loose = DetachedSocket::from_parts(Parts { fd: ours, input: Vec::new(), output: behind });
    let adopted = sockets.adopt(loose.read_to_the_end(), Socket::Relay(id.to_bits()));
    let inner = adopted.map_err(|(error, _)| error)?;
    let parts = Parts { fd: theirs, input, output: Vec::new() };
    Ok((inner, parts))
}

/// An address in as many bytes as one of IPv6 has.
pub(super) fn to_bytes(address: Option<IpAddr>) -> [u8; 16] {
    match address {
        None => [0; 16],
        Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
        Some(IpAddr::V6(v6)) => v6.octets(),
    }
}

/// The address behind such bytes.
pub(super) fn from_bytes(bytes: [u8; 16]) -> Option<IpAddr> {
    let address = IpAddr::from(bytes);
    (!address.is_unspecified()).then(|| address.to_canonical())
}
