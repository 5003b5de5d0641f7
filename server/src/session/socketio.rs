//! Socket.IO 4 (over Engine.IO 3) and 5 (over Engine.IO 4): the client's connect, its events, its disconnect.
//!
//! There is one namespace, `/`. The protocol numbers are those of socket.io-protocol; the packages that speak
//! them are Socket.IO 2 and Socket.IO 3 to 4.

use std::borrow::Cow;

use serde::Deserialize;
use wire::{
    engineio::{self, Version},
    frame::{OpCode, write_frame},
    socketio::{Kind, Packet},
};

use super::{End, Host, LINGER, Reply, engineio::broken, push_sid, users::UserId};
use crate::{metrics::Outcome, verify::Refusal};

/// The error that the original's middleware gives to every bad token.
pub const REFUSED_MESSAGE: &str = "not valid token";

/// The verdict on the token that came with the upgrade; `None` when none came.
pub type Verdict = Option<Result<UserId, Refusal>>;

/// A client of the namespace `/`, from its session's opening to its end.
#[derive(Debug)]
pub struct Client {
    stage: Stage,
    /// When the stage is over by itself; [`u64::MAX`] when it is not.
    stage_ends_ns: u64,
    /// Attachments that a binary event announced and that have not come yet.
    attachments_left: u32,
    /// Do those attachments go back to the client?
    attachments_echo: bool,
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Version 5: the connect packet is still to come, and this is the verdict it will find.
    Awaited(Verdict),
    /// Authenticated, its user attached.
    Connected(UserId),
    /// Refused or disconnected; the connection is about to close.
    Leaving(End),
}

/// The connect payload of version 5, as far as the gate reads it.
#[derive(Deserialize)]
struct ConnectPayload<'a> {
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
}

impl Client {
    /// A client whose session just opened. Over Engine.IO 3 it is told its verdict at once.
    pub fn open(
        version: Version,
        verdict: Verdict,
        authenticate_by_ns: u64,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) -> Self {
        let mut client = Self {
            stage: Stage::Awaited(verdict),
            stage_ends_ns: authenticate_by_ns,
            attachments_left: 0,
            attachments_echo: false,
        };
        if version == Version::V3 {
            client.judge(
                verdict.unwrap_or(Err(Refusal::Missing)),
                version,
                host,
                reply,
            );
        }
        client
    }

    /// When the stage is over by itself.
    pub fn stage_ends_ns(&self) -> u64 {
        self.stage_ends_ns
    }

    /// The end, and the words for it, of a client whose time in its stage is over.
    pub fn overdue(&self, now_ns: u64) -> Option<(End, &'static str)> {
        if now_ns < self.stage_ends_ns {
            return None;
        }
        match self.stage {
            Stage::Awaited(_) => Some((End::HandshakeTimeout, "not connected in time")),
            Stage::Leaving(end) => Some((end, "")),
            Stage::Connected(_) => None,
        }
    }

    /// Takes one Socket.IO packet.
    pub fn packet(&mut self, text: &str, version: Version, host: &mut Host, reply: &mut Reply<'_>) {
        let packet = match Packet::decode(text) {
            Ok(packet) => packet,
            Err(error) => return broken(&error, reply),
        };
        if self.attachments_left > 0 {
            return broken(
                &"a packet came before the attachments that were announced",
                reply,
            );
        }
        if let Stage::Leaving(_) = self.stage {
            return;
        }
        match (packet.kind, self.stage) {
            (Kind::Connect, _) if !is_root(packet.namespace) => {
                refuse_namespace(&packet, version, host, reply);
            }
            (Kind::Connect, Stage::Awaited(verdict)) => {
                let verdict = verdict.unwrap_or_else(|| judge_payload(packet.data, host));
                self.judge(verdict, version, host, reply);
            }
            // A client of Socket.IO 2 was connected before it could ask.
            (Kind::Connect, _) if version == Version::V3 => {}
            (_, Stage::Awaited(_)) => broken(&"the first packet must be a connect", reply),
            (Kind::Connect | Kind::ConnectError, _) => broken(&"already connected", reply),
            (_, _) if !is_root(packet.namespace) => broken(&"no such namespace", reply),
            (Kind::Event | Kind::BinaryEvent, Stage::Connected(user)) => {
                self.event(&packet, user, host, reply);
            }
            (Kind::Disconnect, _) => self.disconnect(host, reply),
            // The gate asks for no acknowledgement; one that comes anyway is passed over.
            (_, _) => {
                self.attachments_left = packet.attachments;
                self.attachments_echo = false;
            }
        }
    }

    /// Takes one binary message: an attachment of the event before.
    pub fn attachment(
        &mut self,
        payload: &[u8],
        version: Version,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) {
        if let Stage::Leaving(_) = self.stage {
            return;
        }
        let Some(left) = self.attachments_left.checked_sub(1) else {
            return broken(&"no attachment was announced", reply);
        };
        self.attachments_left = left;
        if self.attachments_echo {
            host.scratch.clear();
            engineio::encode_binary(version, payload, &mut host.scratch);
            write_frame(reply.out, OpCode::Binary, &host.scratch, None);
        }
    }

    /// Gives up what the client still holds and counts how it ended.
    pub fn ended(self, end: End, host: &mut Host) {
        match self.stage {
            Stage::Awaited(verdict) => {
                if let Some(Ok(user)) = verdict {
                    host.users.release(user);
                }
                host.metrics.handshake(Outcome::without_verdict(end));
            }
            Stage::Connected(user) => {
                host.users.release(user);
                host.metrics.session_ended(end);
            }
            // Counted when it was refused or disconnected.
            Stage::Leaving(_) => {}
        }
    }

    /// Lets the client in or refuses it, and says so.
    fn judge(
        &mut self,
        verdict: Result<UserId, Refusal>,
        version: Version,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) {
        host.data.clear();
        let kind = match verdict {
            Ok(user) => {
                self.stage = Stage::Connected(user);
                self.stage_ends_ns = u64::MAX;
                host.metrics.handshake(Outcome::Established);
                if version == Version::V4 {
                    host.data.push_str(r#"{"sid":""#);
                    push_sid(&mut host.random, &mut host.data);
                    host.data.push_str(r#""}"#);
                }
                Kind::Connect
            }
            Err(refusal) => {
                self.leave(End::Refused, reply);
                host.metrics.handshake(Outcome::Refused(refusal));
                let parts: &[&str] = match version {
                    Version::V3 => &["\"", REFUSED_MESSAGE, "\""],
                    Version::V4 => &[
                        r#"{"message":""#,
                        REFUSED_MESSAGE,
                        r#"","data":{"reason":""#,
                        refusal.as_str(),
                        r#""}}"#,
                    ],
                };
                host.data.extend(parts.iter().copied());
                Kind::ConnectError
            }
        };
        let packet = Packet {
            kind,
            attachments: 0,
            namespace: "/",
            id: None,
            data: &host.data,
        };
        send(&packet, &mut host.scratch, reply);
    }

    fn event(&mut self, event: &Packet<'_>, user: UserId, host: &mut Host, reply: &mut Reply<'_>) {
        host.metrics.messages_received.add(1);
        let user = host.users.name(user);
        let answer = host.settings.app.answer(event, user, &mut host.data);
        self.attachments_left = event.attachments;
        self.attachments_echo = answer.as_ref().is_some_and(|answer| answer.attachments > 0);
        if let Some(answer) = answer {
            send(&answer, &mut host.scratch, reply);
            host.metrics.messages_sent.add(1);
        }
    }

    fn disconnect(&mut self, host: &mut Host, reply: &mut Reply<'_>) {
        if let Stage::Connected(user) = self.stage {
            host.users.release(user);
            host.metrics.session_ended(End::Client);
        }
        self.leave(End::Client, reply);
    }

    fn leave(&mut self, end: End, reply: &Reply<'_>) {
        self.stage = Stage::Leaving(end);
        self.stage_ends_ns = reply.after(LINGER);
    }
}

/// A name of Socket.IO 4 may carry a query, which belongs to no name.
fn is_root(namespace: &str) -> bool {
    namespace.split('?').next() == Some("/")
}

fn judge_payload(data: &str, host: &mut Host) -> Result<UserId, Refusal> {
    if data.is_empty() {
        return Err(Refusal::Missing);
    }
    let payload: ConnectPayload<'_> = serde_json::from_str(data).map_err(|_| Refusal::Malformed)?;
    let token = payload.token.ok_or(Refusal::Missing)?;
    host.admit(token.as_bytes())
}

fn refuse_namespace(packet: &Packet<'_>, version: Version, host: &mut Host, reply: &mut Reply<'_>) {
    let refusal = Packet {
        kind: Kind::ConnectError,
        attachments: 0,
        namespace: packet.namespace.split('?').next().unwrap_or("/"),
        id: None,
        data: match version {
            Version::V3 => r#""Invalid namespace""#,
            Version::V4 => r#"{"message":"Invalid namespace"}"#,
        },
    };
    send(&refusal, &mut host.scratch, reply);
}

fn send(packet: &Packet<'_>, scratch: &mut Vec<u8>, reply: &mut Reply<'_>) {
    scratch.clear();
    engineio::Packet::Message("").encode(scratch);
    packet.encode(scratch);
    write_frame(reply.out, OpCode::Text, scratch, None);
}

#[cfg(test)]
mod tests {
    use super::super::{
        app::App,
        engineio::EngineIo,
        testing::{NOW_S, frame, host, token, told},
    };
    use super::*;

    const S: u64 = 1_000_000_000;

    /// What a client sends: text or, for an attachment, binary.
    enum Sent {
        Text(String),
        Binary(&'static [u8]),
    }
    use Sent::Binary;

    fn text(text: impl Into<String>) -> Sent {
        Sent::Text(text.into())
    }

    /// Opens a session under the upgrade's `token`, if there is one, and plays what the client sends. Session ids are
    /// random, so they read `SID`.
    fn check(
        version: Version,
        upgrade_token: Option<&str>,
        sent: &[Sent],
        answers: &[&str],
        end: Option<End>,
        why: &str,
    ) {
        let mut host = host(App::Echo);
        let verdict = upgrade_token.map(|token| host.admit(token.as_bytes()));
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, 0);
        let mut session = EngineIo::open(version, verdict, 10 * S, &mut host, &mut reply);
        for sent in sent {
            let mut input = match sent {
                Sent::Text(text) => frame(OpCode::Text, text.as_bytes()),
                Binary(bytes) => frame(OpCode::Binary, bytes),
            };
            session.received(&mut input, &mut host, &mut reply);
        }
        assert_eq!(reply.end, end, "{why}");
        let told: Vec<_> = told(out).iter().map(|text| without_sid(text)).collect();
        let (open, told) = told.split_first().unwrap();
        assert!(
            open.starts_with(r#"T:0{"sid":"SID","upgrades":[]"#),
            "{open}"
        );
        assert_eq!(open.contains("maxPayload"), version == Version::V4);
        assert_eq!(told, answers, "{why}");
        session.ended(end.unwrap_or(End::Gone), &mut host);
        assert!(host.users.is_empty(), "{why}: every user is given back");
    }

    fn without_sid(text: &str) -> String {
        match text.split_once(r#""sid":""#) {
            Some((before, after)) => format!(r#"{before}"sid":"SID{}"#, &after[20..]),
            None => text.to_owned(),
        }
    }

    const CONNECTED: &str = r#"T:40{"sid":"SID"}"#;

    #[test]
    fn version_5_is_let_in_at_its_connect_packet() {
        let good = token("ann", None);
        let expired = token("ann", Some(NOW_S));
        let long = "a".repeat(900);
        let refused = |reason: &str| {
            format!(r#"T:44{{"message":"not valid token","data":{{"reason":"{reason}"}}}}"#)
        };
        let payload = |token: &str| text(format!(r#"40{{"token":"{token}"}}"#));
        for (upgrade, connect, answer, why) in [
            (
                Some(&*good),
                text("40"),
                CONNECTED.into(),
                "a good token in the upgrade",
            ),
            (None, payload(&good), CONNECTED.into(), "or in the payload"),
            (
                Some(&*expired),
                text("40"),
                refused("expired"),
                "a bad one in the upgrade",
            ),
            (
                Some(&*expired),
                payload(&good),
                refused("expired"),
                "is not rescued by the payload",
            ),
            (
                None,
                payload(&expired),
                refused("expired"),
                "a bad one in the payload",
            ),
            (None, text("40"), refused("missing"), "none at all"),
            (
                None,
                text("40{}"),
                refused("missing"),
                "none in the payload",
            ),
            (
                None,
                text(r#"40{"token":7}"#),
                refused("malformed"),
                "no string",
            ),
            (None, payload(&long), refused("malformed"), "no token"),
        ] {
            check(Version::V4, upgrade, &[connect], &[&answer], None, why);
        }
    }

    #[test]
    fn version_4_is_told_at_once() {
        let good = token("ann", None);
        let refused = r#"T:44"not valid token""#;
        for (upgrade, answer, why) in [
            (Some(&*good), "T:40", "a good token"),
            (Some("garbage"), refused, "a bad one"),
            (None, refused, "there is no other carrier"),
        ] {
            check(Version::V3, upgrade, &[], &[answer], None, why);
        }
    }

    #[test]
    fn packets_are_answered() {
        use Version::{V3, V4};
        let good = token("ann", None);
        let protocol = Some(End::Protocol);
        let placeholder = r#"["b",{"_placeholder":true,"num":0}]"#;
        let binary = || text(format!("451-{placeholder}"));
        let back = format!("T:451-{placeholder}");
        let other_v4 = r#"T:44/x,{"message":"Invalid namespace"}"#;
        let other_v3 = r#"T:44/x,"Invalid namespace""#;
        let who = [r#"T:431["ann"]"#];
        for (version, sent, answers, end, why) in [
            (
                V4,
                vec![text(r#"42["a",1]"#)],
                &[r#"T:42["a",1]"#][..],
                None,
                "an event",
            ),
            (
                V4,
                vec![text(r#"427["a",1]"#)],
                &["T:437[1]"],
                None,
                "an acknowledgement",
            ),
            (
                V4,
                vec![text(r#"421["whoami"]"#)],
                &who,
                None,
                "the attached user",
            ),
            (
                V3,
                vec![text(r#"421["whoami"]"#)],
                &who,
                None,
                "in both versions",
            ),
            (
                V4,
                vec![binary(), Binary(b"xy")],
                &[&back, "B:xy"],
                None,
                "a binary event",
            ),
            (
                V3,
                vec![binary(), Binary(b"\x04xy")],
                &[&back, "B:\x04xy"],
                None,
                "typed in version 3",
            ),
            (
                V4,
                vec![Binary(b"xy")],
                &["C:1002"],
                protocol,
                "an attachment of nothing",
            ),
            (
                V4,
                vec![binary(), text("42[1]")],
                &[&back, "C:1002"],
                protocol,
                "an attachment is due",
            ),
            (
                V4,
                vec![text("40/x,")],
                &[other_v4],
                None,
                "there is one namespace",
            ),
            (
                V3,
                vec![text("40/x?a=1,")],
                &[other_v3],
                None,
                "a query is no part of a name",
            ),
            (
                V4,
                vec![text(r#"42/x,["a"]"#)],
                &["C:1002"],
                protocol,
                "never connected there",
            ),
            (
                V4,
                vec![text("40")],
                &["C:1002"],
                protocol,
                "connected already",
            ),
            (V4, vec![text("4x")], &["C:1002"], protocol, "no packet"),
            (V4, vec![text("2[")], &["C:1002"], protocol, "nor this"),
            (
                V4,
                vec![text("41"), text(r#"42["a"]"#)],
                &[],
                None,
                "disconnected: passed over",
            ),
            (
                V4,
                vec![text("431[]")],
                &[],
                None,
                "an acknowledgement of nothing",
            ),
        ] {
            let (connect, connected) = match version {
                V4 => (Some(text("40")), CONNECTED),
                V3 => (None, "T:40"),
            };
            let sent: Vec<_> = connect.into_iter().chain(sent).collect();
            let answers: Vec<_> = [connected]
                .into_iter()
                .chain(answers.iter().copied())
                .collect();
            check(version, Some(&good), &sent, &answers, end, why);
        }
    }

    #[test]
    fn the_first_packet_connects() {
        let good = token("ann", None);
        let event = [text(r#"42["a"]"#)];
        let end = Some(End::Protocol);
        check(
            Version::V4,
            Some(&good),
            &event,
            &["C:1002"],
            end,
            "an event before the connect",
        );
    }

    #[test]
    fn nobody_stays_without_a_verdict() {
        for (upgrade, connect, deadline_s, end, why) in [
            (None, None, 10, End::HandshakeTimeout, "no connect packet"),
            (
                None,
                Some("40"),
                2,
                End::Refused,
                "refused, and did not close",
            ),
        ] {
            let mut host = host(App::Echo);
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, 0);
            let mut session = EngineIo::open(Version::V4, upgrade, 10 * S, &mut host, &mut reply);
            if let Some(connect) = connect {
                let mut input = frame(OpCode::Text, connect.as_bytes());
                session.received(&mut input, &mut host, &mut reply);
            }
            let due_ns = reply.deadline_ns.unwrap();
            assert_eq!(due_ns, deadline_s * S, "{why}");
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, due_ns);
            session.deadline(&mut host, &mut reply);
            assert_eq!(reply.end, Some(end), "{why}");
        }
    }
}
