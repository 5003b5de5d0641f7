//! Connections whose sessions the frontend is asked about: they wait with what they have sent, and go on with the answer.

use reactor::{Io, SocketId, Sockets};

use crate::gate::{
    answers,
    connection::{Socket, answer},
    lookup::Answer,
    service::GateService,
};
use crate::metrics::{Outcome, Unanswered};

impl GateService {
    /// Asks whose `session` is. The request of the connection is left where it is, to be taken again with the answer
    /// until `until_ns`. `false`: nobody can be asked, which the client was told.
    pub(super) fn ask(
        &mut self,
        io: &mut Io<'_>,
        socket: &mut Socket,
        session: String,
        until_ns: u64,
        served: bool,
    ) -> bool {
        let connection = io.id().to_bits();
        let desk = self.desk.as_ref();
        let is_asked = desk.is_some_and(|desk| desk.ask(connection, session).is_ok());
        *socket = Socket::Asking { until_ns, served };
        if is_asked {
            io.set_deadline_ns(until_ns);
        } else {
            self.leave_unanswered(io, socket, Unanswered::Queue);
        }
        is_asked
    }

    /// Goes on with the connections about which there are answers.
    pub(super) fn take_answers(&mut self, sockets: &mut Sockets<'_, Socket>) {
        let answers = self.desk.as_ref().map(|desk| desk.answers());
        for Answer { connection, whose, took } in answers.into_iter().flatten() {
            self.host.metrics.session_lookup_time.observe(took);
            let id = SocketId::from_bits(connection);
            let mut told = None;
            // It may be gone meanwhile.
            sockets.with(id, |io, socket| {
                let Socket::Asking { until_ns, served } = *socket else {
                    return;
                };
                match whose {
                    Ok(user) => {
                        *socket = Socket::Handshake { until_ns, seen_bytes: 0, served };
                        told = Some(user);
                    }
                    Err(why) => self.leave_unanswered(io, socket, why),
                }
            });
            if told.is_some() {
                self.host.told = told;
                self.resume(sockets, id);
                self.host.told = None;
            }
        }
    }

    /// Ends a connection that asks, because nobody says whose session it is: 503, to come again.
    pub(super) fn leave_unanswered(&mut self, io: &mut Io<'_>, socket: &mut Socket, why: Unanswered) {
        answer(&mut self.host, io, |_, reply| answers::unanswered(reply.out));
        if let Socket::Asking { served: false, .. } = std::mem::replace(socket, Socket::Ended) {
            self.half_open.done();
        }
        self.host.metrics.handshake(Outcome::Unanswered(why));
        io.finish();
    }
}
