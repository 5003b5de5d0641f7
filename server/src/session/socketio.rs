//! Socket.IO 4 (over Engine.IO 3) and 5 (over Engine.IO 4): the client's connects, its events, its disconnects.
//!
//! The application decides which namespaces there are; the token is judged once, at the first connect. The protocol
//! numbers are those of socket.io-protocol; the packages that speak them are Socket.IO 2 and Socket.IO 3 to 4.

use std::borrow::Cow;

use serde::Deserialize;
use wire::engineio;
use wire::engineio::Version;
use wire::socketio::{Kind, Packet};

use crate::metrics::{End, Outcome, Phase};
use crate::session::expiry::AuthenticatedUser;
use crate::session::host::{Host, push_sid};
use crate::session::reply::Reply;
use crate::session::settings::{Auth, LINGER};
use crate::session::users::UserId;
use crate::verify::Refusal;

/// The error that the original's middleware sends for every invalid token.
pub const REFUSED_MESSAGE: &str = "not valid token";

/// The verdict on the token that came with the upgrade; `None` when none came.
pub type Verdict = Option<Result<AuthenticatedUser, Refusal>>;

/// A client and the namespaces it is in, from its session's opening to its end.
#[derive(Debug)]
pub struct Client {
    stage: Stage,
    /// When the stage is over by itself; [`u64::MAX`] when it is not.
    stage_ends_ns: u64,
    /// Attachments that a binary event announced and that have not come yet.
    attachments_left: u32,
    /// Do those attachments go back to the client?
    attachments_echo: bool,
    /// The namespaces it is in: the bit at the place of each that
    /// [`App::namespace`](crate::session::app::App::namespace) returns.
    joined: u8,
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
    /// A client whose session just opened. Over Engine.IO 3 the verdict is sent at once.
    pub fn open(
        version: Version,
        verdict: Verdict,
        connect_by_ns: u64,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) -> Self {
        let mut client = Self {
            stage: Stage::Awaited(verdict),
            stage_ends_ns: connect_by_ns,
            attachments_left: 0,
            attachments_echo: false,
            joined: 0,
        };
        if version == Version::V3 {
            let verdict = verdict.unwrap_or_else(|| host.verdict_without_credentials());
            match verdict {
                Ok(user) => client.admit(user, (&ROOT, 0), version, host, reply),
                Err(refusal) => client.refuse(refusal, &ROOT, version, host, reply),
            }
        }
        client
    }

    /// Is its connect packet still to come?
    pub fn is_awaited(&self) -> bool {
        matches!(self.stage, Stage::Awaited(_))
    }

    /// When the stage is over by itself.
    pub fn stage_ends_ns(&self) -> u64 {
        self.stage_ends_ns
    }

    /// The end and the close reason of a client whose time in its stage is over.
    pub fn overdue(&self, now_ns: u64) -> Option<(End, &'static str)> {
        if now_ns < self.stage_ends_ns {
            return None;
        }
        match self.stage {
            Stage::Awaited(_) => Some((End::HandshakeTimeout, "not connected in time")),
            Stage::Leaving(end) => Some((end, "")),
            Stage::Connected(_) => Some((End::Expired, "token expired")),
        }
    }

    /// Takes one Socket.IO packet.
    pub fn packet(&mut self, text: &str, version: Version, host: &mut Host, reply: &mut Reply<'_>) {
        let packet = match Packet::decode(text) {
            Ok(packet) => packet,
            Err(error) => return reply.break_off(&error),
        };
        if self.attachments_left > 0 {
            return reply.break_off(&"a packet came before the attachments that were announced");
        }
        if let Stage::Leaving(_) = self.stage {
            return;
        }
        let place = host.settings.app.namespace(packet.namespace);
        let is_joined = place.is_some_and(|place| self.joined & 1 << place != 0);
        match (packet.kind, self.stage, place) {
            (Kind::Connect, _, None) => refuse_namespace(&packet, version, host, reply),
            (Kind::Connect, Stage::Awaited(verdict), Some(place)) => {
                let verdict = verdict.unwrap_or_else(|| judge_payload(packet.data, host));
                match verdict {
                    Ok(user) => self.admit(user, (&packet, place), version, host, reply),
                    Err(refusal) => self.refuse(refusal, &packet, version, host, reply),
                }
            }
            // A client of Socket.IO 2 is connected without a connect packet.
            (Kind::Connect, _, Some(0)) if version == Version::V3 => {}
            (Kind::Connect, Stage::Connected(_), Some(place)) if !is_joined => {
                self.join(&packet, place, version, host, reply);
            }
            (_, Stage::Awaited(_), _) => reply.break_off(&"the first packet must be a connect"),
            (Kind::Connect | Kind::ConnectError, _, _) => reply.break_off(&"already connected"),
            (_, _, _) if !is_joined => reply.break_off(&"no such namespace"),
            (Kind::Event | Kind::BinaryEvent, Stage::Connected(user), _) => {
                self.event(&packet, user, host, reply);
            }
            (Kind::Disconnect, _, place) => {
                self.joined &= !(1 << place.unwrap_or_default());
                if self.joined == 0 {
                    self.disconnect(host, reply);
                }
            }
            // The gate requests no acknowledgement, and ignores one that comes.
            (_, _, _) => {
                self.attachments_left = packet.attachments;
                self.attachments_echo = false;
            }
        }
    }

    /// Takes one binary message: an attachment of the event before.
    pub fn attachment(&mut self, payload: &[u8], version: Version, host: &mut Host, reply: &mut Reply<'_>) {
        if let Stage::Leaving(_) = self.stage {
            return;
        }
        let Some(left) = self.attachments_left.checked_sub(1) else {
            return reply.break_off(&"no attachment was announced");
        };
        self.attachments_left = left;
        if self.attachments_echo {
            reply.binary(version, payload, &mut host.scratch);
        }
    }

    /// Releases what the client holds and counts how it ended.
    pub fn ended(self, end: End, host: &mut Host) {
        match self.stage {
            Stage::Awaited(verdict) => {
                if let Some(Ok(user)) = verdict {
                    host.users.release(user.user);
                }
                host.metrics.handshake(Outcome::without_verdict(end, Phase::Connect));
            }
            Stage::Connected(user) => {
                host.users.release(user);
                host.metrics.session_ended(end);
            }
            // Counted when it was refused or disconnected.
            Stage::Leaving(_) => {}
        }
    }

    /// Authenticates the client by its first connect, to the namespace at `place`, and answers.
    fn admit(
        &mut self,
        user: AuthenticatedUser,
        (connect, place): (&Packet<'_>, u8),
        version: Version,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) {
        let ends_ns = host.instant_ns(user.until, reply.now_ns);
        if ends_ns <= reply.now_ns {
            // The token was valid when the session was opened.
            host.users.release(user.user);
            return self.refuse(Refusal::Expired, connect, version, host, reply);
        }
        self.stage = Stage::Connected(user.user);
        self.stage_ends_ns = ends_ns;
        host.metrics.handshake(Outcome::Established);
        self.join(connect, place, version, host, reply);
    }

    /// Sends the client the refusal and its reason.
    fn refuse(
        &mut self,
        refusal: Refusal,
        connect: &Packet<'_>,
        version: Version,
        host: &mut Host,
        reply: &mut Reply<'_>,
    ) {
        self.leave(End::Refused, reply);
        host.metrics.handshake(Outcome::Refused(refusal));
        let parts: &[&str] = match version {
            Version::V3 => &["\"", REFUSED_MESSAGE, "\""],
            Version::V4 => &[r#"{"message":""#, REFUSED_MESSAGE, r#"","data":{"reason":""#, refusal.as_str(), r#""}}"#],
        };
        host.data.clear();
        host.data.extend(parts.iter().copied());
        let refused = answer_to(connect, Kind::ConnectError, &host.data);
        send(&refused, &mut host.scratch, reply);
    }

    /// Adds the authenticated client to the namespace at `place`.
    fn join(&mut self, connect: &Packet<'_>, place: u8, version: Version, host: &mut Host, reply: &mut Reply<'_>) {
        self.joined |= 1 << place;
        host.data.clear();
        if version == Version::V4 {
            host.data.push_str(r#"{"sid":""#);
            push_sid(&mut host.random, &mut host.data);
            host.data.push_str(r#""}"#);
        }
        let joined = answer_to(connect, Kind::Connect, &host.data);
        send(&joined, &mut host.scratch, reply);
        if host.settings.app.greet(connect.data, &mut host.data) {
            let greeting = answer_to(connect, Kind::Event, &host.data);
            send(&greeting, &mut host.scratch, reply);
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

    /// The client has left its last namespace.
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

/// The connect packet that a client of Socket.IO 2 need not send.
const ROOT: Packet<'static> = Packet { kind: Kind::Connect, attachments: 0, namespace: "/", id: None, data: "" };

/// A packet to the namespace that `connect` names, without the query that its name may carry.
fn answer_to<'a>(connect: &Packet<'a>, kind: Kind, data: &'a str) -> Packet<'a> {
    Packet { kind, namespace: connect.namespace.split('?').next().unwrap_or("/"), data, ..ROOT }
}

fn judge_payload(data: &str, host: &mut Host) -> Result<AuthenticatedUser, Refusal> {
    // A session must come with the request: a lookup takes time, and packets are answered at once.
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
    let refusal = answer_to(packet, Kind::ConnectError, error);
    send(&refusal, &mut host.scratch, reply);
}

/// Sends a client a disconnect packet.
pub(super) fn disconnect(host: &mut Host, reply: &mut Reply<'_>) {
    let packet = answer_to(&ROOT, Kind::Disconnect, "");
    send(&packet, &mut host.scratch, reply);
}

fn send(packet: &Packet<'_>, scratch: &mut Vec<u8>, reply: &mut Reply<'_>) {
    scratch.clear();
    engineio::Packet::Message("").encode(scratch);
    packet.encode(scratch);
    reply.text(scratch);
}

#[cfg(test)]
mod tests;
