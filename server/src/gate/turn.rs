//! What a shard does once per turn, beside its sockets' events: it takes in connections from other shards, calls the
//! sessions that poll, and answers their polls.

use std::{io, net::IpAddr};

use reactor::{Service, SocketId, Sockets};
use wire::frame::write_close;

use crate::gate::{
    admission::Place,
    answers,
    connection::{Socket, answer},
    mailbox::{Moved, Way},
    polling::write_packets,
    service::GateService,
};
use crate::{
    metrics::{Limit, Outcome},
    session::{End, Reply, close_code, polling},
};

impl GateService {
    /// Takes in the connections that other shards have sent, and the requests that they brought.
    pub(super) fn take_mail(&mut self, sockets: &mut Sockets<'_, Socket>) {
        for moved in self.mailboxes.take(self.host.polls.shard()) {
            let (place, limit, address) = match moved.way {
                Way::Within(address) => (Place::Admitted, Limit::Connections, address),
                Way::Between(address) => {
                    self.host.metrics.connections_taken_in.add(1);
                    self.admission.enter_from(|| Some(address))
                }
            };
            if place == Place::Admitted {
                self.take_in(sockets, moved, address);
            } else {
                self.turn_away(sockets, moved, place, limit);
            }
        }
    }

    fn take_in(&mut self, sockets: &mut Sockets<'_, Socket>, moved: Moved, address: Option<IpAddr>) {
        let until_ns = moved.until_ns;
        let socket = Socket::Handshake {
            until_ns,
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
                sockets.with(id, |io, _| io.set_deadline_ns(until_ns));
                self.resume(sockets, id);
            }
            Err((error, _)) => self.lose(&error, address),
        }
    }

    /// Tells a connection of another process, if `place` allows, that this one is full.
    fn turn_away(&mut self, sockets: &mut Sockets<'_, Socket>, moved: Moved, place: Place, limit: Limit) {
        self.host.metrics.handshake(Outcome::Full(limit));
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

    /// Ends the oldest connections that are not through their handshake while there are too many.
    pub(super) fn end_surplus(&mut self, sockets: &mut Sockets<'_, Socket>) {
        while let Some(connection) = self.half_open.pop_surplus() {
            sockets.with(SocketId::from_bits(connection), |io, socket| {
                if is_half_open(socket) {
                    answer(&mut self.host, io, |_, reply| match socket {
                        // It is not the client that is slow.
                        Socket::Asking { .. } => answers::unanswered(reply.out),
                        _ => answers::too_slow(reply.out),
                    });
                    self.end(io, socket, Some(End::GaveWay));
                }
            });
        }
        self.half_open.prune(|&connection| is_such(sockets, connection, is_half_open));
        while let Some(connection) = self.unconnected.pop_surplus() {
            sockets.with(SocketId::from_bits(connection), |io, socket| {
                if is_unconnected(socket) {
                    answer(&mut self.host, io, |_, reply| {
                        let reason = "too many are not connected";
                        write_close(reply.out, close_code::TRY_AGAIN_LATER, reason, None);
                    });
                    self.end(io, socket, Some(End::GaveWay));
                }
            });
        }
        self.unconnected.prune(|&connection| is_such(sockets, connection, is_unconnected));
    }

    /// Calls the sessions that poll and are due, and answers the polls of those with something to say.
    pub(super) fn run_polls(&mut self, sockets: &mut Sockets<'_, Socket>) {
        // Without such sessions nobody need know the time.
        if let Some(due_ns) = self.host.polls.next_due_ns() {
            let now_ns = sockets.now_ns();
            if due_ns <= now_ns {
                self.read_clock(now_ns);
                polling::due(&mut self.host, now_ns);
            }
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

    /// Tells what there is now.
    pub(super) fn gauge(&self, sockets: &Sockets<'_, Socket>) {
        let metrics = &self.host.metrics;
        for (gauge, count) in [
            (&metrics.connections_buffered, sockets.buffered()),
            (&metrics.connections_half_open, self.half_open.count()),
            (&metrics.connections_unconnected, self.unconnected.count()),
            (&metrics.sessions_polling, self.host.polls.count()),
            (&metrics.buffered_bytes, sockets.held_bytes()),
            (&metrics.unpolled_bytes, self.host.polls.held_bytes()),
        ] {
            gauge.set(count as u64);
        }
    }

    /// Takes what a connection sent while nobody looked.
    pub(super) fn resume(&mut self, sockets: &mut Sockets<'_, Socket>, id: SocketId) {
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

/// Is its first request still coming, or being asked about?
fn is_half_open(socket: &Socket) -> bool {
    matches!(socket, Socket::Handshake { served: false, .. } | Socket::Asking { served: false, .. })
}

/// Is it a WebSocket of a session that is not connected yet, or that is still to move there?
pub(super) fn is_unconnected(socket: &Socket) -> bool {
    match socket {
        Socket::Probing(_) => true,
        Socket::Session(session) => !session.is_settled(),
        _ => false,
    }
}

fn is_such(sockets: &mut Sockets<'_, Socket>, connection: u64, is_such: fn(&Socket) -> bool) -> bool {
    let mut answer = false;
    sockets.with(SocketId::from_bits(connection), |_, socket| {
        answer = is_such(socket);
    });
    answer
}
