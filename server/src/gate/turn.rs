//! What a shard does once per turn, beside its sockets' events: it takes in connections from other shards, calls the
//! sessions that poll, and answers their polls.

use std::{io, net::IpAddr};

use reactor::{Service, SocketId, Sockets};

use super::{
    admission::Place,
    answers,
    connection::{Socket, answer},
    mailbox::{Moved, Way},
    polling::write_packets,
    service::GateService,
};
use crate::{
    metrics::Outcome,
    session::{End, Reply, polling},
};

impl GateService {
    /// Takes in the connections that other shards have sent, and the requests that they brought.
    pub(super) fn take_mail(&mut self, sockets: &mut Sockets<'_, Socket>) {
        for moved in self.mailboxes.take(self.host.polls.shard()) {
            let (place, address) = match moved.way {
                Way::Within(address) => (Place::Admitted, address),
                Way::Between(address) => {
                    self.host.metrics.connections_taken_in.add(1);
                    self.admission.enter_from(address)
                }
            };
            if place == Place::Admitted {
                self.take_in(sockets, moved, address);
            } else {
                self.turn_away(sockets, moved, place);
            }
        }
    }

    fn take_in(
        &mut self,
        sockets: &mut Sockets<'_, Socket>,
        moved: Moved,
        address: Option<IpAddr>,
    ) {
        let authenticate_by_ns = moved.authenticate_by_ns;
        let socket = Socket::Handshake {
            authenticate_by_ns,
            // Nothing of it was looked at here.
            seen_bytes: 0,
            served: moved.served,
        };
        match sockets.adopt(moved.loose, socket) {
            Ok(id) => {
                let connection = id.to_bits();
                self.addresses.extend(address.map(|it| (connection, it)));
                if !moved.served {
                    self.half_open.add(connection);
                }
                sockets.with(id, |io, _| io.set_deadline_ns(authenticate_by_ns));
                self.resume(sockets, id);
            }
            Err((error, _)) => self.lose(&error, address),
        }
    }

    /// Tells a connection of another process, if `place` allows, that this one is full.
    fn turn_away(&mut self, sockets: &mut Sockets<'_, Socket>, moved: Moved, place: Place) {
        self.host.metrics.handshake(Outcome::Full);
        let adopted = match place {
            Place::TurnedAway => sockets.adopt(moved.loose, Socket::TurnedAway).ok(),
            _ => None,
        };
        match adopted {
            Some(id) => {
                sockets.with(id, |io, _| {
                    answer(&mut self.host, io, |_, reply| answers::full(reply.out));
                    io.finish();
                });
            }
            None => {
                self.host.metrics.connections_closed.add(1);
                self.admission.leave(place);
            }
        }
    }

    /// Ends the oldest half-open connections while there are too many.
    pub(super) fn end_surplus(&mut self, sockets: &mut Sockets<'_, Socket>) {
        while let Some(connection) = self.half_open.pop_surplus() {
            sockets.with(SocketId::from_bits(connection), |io, socket| {
                if is_half_open(socket) {
                    answer(&mut self.host, io, |_, reply| answers::too_slow(reply.out));
                    self.end(io, socket, Some(End::HandshakeTimeout));
                }
            });
        }
        self.half_open.prune(|&connection| {
            let mut keep = false;
            sockets.with(SocketId::from_bits(connection), |_, socket| {
                keep = is_half_open(socket);
            });
            keep
        });
    }

    /// Calls the sessions that poll and are due, and answers the polls of those with something to say.
    pub(super) fn run_polls(&mut self, sockets: &mut Sockets<'_, Socket>) {
        let now_ns = sockets.now_ns();
        if self
            .host
            .polls
            .next_due_ns()
            .is_some_and(|due_ns| due_ns <= now_ns)
        {
            self.read_clock(now_ns);
            polling::due(&mut self.host, now_ns);
        }
        self.answer_polls(sockets);
    }

    /// Answers the polls that can be answered, until requests that waited behind them have no more to say.
    pub(super) fn answer_polls(&mut self, sockets: &mut Sockets<'_, Socket>) {
        loop {
            let deliveries = self.host.polls.deliveries();
            for hangup in self.host.polls.hangups() {
                sockets.with(SocketId::from_bits(hangup), |io, socket| {
                    self.end(io, socket, Some(End::Gone));
                });
            }
            if deliveries.is_empty() {
                return;
            }
            for polling::Delivery { to, packets } in deliveries {
                let id = SocketId::from_bits(to.connection);
                sockets.with(id, |io, socket| {
                    let site = &self.site;
                    answer(&mut self.host, io, |_, reply: &mut Reply<'_>| {
                        write_packets(reply.out, &packets, &to, site);
                    });
                    self.await_request(io, socket);
                    if !to.keep_alive {
                        self.end(io, socket, Some(End::Client));
                    }
                });
                self.resume(sockets, id);
            }
        }
    }

    /// Takes what a connection sent while nobody looked.
    fn resume(&mut self, sockets: &mut Sockets<'_, Socket>, id: SocketId) {
        sockets.with_input(id, |io, socket, input| self.received(io, socket, input));
    }

    /// A connection that no shard has any more.
    fn lose(&mut self, error: &io::Error, address: Option<IpAddr>) {
        tracing::warn!(%error, "a connection was lost between two shards");
        self.host.metrics.handshake(Outcome::Abandoned);
        self.host.metrics.connections_closed.add(1);
        self.admission.leave(Place::Admitted);
        if let Some(address) = address {
            self.admission.leave_address(address);
        }
    }
}

/// Is its first request still coming?
fn is_half_open(socket: &Socket) -> bool {
    matches!(socket, Socket::Handshake { served: false, .. })
}
