//! How an arrival ended, and the name of what failed.
//!
//! The sets are closed, so that totals add up and every name that a result may hold is known beforehand: most of them
//! are those of [`reports::schema`]. Nothing here knows about sockets: the engine decides, the recorder counts.

use std::fmt;

pub use reports::schema::{Expected, Outcome, Phase, TokenKind};

use reactor::CertificateFault;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wire::engineio::HttpError;

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
    /// No route to the host.
    Unreachable,
    /// The time limit passed.
    Timeout,
    /// The TLS handshake failed.
    Tls,
    /// The TLS handshake failed because of the peer's certificate.
    Certificate(CertificateFault),
    /// An HTTP status that is neither a success, nor a redirect, nor a refusal of the token.
    Http(u16),
    /// Engine.IO's own error, whatever its HTTP status.
    EngineIo(HttpError),
    /// A socket outlived its token.
    OpenAfterExp,
    /// The server offers no WebSocket to move to.
    NoUpgrade,
    /// The answer breaks the rules of the protocol.
    Protocol,
    /// Closed after the 101 with this code (RFC 6455 section 7.4), 1006 when none was sent.
    Closed(u16),
    /// Socket.IO's disconnect packet.
    Disconnected,
    /// Engine.IO's open packet on what should be a raw WebSocket.
    EngineIoOpen,
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
            Self::Disconnected => f.write_str("disconnect-packet"),
            Self::EngineIoOpen => f.write_str("engineio-open"),
            Self::Redirect => f.write_str("redirect"),
            Self::Body => f.write_str("body"),
            Self::Limit => f.write_str("limit"),
        }
    }
}

/// Where an arrival broke, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// The phase that failed.
    pub phase: Phase,
    /// How it failed.
    pub kind: FailureKind,
}

impl FailureKind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        let number = |prefix| name.strip_prefix(prefix)?.parse().ok();
        let numbered = number("http-").map(Self::Http);
        numbered
            .or_else(|| number("closed-").map(Self::Closed))
            .or_else(|| PLAIN.into_iter().find(|kind| kind.to_string() == name))
    }
}

impl Serialize for FailureKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FailureKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Self::named(&name).ok_or_else(|| de::Error::custom(format_args!("{name:?} is not the name of any failure")))
    }
}

/// Every kind without a number.
const PLAIN: [FailureKind; 25] = [
    FailureKind::Dns,
    FailureKind::Refused,
    FailureKind::Reset,
    FailureKind::Unreachable,
    FailureKind::Timeout,
    FailureKind::Tls,
    FailureKind::Certificate(CertificateFault::Expired),
    FailureKind::Certificate(CertificateFault::NotYetValid),
    FailureKind::Certificate(CertificateFault::UnknownIssuer),
    FailureKind::Certificate(CertificateFault::WrongName),
    FailureKind::Certificate(CertificateFault::Invalid),
    FailureKind::EngineIo(HttpError::UnknownTransport),
    FailureKind::EngineIo(HttpError::UnknownSid),
    FailureKind::EngineIo(HttpError::BadHandshakeMethod),
    FailureKind::EngineIo(HttpError::BadRequest),
    FailureKind::EngineIo(HttpError::Forbidden),
    FailureKind::EngineIo(HttpError::UnsupportedProtocolVersion),
    FailureKind::OpenAfterExp,
    FailureKind::NoUpgrade,
    FailureKind::Protocol,
    FailureKind::Disconnected,
    FailureKind::EngineIoOpen,
    FailureKind::Redirect,
    FailureKind::Body,
    FailureKind::Limit,
];

/// Whether this HTTP status refuses a token of `kind`: 401 and 403 refuse any token. Where the request itself is
/// malformed, because its token is missing, oversized or no JWT, so do the statuses for malformed requests.
pub fn refuses(status: u16, kind: TokenKind) -> bool {
    let malformed = matches!(kind, TokenKind::Garbage | TokenKind::Oversized | TokenKind::Missing);
    matches!(status, 401 | 403) || malformed && matches!(status, 400 | 413 | 414 | 431)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many kinds there are without a number; a new one does not compile until it is counted.
    fn count(kind: FailureKind) -> usize {
        use FailureKind as F;
        match kind {
            F::Dns | F::Refused | F::Reset | F::Unreachable | F::Timeout | F::Tls => 6,
            F::Certificate(fault) => match fault {
                CertificateFault::Expired
                | CertificateFault::NotYetValid
                | CertificateFault::UnknownIssuer
                | CertificateFault::WrongName
                | CertificateFault::Invalid => 5,
            },
            F::EngineIo(error) => match error {
                HttpError::UnknownTransport
                | HttpError::UnknownSid
                | HttpError::BadHandshakeMethod
                | HttpError::BadRequest
                | HttpError::Forbidden
                | HttpError::UnsupportedProtocolVersion => 6,
            },
            F::OpenAfterExp | F::NoUpgrade | F::Protocol => 3,
            F::Disconnected | F::EngineIoOpen | F::Redirect | F::Body | F::Limit => 5,
            F::Http(_) | F::Closed(_) => 0,
        }
    }

    #[test]
    fn each_name_parses_to_its_kind() {
        for kind in PLAIN.into_iter().chain([FailureKind::Http(404), FailureKind::Closed(1006)]) {
            assert_eq!(FailureKind::named(&kind.to_string()), Some(kind));
        }
        let groups = [
            FailureKind::Dns,
            FailureKind::Certificate(CertificateFault::Invalid),
            FailureKind::EngineIo(HttpError::Forbidden),
            FailureKind::Protocol,
            FailureKind::Body,
        ];
        let all: usize = groups.into_iter().map(count).sum();
        assert_eq!(all, PLAIN.len(), "each kind is listed");
        for name in ["", "http-", "http-x", "closed-70000", "dns2"] {
            assert_eq!(FailureKind::named(name), None, "{name}");
        }
    }

    #[test]
    fn malformed_requests_may_be_refused_as_such() {
        for (kind, status, refused, why) in [
            (TokenKind::Valid, 401, true, "unauthorized"),
            (TokenKind::Valid, 400, false, "a valid token is no bad request"),
            (TokenKind::Missing, 400, true, "no token was sent"),
            (TokenKind::Oversized, 431, true, "too long (RFC 6585)"),
            (TokenKind::Oversized, 500, false, "the server's own error"),
            (TokenKind::Garbage, 429, false, "about load, never about the token"),
            (TokenKind::Expired, 400, false, "well formed"),
        ] {
            assert_eq!(refuses(status, kind), refused, "{kind:?} {status}: {why}");
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
