//! Socket.IO 4 (over Engine.IO 3) and 5 (over Engine.IO 4): connects, events, disconnects.
//!
//! The application decides which namespaces exist. The token is verified once, at the first connect. The version numbers
//! are those of socket.io-protocol; the packages that speak them are Socket.IO 2 and Socket.IO 3 to 4.

use std::borrow::Cow;

use serde::Deserialize;
use wire::engineio::{self, Version};
use wire::socketio::{Kind, Packet};

use crate::metrics::{End, Outcome, Phase};
use crate::session::expiry::AuthenticatedUser;
use crate::session::host::{Host, push_sid};
use crate::session::reply::Reply;
use crate::session::settings::{Auth, LINGER};
use crate::session::users::UserId;
use crate::verify::Refusal;

/// The error message for every invalid token, that of the original system.
const REFUSED_MESSAGE: &str = "not valid token";

/// The verdict on a request's token; `None` without a token, which version 5 may send in its connect packet.
pub type Verdict = Option<Result<AuthenticatedUser, Refusal>>;

/// A Socket.IO client and the namespaces that it has joined.
#[derive(Debug)]
pub struct Client {
    stage: Stage,
    /// The stage's deadline; [`u64::MAX`] for none.
    stage_ends_ns: u64,
    /// Attachments that a binary event announced and that were not received yet.
    attachments_left: u32,
    /// The attachments are sent back to the client.
    attachments_echo: bool,
    /// The joined namespaces: a bit for each index of [`App::namespace`](crate::session::app::App::namespace).
    joined: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Version 5: the connect packet was not received yet. The request's token has this verdict.
    AwaitsConnect(Verdict),
    /// The client is authenticated as this user.
    Connected(UserId),
    /// The client was refused or disconnected, and its connection closes soon.
    Closing(End),
}

/// The connect payload of version 5, as far as the gate reads it.
#[derive(Deserialize)]
struct ConnectPayload<'a> {
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
}

impl Client {
    /// A client whose session was just opened. Over Engine.IO 3 the verdict is sent at once.
    pub fn open(
        version: Version,
        verdict: Verdict,
        connect_by_ns: u64,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) -> Self {
        let (stage, stage_ends_ns) = (Stage::AwaitsConnect(verdict), connect_by_ns);
        let mut client = Self { stage, stage_ends_ns, attachments_left: 0, attachments_echo: false, joined: 0 };
        if version == Version::V3 {
            let verdict = verdict.unwrap_or_else(|| host.verdict_without_credentials());
            match verdict {
                Ok(user) => client.admit(user, (&ROOT, 0), version, host, reply),
                Err(refusal) => client.refuse(refusal, &ROOT, version, host, reply),
            }
        }
        client
    }

    /// Whether the connect packet was not received yet.
    pub fn awaits_connect(&self) -> bool {
        matches!(self.stage, Stage::AwaitsConnect(_))
    }

    /// The deadline of the client's stage.
    pub fn stage_ends_ns(&self) -> u64 {
        self.stage_ends_ns
    }

    /// The end and the close reason of a client whose stage has passed its deadline.
    pub fn overdue(&self, now_ns: u64) -> Option<(End, &'static str)> {
        if now_ns < self.stage_ends_ns {
            return None;
        }
        match self.stage {
            Stage::AwaitsConnect(_) => Some((End::HandshakeTimeout, "not connected in time")),
            Stage::Closing(end) => Some((end, "")),
            Stage::Connected(_) => Some((End::Expired, "token expired")),
        }
    }

    /// Handles one Socket.IO packet.
    pub fn packet(&mut self, text: &str, version: Version, host: &mut Host, reply: &mut Reply<'_>) {
        let packet = match Packet::decode(text) {
            Ok(packet) => packet,
            Err(error) => return reply.fail_protocol(&error),
        };
        if self.attachments_left > 0 {
            return reply.fail_protocol(&"a packet came before the attachments that were announced");
        }
        if let Stage::Closing(_) = self.stage {
            return;
        }
        let index = host.settings.app.namespace(packet.namespace);
        let is_joined = index.is_some_and(|index| self.joined & 1 << index != 0);
        match (packet.kind, self.stage, index) {
            (Kind::Connect, _, None) => refuse_namespace(&packet, version, host, reply),
            (Kind::Connect, Stage::AwaitsConnect(verdict), Some(index)) => {
                match verdict.unwrap_or_else(|| verify_payload(packet.data, host)) {
                    Ok(user) => self.admit(user, (&packet, index), version, host, reply),
                    Err(refusal) => self.refuse(refusal, &packet, version, host, reply),
                }
            }
            // A client of Socket.IO 2 is connected without a connect packet.
            (Kind::Connect, _, Some(0)) if version == Version::V3 => {}
            (Kind::Connect, Stage::Connected(_), Some(index)) if !is_joined => {
                self.join(&packet, index, version, host, reply);
            }
            (_, Stage::AwaitsConnect(_), _) => reply.fail_protocol(&"the first packet must be a connect"),
            (Kind::Connect | Kind::ConnectError, _, _) => reply.fail_protocol(&"already connected"),
            (_, _, _) if !is_joined => reply.fail_protocol(&"no such namespace"),
            (Kind::Event | Kind::BinaryEvent, Stage::Connected(user), _) => {
                self.event(&packet, user, host, reply);
            }
            (Kind::Disconnect, stage, index) => {
                self.joined &= !(1 << index.unwrap_or_default());
                if self.joined == 0 {
                    if let Stage::Connected(user) = stage {
                        host.users.release(user);
                        host.metrics.session_ended(End::Client);
                    }
                    self.await_close(End::Client, reply);
                }
            }
            // The gate requests no acknowledgement, and ignores those that it receives.
            (_, _, _) => {
                self.attachments_left = packet.attachments;
                self.attachments_echo = false;
            }
        }
    }

    /// Handles one binary message: an attachment of the last event.
    pub fn attachment(&mut self, payload: &[u8], version: Version, host: &mut Host, reply: &mut Reply<'_>) {
        if let Stage::Closing(_) = self.stage {
            return;
        }
        let Some(left) = self.attachments_left.checked_sub(1) else {
            return reply.fail_protocol(&"no attachment was announced");
        };
        self.attachments_left = left;
        if self.attachments_echo {
            reply.binary(version, payload, &mut host.scratch);
        }
    }

    /// Releases the client's user and counts its `end`.
    pub fn ended(self, end: End, host: &mut Host) {
        match self.stage {
            Stage::AwaitsConnect(verdict) => {
                if let Some(Ok(user)) = verdict {
                    host.users.release(user.user);
                }
                host.metrics.handshake(Outcome::without_verdict(end, Phase::Connect));
            }
            Stage::Connected(user) => {
                host.users.release(user);
                host.metrics.session_ended(end);
            }
            // The client was counted when it was refused or disconnected.
            Stage::Closing(_) => {}
        }
    }

    /// Authenticates the client at its first connect, to the namespace at `index`.
    fn admit(
        &mut self,
        user: AuthenticatedUser,
        (connect, index): (&Packet<'_>, u8),
        version: Version,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) {
        let ends_ns = host.instant_ns(user.until, reply.now_ns);
        if ends_ns <= reply.now_ns {
            // The token expired after the session was opened.
            host.users.release(user.user);
            return self.refuse(Refusal::Expired, connect, version, host, reply);
        }
        self.stage = Stage::Connected(user.user);
        self.stage_ends_ns = ends_ns;
        host.metrics.handshake(Outcome::Established);
        self.join(connect, index, version, host, reply);
    }

    /// Sends the client a connect error, with the reason in version 5.
    fn refuse(
        &mut self,
        refusal: Refusal,
        connect: &Packet<'_>,
        version: Version,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) {
        self.await_close(End::Refused, reply);
        host.metrics.handshake(Outcome::Refused(refusal));
        let parts: &[&str] = match version {
            Version::V3 => &["\"", REFUSED_MESSAGE, "\""],
            Version::V4 => &[r#"{"message":""#, REFUSED_MESSAGE, r#"","data":{"reason":""#, refusal.as_str(), r#""}}"#],
        };
        host.data.clear();
        host.data.extend(parts.iter().copied());
        send(&answer_to(connect, Kind::ConnectError, &host.data), &mut host.scratch, reply);
    }

    /// Adds the authenticated client to the namespace at `index`.
    fn join(&mut self, connect: &Packet<'_>, index: u8, version: Version, host: &mut Host, reply: &mut Reply<'_>) {
        self.joined |= 1 << index;
        host.data.clear();
        if version == Version::V4 {
            host.data.push_str(r#"{"sid":""#);
            push_sid(&mut host.random, &mut host.data);
            host.data.push_str(r#""}"#);
        }
        send(&answer_to(connect, Kind::Connect, &host.data), &mut host.scratch, reply);
        if host.settings.app.greet(connect.data, &mut host.data) {
            send(&answer_to(connect, Kind::Event, &host.data), &mut host.scratch, reply);
        }
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

    fn await_close(&mut self, end: End, reply: &Reply<'_>) {
        self.stage = Stage::Closing(end);
        self.stage_ends_ns = reply.after(LINGER);
    }
}

/// The connect packet that a client of Socket.IO 2 need not send.
const ROOT: Packet<'static> = Packet { kind: Kind::Connect, attachments: 0, namespace: "/", id: None, data: "" };

/// A packet to the namespace of `connect`, without the query that may follow its name.
fn answer_to<'a>(connect: &Packet<'a>, kind: Kind, data: &'a str) -> Packet<'a> {
    Packet { kind, namespace: connect.namespace.split('?').next().unwrap_or("/"), data, ..ROOT }
}

fn verify_payload(data: &str, host: &mut Host) -> Result<AuthenticatedUser, Refusal> {
    // A session's id must be in the request: a lookup takes time, and packets are answered at once.
    if data.is_empty() || host.settings.auth != Auth::Token {
        return host.verdict_without_credentials();
    }
    let payload: ConnectPayload<'_> = serde_json::from_str(data).map_err(|_| Refusal::Malformed)?;
    let token = payload.token.ok_or(Refusal::Missing)?;
    host.admit(token.as_bytes())
}

fn refuse_namespace(packet: &Packet<'_>, version: Version, host: &mut Host, reply: &mut Reply<'_>) {
    let error = match version {
        Version::V3 => r#""Invalid namespace""#,
        Version::V4 => r#"{"message":"Invalid namespace"}"#,
    };
    send(&answer_to(packet, Kind::ConnectError, error), &mut host.scratch, reply);
}

/// Sends a client a disconnect packet.
pub(super) fn disconnect(host: &mut Host, reply: &mut Reply<'_>) {
    send(&answer_to(&ROOT, Kind::Disconnect, ""), &mut host.scratch, reply);
}

fn send(packet: &Packet<'_>, scratch: &mut Vec<u8>, reply: &mut Reply<'_>) {
    scratch.clear();
    engineio::Packet::Message("").encode(scratch);
    packet.encode(scratch);
    reply.text(scratch);
}

#[cfg(test)]
mod tests;
