//! What became of an arrival: exactly one outcome each, and the name of what broke.
//!
//! The sets are closed, so that totals add up and every name that a result may hold is known beforehand. Nothing
//! here knows about sockets: the engine decides, the recorder counts.

mod names;

use std::fmt;

use reactor::CertificateFault;
use serde::{Deserialize, Serialize};
use wire::engineio::HttpError;

/// What became of an arrival. Every planned arrival ends in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Let in, as its token deserves.
    Established,
    /// Refused, as its token deserves.
    RefusedExpected,
    /// Let in although its token should have been refused.
    FalseAccept,
    /// Refused although its token should have been accepted.
    FalseReject,
    /// Not decided in time.
    Timeout,
    /// Broken on the way; a [`Failure`] says where and how.
    Failed,
    /// Under way when the run was stopped.
    Interrupted,
    /// Due, but never begun: the generator or its machine could not.
    NotSent,
}

impl Outcome {
    /// Every outcome, in the order in which results show them.
    pub const ALL: [Self; 8] = [
        Self::Established,
        Self::RefusedExpected,
        Self::FalseAccept,
        Self::FalseReject,
        Self::Timeout,
        Self::Failed,
        Self::Interrupted,
        Self::NotSent,
    ];

    /// Its name in a result.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::RefusedExpected => "refused_expected",
            Self::FalseAccept => "false_accept",
            Self::FalseReject => "false_reject",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::NotSent => "not_sent",
        }
    }
}

/// A step on an arrival's way, in the order in which it meets them; each has a duration of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// A user's login at the frontend, before the first arrival.
    Login,
    /// The HTTP request that fetches a token.
    Token,
    /// From the start of the connection until TCP is up.
    Connect,
    /// From TCP until the TLS handshake is done.
    Tls,
    /// From the upgrade request until its 101 (RFC 6455 section 4). Of a session that began by polling: from the start of
    /// its WebSocket's connection until the session has moved there.
    Upgrade,
    /// From the 101 until Engine.IO's open packet; by polling from the first request.
    Open,
    /// One request of Engine.IO's polling transport that the server answers at once: those of the handshake, and every
    /// POST but that which takes leave. A poll of an established session waits until there is something to say, which is nobody's latency.
    Poll,
    /// From the open packet until the Socket.IO namespace is connected. A raw WebSocket has no such packet: its
    /// failures after the 101 are counted here, its duration is not.
    Auth,
}

impl Phase {
    /// Every phase, in the order of an arrival's way.
    pub const ALL: [Self; 8] =
        [Self::Login, Self::Token, Self::Connect, Self::Tls, Self::Upgrade, Self::Open, Self::Poll, Self::Auth];

    /// Its name in a result.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Token => "token",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
            Self::Open => "open",
            Self::Poll => "poll",
            Self::Auth => "auth",
        }
    }
}

/// How an arrival broke; [`Display`](fmt::Display) gives its name in a result.
///
/// The set is bounded whatever a peer sends: a status has three digits, a close code four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The host's name did not resolve.
    Dns,
    /// Nothing listens there.
    Refused,
    /// The peer ended the TCP connection, by RST or FIN, before it had answered.
    Reset,
    /// The network knows no way there.
    Unreachable,
    /// Not done in time.
    Timeout,
    /// The TLS handshake failed.
    Tls,
    /// It failed over the peer's certificate.
    Certificate(CertificateFault),
    /// An HTTP status that is neither a success, nor a redirect, nor a refusal of the token.
    Http(u16),
    /// Engine.IO's own error, whatever its HTTP status.
    EngineIo(HttpError),
    /// A socket outlived its token.
    OpenAfterExp,
    /// The server offers no WebSocket to move to.
    NoUpgrade,
    /// What came back breaks the protocol's rules.
    Protocol,
    /// Closed after the 101 with this code (RFC 6455 section 7.4), 1006 when none was sent.
    Closed(u16),
    /// An HTTP redirect where none is followed.
    Redirect,
    /// An answer whose body is not what it should be.
    Body,
    /// The machine of the load ran out of descriptors, ports or memory, or a queue of the generator was full.
    Limit,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns => f.write_str("dns"),
            Self::Refused => f.write_str("refused"),
            Self::Reset => f.write_str("reset"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Timeout => f.write_str("timeout"),
            Self::Tls => f.write_str("tls"),
            Self::Certificate(fault) => write!(f, "certificate-{}", fault.as_str()),
            Self::Http(status) => write!(f, "http-{status}"),
            Self::EngineIo(error) => f.write_str(match error {
                HttpError::UnknownTransport => "unknown-transport",
                HttpError::UnknownSid => "unknown-sid",
                HttpError::BadHandshakeMethod => "bad-handshake-method",
                HttpError::BadRequest => "bad-request",
                HttpError::Forbidden => "forbidden",
                HttpError::UnsupportedProtocolVersion => "unsupported-protocol-version",
            }),
            Self::OpenAfterExp => f.write_str("open-after-exp"),
            Self::NoUpgrade => f.write_str("no-upgrade"),
            Self::Protocol => f.write_str("protocol"),
            Self::Closed(code) => write!(f, "closed-{code}"),
            Self::Redirect => f.write_str("redirect"),
            Self::Body => f.write_str("body"),
            Self::Limit => f.write_str("limit"),
        }
    }
}

/// Where an arrival broke, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Failure {
    /// The phase that did not end well.
    pub phase: Phase,
    /// What happened in it.
    pub kind: FailureKind,
}

/// What kind of token an arrival shows, which decides how it should end.
///
/// Each bad kind has one fault alone: a target that overlooks it lets the token in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    /// As the issuer made it, and in force.
    Valid,
    /// Signed by the issuer's key, its `exp` long past (RFC 7519 section 4.1.4).
    Expired,
    /// Signed by the issuer's key, its `nbf` far ahead (RFC 7519 section 4.1.5).
    NotYetValid,
    /// The issuer's signature under other claims.
    Forged,
    /// Well made, but signed by a key of the attacker's own.
    WrongKey,
    /// `"alg":"none"` and no signature (RFC 8725 section 2.1).
    AlgNone,
    /// An HMAC whose secret is the target's public key (RFC 8725 section 2.1).
    AlgConfused,
    /// Signed by the attacker's key, which its `kid` names.
    UnknownKid,
    /// No JWT at all.
    Garbage,
    /// A forged token that is longer than any real one.
    Oversized,
    /// No token.
    Missing,
    /// A token that another arrival was let in with.
    Replayed,
}

impl TokenKind {
    /// Every kind, in the order in which results show them.
    pub const ALL: [Self; 12] = [
        Self::Valid,
        Self::Expired,
        Self::NotYetValid,
        Self::Forged,
        Self::WrongKey,
        Self::AlgNone,
        Self::AlgConfused,
        Self::UnknownKid,
        Self::Garbage,
        Self::Oversized,
        Self::Missing,
        Self::Replayed,
    ];

    /// Its name in a result, and in `--mix`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Forged => "forged",
            Self::WrongKey => "wrong-key",
            Self::AlgNone => "alg-none",
            Self::AlgConfused => "alg-confused",
            Self::UnknownKid => "unknown-kid",
            Self::Garbage => "garbage",
            Self::Oversized => "oversized",
            Self::Missing => "missing",
            Self::Replayed => "replayed",
        }
    }

    /// What a target should do with it, unless it was said otherwise.
    pub fn usually(self) -> Expected {
        match self {
            Self::Valid | Self::Replayed => Expected::Accept,
            _ => Expected::Refuse,
        }
    }

    /// Whether this HTTP status refuses it: 401 and 403 refuse any token; where the request itself is at fault,
    /// because its token is missing, endless or none, so do the statuses that say so.
    pub fn is_refused_by(self, status: u16) -> bool {
        match self {
            Self::Garbage | Self::Oversized | Self::Missing => {
                matches!(status, 400 | 401 | 403 | 413 | 414 | 431)
            }
            _ => matches!(status, 401 | 403),
        }
    }
}

/// What a target should do with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// Let it in.
    Accept,
    /// Turn it away.
    Refuse,
}

impl Expected {
    /// As `--expect` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refuse => "refuse",
        }
    }

    /// The outcome of an arrival whose token the target refused.
    pub fn when_refused(self) -> Outcome {
        match self {
            Self::Accept => Outcome::FalseReject,
            Self::Refuse => Outcome::RefusedExpected,
        }
    }

    /// The outcome of an arrival whose token the target accepted.
    pub fn when_accepted(self) -> Outcome {
        match self {
            Self::Accept => Outcome::Established,
            Self::Refuse => Outcome::FalseAccept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_result() {
        let outcomes: Vec<_> = Outcome::ALL.iter().map(|o| o.as_str()).collect();
        let totals = reports::schema::Totals::default();
        let expected: Vec<_> = totals.outcomes().iter().map(|(name, _)| *name).collect();
        assert_eq!(outcomes, expected);
        for phase in Phase::ALL {
            assert!(reports::schema::PHASES.contains(&phase.as_str()), "{phase:?}");
        }
    }

    #[test]
    fn every_set_is_listed_in_its_own_order() {
        assert!(Outcome::ALL.is_sorted());
        assert!(Phase::ALL.is_sorted());
        assert!(TokenKind::ALL.is_sorted());
    }

    #[test]
    fn malformed_requests_may_be_refused_as_such() {
        for (kind, status, refused, why) in [
            (TokenKind::Valid, 401, true, "unauthorized"),
            (TokenKind::Valid, 400, false, "a valid token is no bad request"),
            (TokenKind::Missing, 400, true, "there was something to miss"),
            (TokenKind::Oversized, 431, true, "too long (RFC 6585)"),
            (TokenKind::Oversized, 500, false, "the server broke"),
            (TokenKind::Garbage, 429, false, "about load, never about the token"),
            (TokenKind::Expired, 400, false, "well formed"),
        ] {
            assert_eq!(kind.is_refused_by(status), refused, "{kind:?} {status}: {why}");
        }
    }

    #[test]
    fn failures_are_named_with_their_number() {
        for (kind, name) in [
            (FailureKind::Http(429), "http-429"),
            (FailureKind::Closed(4401), "closed-4401"),
            (FailureKind::Certificate(CertificateFault::UnknownIssuer), "certificate-unknown-issuer"),
            (FailureKind::Reset, "reset"),
            (FailureKind::Limit, "limit"),
        ] {
            assert_eq!(kind.to_string(), name);
        }
    }
}
