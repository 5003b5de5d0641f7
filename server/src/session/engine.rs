//! Engine.IO 3 and 4 on any transport: the open packet, heartbeats, and messages.
//!
//! An [`Engine`] is the core of a session. `EngineIo` runs it over a WebSocket, [`polling`](crate::session::polling) runs
//! it for clients that poll.

use wire::engineio::{Form, Item, Packet, Version};

use crate::metrics::{End, Outcome};
use crate::session::expiry::AuthenticatedUser;
use crate::session::host::Host;
use crate::session::reply::Reply;
use crate::session::socketio::{Client, Verdict};
use crate::session::users::UserId;
use crate::session::{close_code, socketio};

/// The protocol above Engine.IO, as the session's request selects it.
#[derive(Clone, Copy, Debug)]
pub enum Opening {
    /// Socket.IO, with the verdict on the request's token.
    SocketIo(Verdict),
    /// Engine.IO's own messages, which this user gets back.
    Messages(AuthenticatedUser),
}

/// The protocol above Engine.IO.
#[derive(Debug)]
enum Upper {
    SocketIo(Client),
    /// Messages of this user, which are sent back until `ends_ns`.
    Messages {
        user: UserId,
        ends_ns: u64,
    },
}

/// An Engine.IO session with the protocol above it.
#[derive(Debug)]
pub struct Engine {
    /// The heartbeat's deadline. Version 4: for the next ping, or for the pong that follows it. Version 3, where the
    /// client pings: for any packet of the client.
    beat_ns: u64,
    upper: Upper,
    version: Version,
    form: Form,
    /// Version 4: a ping was sent and its pong was not received.
    pong_due: bool,
}

impl Engine {
    /// Opens a session: sends the open packet, then the first packet of the protocol above.
    ///
    /// In version 4 a Socket.IO client must connect until `connect_by_ns`. `polls` is the session's id if the client polls.
    pub fn open(
        version: Version,
        polls: Option<&str>,
        opening: Opening,
        connect_by_ns: u64,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) -> Self {
        reply.text(host.open_packet(version, polls));
        let upper = match opening {
            Opening::SocketIo(verdict) => Upper::SocketIo(Client::open(version, verdict, connect_by_ns, host, reply)),
            Opening::Messages(user) => {
                host.metrics.handshake(Outcome::Established);
                Upper::Messages { user: user.user, ends_ns: host.instant_ns(user.until, reply.now_ns) }
            }
        };
        let beat_ns = reply.after(host.settings.ping_interval);
        let mut session = Self { beat_ns, upper, version, form: Form::Binary, pong_due: false };
        session.extend_heartbeat(host, reply);
        session.set_deadline(reply);
        session
    }

    /// Sets the form in which binary messages may be sent.
    #[must_use]
    pub fn reading(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// The version of Engine.IO that the client speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The form in which binary messages may be sent.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether the handshake is over, with any verdict.
    pub fn is_settled(&self) -> bool {
        match &self.upper {
            Upper::SocketIo(client) => !client.awaits_connect(),
            Upper::Messages { .. } => true,
        }
    }

    /// Handles one packet of a payload.
    pub fn item(&mut self, item: &Item<'_>, host: &mut Host, reply: &mut Reply<'_>) {
        match item {
            Item::Text(text) => self.text(text, host, reply),
            Item::Binary(bytes) => self.binary(bytes, host, reply),
        }
    }

    /// Handles the text of one packet.
    pub fn text(&mut self, text: &str, host: &mut Host, reply: &mut Reply<'_>) {
        let packet = match Packet::decode(text) {
            Ok(packet) => packet,
            Err(error) => return reply.fail_protocol(&error),
        };
        self.extend_heartbeat(host, reply);
        match (packet, self.version) {
            (Packet::Message(text), version) => {
                match &mut self.upper {
                    Upper::SocketIo(client) => client.packet(text, version, host, reply),
                    Upper::Messages { .. } => {
                        host.scratch.clear();
                        packet.encode(&mut host.scratch);
                        reply.text(&host.scratch);
                        host.metrics.echoed();
                    }
                }
                self.set_deadline(reply);
            }
            (Packet::Ping(probe), Version::V3) => {
                host.scratch.clear();
                Packet::Pong(probe).encode(&mut host.scratch);
                reply.text(&host.scratch);
            }
            (Packet::Pong(_), Version::V4) => {
                self.pong_due = false;
                self.beat_ns = reply.after(host.settings.ping_interval);
                self.set_deadline(reply);
            }
            (Packet::Close, _) => reply.close(close_code::NORMAL, "", End::Client),
            (Packet::Noop | Packet::Upgrade, _) => {}
            (Packet::Open(_), _) => reply.fail_protocol(&"only the server opens"),
            (Packet::Ping(_), Version::V4) => reply.fail_protocol(&"only the server pings"),
            (Packet::Pong(_), Version::V3) => reply.fail_protocol(&"only the client pings"),
        }
    }

    /// Handles one binary message.
    pub fn binary(&mut self, payload: &[u8], host: &mut Host, reply: &mut Reply<'_>) {
        self.extend_heartbeat(host, reply);
        match &mut self.upper {
            Upper::SocketIo(client) => client.attachment(payload, self.version, host, reply),
            Upper::Messages { .. } => {
                reply.binary(self.version, payload, &mut host.scratch);
                host.metrics.echoed();
            }
        }
    }

    /// Handles the deadline of the heartbeat or of the client's stage.
    pub fn deadline(&mut self, host: &mut Host, reply: &mut Reply<'_>) {
        match &self.upper {
            Upper::SocketIo(client) => {
                if let Some((end, why)) = client.overdue(reply.now_ns) {
                    if end == End::Expired {
                        socketio::disconnect(host, reply);
                    }
                    return reply.close(close_code::NORMAL, why, end);
                }
            }
            Upper::Messages { ends_ns, .. } if reply.now_ns >= *ends_ns => {
                return reply.close(close_code::UNAUTHORIZED, "token expired", End::Expired);
            }
            Upper::Messages { .. } => {}
        }
        if reply.now_ns >= self.beat_ns {
            if self.pong_due || self.version == Version::V3 {
                return reply.close(close_code::NORMAL, "ping timeout", End::PingTimeout);
            }
            reply.text(b"2");
            self.pong_due = true;
            self.beat_ns = reply.after(host.settings.ping_timeout);
        }
        self.set_deadline(reply);
    }

    /// Sets the reply's deadline to the next one of the session.
    pub fn set_deadline(&self, reply: &mut Reply<'_>) {
        let stage_ends_ns = match &self.upper {
            Upper::SocketIo(client) => client.stage_ends_ns(),
            Upper::Messages { ends_ns, .. } => *ends_ns,
        };
        reply.deadline_ns = Some(self.beat_ns.min(stage_ends_ns));
    }

    /// Releases the session's user and counts its `end`.
    pub fn ended(self, end: End, host: &mut Host) {
        match self.upper {
            Upper::SocketIo(client) => client.ended(end, host),
            Upper::Messages { user, .. } => {
                host.users.release(user);
                host.metrics.session_ended(end);
            }
        }
    }

    /// In version 3 every packet extends the heartbeat's deadline, in version 4 only a pong.
    fn extend_heartbeat(&mut self, host: &Host, reply: &Reply<'_>) {
        if self.version == Version::V3 {
            let settings = &host.settings;
            self.beat_ns = reply.after(settings.ping_interval + settings.ping_timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::app::App;
    use crate::session::engineio::EngineIo;
    use crate::session::testing::{frame, host, sent_frames};
    use wire::frame::OpCode;

    const S: u64 = 1_000_000_000;

    enum Event {
        Text(&'static str),
        Binary(&'static [u8]),
        Deadline,
    }
    use Event::{Binary, Deadline, Text};

    /// An event at a second, the answers that it must get, and the deadline in seconds that it must set, if any.
    type Step<'e> = (u64, Event, &'e [&'e str], Option<u64>);

    fn check(version: Version, events: &[Step<'_>], end: Option<End>, why: &str) {
        let mut host = host(App::Echo);
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, 0);
        let opening = Opening::SocketIo(Some(Ok(AuthenticatedUser::ANONYMOUS)));
        let mut session = EngineIo::open(version, opening, 10 * S, &mut host, &mut reply);
        if version == Version::V4 {
            let mut connect = frame(OpCode::Text, b"40");
            session.received(&mut connect, &mut host, &mut reply);
        }
        let mut ended = None;
        for (i, (at_s, event, answers, deadline_s)) in events.iter().enumerate() {
            assert_eq!(ended, None, "{why}: event {i} is after the end");
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, at_s * S);
            let mut input = match event {
                Text(text) => frame(OpCode::Text, text.as_bytes()),
                Binary(bytes) => frame(OpCode::Binary, bytes),
                Deadline => Vec::new(),
            };
            match event {
                Deadline => session.deadline(&mut host, &mut reply),
                _ => {
                    let used = session.received(&mut input, &mut host, &mut reply);
                    assert_eq!(used, input.len(), "{why}, event {i}");
                }
            }
            ended = reply.end;
            let deadline_ns = reply.deadline_ns.filter(|_| ended.is_none());
            assert_eq!(sent_frames(out), *answers, "{why}, event {i}");
            assert_eq!(deadline_ns.map(|ns| ns / S), *deadline_s, "{why}, event {i}");
        }
        assert_eq!(ended, end, "{why}");
    }

    #[test]
    fn version_4_pings_the_client() {
        let events = [
            (25, Deadline, &["T:2"][..], Some(45)),
            (30, Text("3"), &[], Some(55)),
            (55, Deadline, &["T:2"], Some(75)),
            (75, Deadline, &["C:1000"], None),
        ];
        check(Version::V4, &events, Some(End::PingTimeout), "a ping with a pong, then a ping without");
    }

    #[test]
    fn version_3_answers_pings() {
        let events = [
            (10, Text("2"), &["T:3"][..], None),
            (11, Text("2probe"), &["T:3probe"], None),
            (45, Deadline, &[], Some(56)),
            (56, Deadline, &["C:1000"], None),
        ];
        check(Version::V3, &events, Some(End::PingTimeout), "the client stopped sending");
    }

    #[test]
    fn packet_may_close_the_session() {
        let (protocol, client) = (("C:1002", End::Protocol), ("C:1000", End::Client));
        for (version, event, (answer, end), why) in [
            (Version::V4, Text("2"), protocol, "in version 4 the server pings"),
            (Version::V3, Text("3"), protocol, "in version 3 the client pings"),
            (Version::V4, Text("0{}"), protocol, "only the server opens"),
            (Version::V4, Text("9"), protocol, "packet 9 does not exist"),
            (Version::V4, Text(""), protocol, "an empty packet"),
            (Version::V4, Binary(b"a"), protocol, "no binary event announced it"),
            (Version::V3, Text("1"), client, "a close packet"),
            (Version::V4, Text("1"), client, "a close packet"),
        ] {
            check(version, &[(1, event, &[answer], None)], Some(end), why);
        }
    }
}
