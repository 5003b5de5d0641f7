//! Engine.IO 3 and 4: the open packet, heartbeats, and the packets between, whatever transport carries them.
//!
//! An [`Engine`] is the core of a session; `EngineIo` is one over a WebSocket,
//! [`polling`](crate::session::polling) has those of clients that poll.

use std::borrow::Cow;

use wire::engineio::{Form, Item, Packet, Version};

use crate::metrics::{End, Outcome};
use crate::session::expiry::AuthenticatedUser;
use crate::session::host::Host;
use crate::session::reply::Reply;
use crate::session::socketio::{Client, Verdict};
use crate::session::users::UserId;
use crate::session::{close_code, socketio};

/// What a session carries, as its request decides.
#[derive(Clone, Copy, Debug)]
pub enum Opening {
    /// A Socket.IO client, and the verdict on its request's token: `None` when it had none, since version 4 may send
    /// one with its connect packet.
    SocketIo(Verdict),
    /// Engine.IO's own messages, which go back to this user.
    Messages(AuthenticatedUser),
}

/// What a session carries.
#[derive(Debug)]
enum Carried {
    SocketIo(Client),
    /// Messages of this user, which go back until then.
    Messages {
        user: UserId,
        ends_ns: u64,
    },
}

/// An Engine.IO session with what it carries.
#[derive(Debug)]
pub struct Engine {
    /// When the heartbeat is next due. Version 4: the next ping, or the end of the wait for its pong.
    /// Version 3, where the client pings: the end of the wait for any packet.
    beat_ns: u64,
    carried: Carried,
    version: Version,
    /// The form in which binary messages may be sent.
    form: Form,
    /// Version 4: a ping is on its way.
    pong_due: bool,
}

impl Engine {
    /// Opens a session: sends the first packet, and the first of the protocol above.
    ///
    /// A Socket.IO client of version 4 may connect until `connect_by_ns`. `polls` is the session's id where the
    /// client polls.
    pub fn open(
        version: Version,
        polls: Option<&str>,
        opening: Opening,
        connect_by_ns: u64,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) -> Self {
        reply.text(host.open_packet(version, polls));
        let carried = match opening {
            Opening::SocketIo(verdict) => {
                let client = Client::open(version, verdict, connect_by_ns, host, reply);
                Carried::SocketIo(client)
            }
            Opening::Messages(user) => {
                host.metrics.handshake(Outcome::Established);
                Carried::Messages { user: user.user, ends_ns: host.instant_ns(user.until, reply.now_ns) }
            }
        };
        let mut session = Self {
            beat_ns: reply.after(host.settings.ping_interval),
            carried,
            version,
            form: Form::Binary,
            pong_due: false,
        };
        session.count_sign_of_life(host, reply);
        session.call_when_due(reply);
        session
    }

    /// The same, for a client that reads no more than `form`.
    #[must_use]
    pub fn reading(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// The version that the client speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The form in which binary messages may be sent.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Is its handshake over, with any verdict?
    pub fn is_settled(&self) -> bool {
        match &self.carried {
            Carried::SocketIo(client) => !client.is_awaited(),
            Carried::Messages { .. } => true,
        }
    }

    /// Takes one packet of a payload.
    pub fn item(&mut self, item: &Item<'_>, host: &mut Host, reply: &mut Reply<'_>) {
        match item {
            Item::Text(text) => self.text(text, host, reply),
            Item::Binary(bytes) => self.binary(bytes, host, reply),
        }
    }

    /// Takes the text of one packet.
    pub fn text(&mut self, text: &str, host: &mut Host, reply: &mut Reply<'_>) {
        let packet = match Packet::decode(text) {
            Ok(packet) => packet,
            Err(error) => return reply.break_off(&error),
        };
        self.count_sign_of_life(host, reply);
        match (packet, self.version) {
            (Packet::Message(text), version) => {
                match &mut self.carried {
                    Carried::SocketIo(client) => client.packet(text, version, host, reply),
                    Carried::Messages { .. } => {
                        host.scratch.clear();
                        packet.encode(&mut host.scratch);
                        reply.text(&host.scratch);
                        host.metrics.echoed();
                    }
                }
                self.call_when_due(reply);
            }
            (Packet::Ping(probe), Version::V3) => {
                let mut pong = Cow::Borrowed("3");
                if !probe.is_empty() {
                    pong.to_mut().push_str(probe);
                }
                reply.text(pong.as_bytes());
            }
            (Packet::Pong(_), Version::V4) => {
                self.pong_due = false;
                self.beat_ns = reply.after(host.settings.ping_interval);
                self.call_when_due(reply);
            }
            (Packet::Close, _) => reply.close(close_code::NORMAL, "", End::Client),
            (Packet::Noop | Packet::Upgrade, _) => {}
            (Packet::Open(_), _) => reply.break_off(&"only the server opens"),
            (Packet::Ping(_), Version::V4) => reply.break_off(&"only the server pings"),
            (Packet::Pong(_), Version::V3) => reply.break_off(&"only the client pings"),
        }
    }

    /// Takes one binary message.
    pub fn binary(&mut self, payload: &[u8], host: &mut Host, reply: &mut Reply<'_>) {
        self.count_sign_of_life(host, reply);
        match &mut self.carried {
            Carried::SocketIo(client) => client.attachment(payload, self.version, host, reply),
            Carried::Messages { .. } => {
                reply.binary(self.version, payload, &mut host.scratch);
                host.metrics.echoed();
            }
        }
    }

    /// A heartbeat is due, or the client's time in its stage is over.
    pub fn deadline(&mut self, host: &mut Host, reply: &mut Reply<'_>) {
        match &self.carried {
            Carried::SocketIo(client) => {
                if let Some((end, why)) = client.overdue(reply.now_ns) {
                    if end == End::Expired {
                        socketio::disconnect(host, reply);
                    }
                    return reply.close(close_code::NORMAL, why, end);
                }
            }
            Carried::Messages { ends_ns, .. } if reply.now_ns >= *ends_ns => {
                return reply.close(close_code::UNAUTHORIZED, "token expired", End::Expired);
            }
            Carried::Messages { .. } => {}
        }
        if reply.now_ns >= self.beat_ns {
            if self.pong_due || self.version == Version::V3 {
                return reply.close(close_code::NORMAL, "ping timeout", End::PingTimeout);
            }
            reply.text(b"2");
            self.pong_due = true;
            self.beat_ns = reply.after(host.settings.ping_timeout);
        }
        self.call_when_due(reply);
    }

    /// Asks to be called when the next of its times is over.
    pub fn call_when_due(&self, reply: &mut Reply<'_>) {
        let stage_ends_ns = match &self.carried {
            Carried::SocketIo(client) => client.stage_ends_ns(),
            Carried::Messages { ends_ns, .. } => *ends_ns,
        };
        reply.deadline_ns = Some(self.beat_ns.min(stage_ends_ns));
    }

    /// Releases what the session holds, and counts its `end`.
    pub fn ended(self, end: End, host: &mut Host) {
        match self.carried {
            Carried::SocketIo(client) => client.ended(end, host),
            Carried::Messages { user, .. } => {
                host.users.release(user);
                host.metrics.session_ended(end);
            }
        }
    }

    /// In version 3 every packet is a sign of life; in version 4 only a pong.
    fn count_sign_of_life(&mut self, host: &Host, reply: &Reply<'_>) {
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

    /// What happens to a session, and when.
    enum Event {
        Text(&'static str),
        Binary(&'static [u8]),
        Deadline,
    }
    use Event::{Binary, Deadline, Text};

    type Play<'e> = (u64, Event, &'e [&'e str], Option<u64>);

    /// Connects, then plays `events`, each with its second, its answers and the deadline in seconds, if it is set
    /// again.
    fn check(version: Version, events: &[Play<'_>], end: Option<End>, why: &str) {
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
            assert_eq!(ended, None, "{why}: event {i} comes after the end");
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
    fn version_4_pings_by_itself() {
        check(
            Version::V4,
            &[
                (25, Deadline, &["T:2"], Some(45)),
                (30, Text("3"), &[], Some(55)),
                (55, Deadline, &["T:2"], Some(75)),
                (75, Deadline, &["C:1000"], None),
            ],
            Some(End::PingTimeout),
            "a ping, its pong, a ping without",
        );
    }

    #[test]
    fn version_3_answers_pings() {
        check(
            Version::V3,
            &[
                (10, Text("2"), &["T:3"], None),
                (11, Text("2probe"), &["T:3probe"], None),
                (45, Deadline, &[], Some(56)),
                (56, Deadline, &["C:1000"], None),
            ],
            Some(End::PingTimeout),
            "the client fell silent",
        );
    }

    #[test]
    fn packets_out_of_place_end_the_session() {
        for (version, event, why) in [
            (Version::V4, Text("2"), "in version 4 the server pings"),
            (Version::V3, Text("3"), "in version 3 the client pings"),
            (Version::V4, Text("0{}"), "the server opens"),
            (Version::V4, Text("9"), "there is no packet 9"),
            (Version::V4, Text(""), "nor an empty one"),
            (Version::V4, Binary(b"a"), "no binary event announced it"),
        ] {
            let play = [(1, event, &["C:1002"][..], None)];
            check(version, &play, Some(End::Protocol), why);
        }
    }

    #[test]
    fn a_client_may_close() {
        for version in [Version::V3, Version::V4] {
            let play = [(1, Text("1"), &["C:1000"][..], None)];
            check(version, &play, Some(End::Client), "a close packet");
        }
    }
}
