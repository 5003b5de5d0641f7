//! Moves connections to the shard, or to the process, that owns the session of their next request.

use std::{io, sync::Arc};

use reactor::{DetachedSocket, Io, Parts, Reading, SocketId, Sockets};

use crate::gate::admission::{Place, ShardPlaces};
use crate::gate::connections::Connections;
use crate::gate::process_links::{ForwardedConnection, PARENT};
use crate::gate::relay::Relays;
use crate::gate::routes::{MovedConnection, Origin, Routes};
use crate::gate::socket::{Leaving, Socket};
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
    /// Moves the connections of shard `shard`, and counts them in `metrics`.
    pub(super) fn new(shard: u16, routes: Arc<Routes>, metrics: Arc<ShardMetrics>) -> Self {
        Self { shard, routes, relays: Relays::default(), metrics }
    }

    /// The connections that were sent to this shard.
    pub(super) fn take_arrivals(&self) -> Vec<MovedConnection> {
        self.routes.take(self.shard)
    }

    /// Takes a connection off its shard whose request, the first of `input_bytes`, is for shard `shard`; or begins a relay
    /// where the connection cannot go to another process.
    pub(super) fn detach(&mut self, io: &mut Io<'_>, shard: u16, input_bytes: usize) {
        let fits = process_links::fits(input_bytes + io.unsent_bytes());
        if !self.routes.is_local(shard) && (io.is_tls() || !fits) {
            self.relays.begin(io.id());
        } else {
            io.release();
        }
    }

    /// Sends a detached connection on.
    pub(super) fn send(
        &self,
        now_ns: u64,
        id: SocketId,
        detached: DetachedSocket,
        leaving: Leaving,
        places: &mut ShardPlaces,
    ) {
        let Leaving { shard, until_ns, served } = leaving;
        let address = places.take_address(id);
        if self.routes.is_local(shard) {
            let moved = MovedConnection { detached, until_ns, served, origin: Origin::Shard(address) };
            return self.routes.send_to_shard(shard, moved);
        }
        places.give_back(address);
        let Ok(parts) = detached.into_parts() else {
            // A relay would have been begun.
            tracing::error!("internal error: a connection under TLS cannot go to another process");
            self.metrics.handshake(Outcome::Abandoned);
            return self.metrics.connections_closed.add(1);
        };
        let left_ns = until_ns.saturating_sub(now_ns);
        self.forward_to_process(ForwardedConnection { shard, served, left_ns, from: None, parts });
    }

    /// A connection that no shard could take is lost.
    pub(super) fn count_lost(&self, error: &io::Error) {
        tracing::warn!(%error, "a connection was lost between two shards");
        self.metrics.handshake(Outcome::Abandoned);
        self.metrics.connections_closed.add(1);
    }

    /// Begins the relays that were asked for, and does the work of those that run.
    pub(super) fn run_relays(
        &mut self,
        sockets: &mut Sockets<'_, Socket>,
        connections: &mut Connections,
        places: &ShardPlaces,
    ) {
        for id in self.relays.take_begun() {
            if let Err(error) = self.begin_relay(sockets, places, id) {
                tracing::warn!(%error, "a connection cannot be relayed to another process");
                sockets.with(id, |io, socket| connections.reject_relay(io, socket));
            }
        }
        self.relays.run(sockets);
    }

    fn begin_relay(&self, sockets: &mut Sockets<'_, Socket>, places: &ShardPlaces, id: SocketId) -> io::Result<()> {
        let mut input = Vec::new();
        let mut leaving = None;
        sockets.with_input(id, |_, socket, bytes| {
            if let Socket::Leaving(found) = *socket {
                leaving = Some(found);
                input.extend_from_slice(bytes);
            }
            input.len()
        });
        let Some(Leaving { shard, until_ns, served }) = leaving else {
            return Ok(());
        };
        let left_ns = until_ns.saturating_sub(sockets.now_ns());
        let (inner, parts) = open_relay(sockets, places, id, input)?;
        // Each direction waits for its own receiver alone: if both had to be free, each could wait for the other.
        sockets.with(inner, |io, _| io.set_reading(Reading::Always));
        sockets.with(id, |io, socket| {
            io.clear_deadline();
            io.set_reading(Reading::Always);
            *socket = Socket::Relay(inner.to_bits());
        });
        self.forward_to_process(ForwardedConnection { shard, served, left_ns, from: places.address(id), parts });
        Ok(())
    }

    /// Forwards a connection to another process and counts its end here.
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

/// Opens the pair of a relay. The end that stays takes a place of its own.
fn open_relay(
    sockets: &mut Sockets<'_, Socket>,
    places: &ShardPlaces,
    id: SocketId,
    input: Vec<u8>,
) -> io::Result<(SocketId, Parts)> {
    let admission = places.admission();
    let place = admission.enter();
    if place != Place::Admitted {
        admission.leave(place);
        return Err(io::Error::other("as many connections as allowed are open"));
    }
    let opened = relay::open_pair(sockets, id, input);
    if opened.is_err() {
        admission.leave(Place::Admitted);
    }
    opened
}
