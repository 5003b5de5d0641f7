//! Moves a connection to the shard, or to the process, that owns the session of the connection's next request.

use std::{io, sync::Arc};

use reactor::{DetachedSocket, Io, Parts, Reading, SocketId, Sockets};

use crate::gate::admission::{Decision, ShardAdmission};
use crate::gate::connections::Connections;
use crate::gate::process_links::{ForwardedConnection, PARENT};
use crate::gate::relay::Relays;
use crate::gate::routes::{MovedConnection, Origin, Routes};
use crate::gate::socket::{Destination, Socket};
use crate::gate::{process_links, relay};
use crate::metrics::{Outcome, ShardMetrics};

/// Moves the connections of one shard.
pub(super) struct Forwarding {
    /// The shard's number.
    shard: u16,
    routes: Arc<Routes>,
    pub(super) relays: Relays,
    metrics: Arc<ShardMetrics>,
}

impl Forwarding {
    pub(super) fn new(shard: u16, routes: Arc<Routes>, metrics: Arc<ShardMetrics>) -> Self {
        Self { shard, routes, relays: Relays::default(), metrics }
    }

    /// The connections that other shards sent to this one.
    pub(super) fn take_moved(&self) -> Vec<MovedConnection> {
        self.routes.take(self.shard)
    }

    /// Releases a connection that has a request for shard `shard` in `input_bytes` of input. Where the connection cannot
    /// move to another process, a relay begins.
    pub(super) fn detach(&mut self, io: &mut Io<'_>, shard: u16, input_bytes: usize) {
        let fits = process_links::fits(input_bytes + io.unsent_bytes());
        if !self.routes.is_local(shard) && (io.is_tls() || !fits) {
            self.relays.begun.push(io.id());
        } else {
            io.release();
        }
    }

    /// Sends a released connection to its destination.
    pub(super) fn send(
        &self,
        now_ns: u64,
        id: SocketId,
        detached: DetachedSocket,
        destination: Destination,
        admission: &mut ShardAdmission,
    ) {
        let Destination { shard, until_ns, served } = destination;
        let address = admission.take_address(id);
        if self.routes.is_local(shard) {
            let moved = MovedConnection { detached, until_ns, served, origin: Origin::Shard(address) };
            return self.routes.send_to_shard(shard, moved);
        }
        admission.release_detached(address);
        let Ok(parts) = detached.into_parts() else {
            // `detach` begins a relay for such a connection.
            tracing::error!("internal error: a connection under TLS cannot go to another process");
            self.metrics.handshake(Outcome::Abandoned);
            return self.metrics.connections_closed.add(1);
        };
        let left_ns = until_ns.saturating_sub(now_ns);
        self.forward_to_process(ForwardedConnection { shard, served, left_ns, from: None, parts });
    }

    /// Counts a connection that could not be added to its new shard.
    pub(super) fn count_lost(&self, error: &io::Error) {
        tracing::warn!(%error, "a connection was lost between two shards");
        self.metrics.handshake(Outcome::Abandoned);
        self.metrics.connections_closed.add(1);
    }

    /// Opens new relays, and copies the bytes of all relays.
    pub(super) fn run_relays(
        &mut self,
        sockets: &mut Sockets<'_, Socket>,
        connections: &mut Connections,
        admission: &ShardAdmission,
    ) {
        for id in std::mem::take(&mut self.relays.begun) {
            if let Err(error) = self.begin_relay(sockets, admission, id) {
                tracing::warn!(%error, "a connection cannot be relayed to another process");
                sockets.with(id, |io, socket| connections.reject_relay(io, socket));
            }
        }
        self.relays.run(sockets);
    }

    fn begin_relay(
        &self,
        sockets: &mut Sockets<'_, Socket>,
        admission: &ShardAdmission,
        id: SocketId,
    ) -> io::Result<()> {
        let mut input = Vec::new();
        let mut destination = None;
        sockets.with_input(id, |_, socket, bytes| {
            if let Socket::Forwarding(found) = *socket {
                destination = Some(found);
                input.extend_from_slice(bytes);
            }
            input.len()
        });
        let Some(Destination { shard, until_ns, served }) = destination else {
            return Ok(());
        };
        let left_ns = until_ns.saturating_sub(sockets.now_ns());
        let (inner, parts) = open_relay(sockets, admission, id, input)?;
        // A socket is read whether or not its own output is sent: otherwise the two directions could block each other.
        sockets.with(inner, |io, _| io.set_reading(Reading::Always));
        sockets.with(id, |io, socket| {
            io.clear_deadline();
            io.set_reading(Reading::Always);
            *socket = Socket::Relay(inner.to_bits());
        });
        self.forward_to_process(ForwardedConnection { shard, served, left_ns, from: admission.address(id), parts });
        Ok(())
    }

    /// Forwards a connection to another process and counts it as closed here.
    fn forward_to_process(&self, connection: ForwardedConnection) {
        if connection.shard == PARENT {
            self.metrics.handshake(Outcome::Answered);
            self.metrics.connections_closed.add(1);
        } else {
            self.metrics.connections_sent_on.add(1);
        }
        self.routes.forward_to_process(connection);
    }
}

/// Opens the pair of a relay. The end that stays in this process counts as a connection.
fn open_relay(
    sockets: &mut Sockets<'_, Socket>,
    ShardAdmission { admission, .. }: &ShardAdmission,
    id: SocketId,
    input: Vec<u8>,
) -> io::Result<(SocketId, Parts)> {
    let decision = admission.admit();
    if decision != Decision::Admitted {
        admission.release(decision);
        return Err(io::Error::other("as many connections as allowed are open"));
    }
    relay::open_pair(sockets, id, input).inspect_err(|_| admission.release(Decision::Admitted))
}
