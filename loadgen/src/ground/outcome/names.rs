//! From a name in a result, or in a message of another process, back to what it names.

use reactor::CertificateFault;
use wire::engineio::HttpError;

use crate::ground::outcome::{FailureKind, Outcome, Phase, TokenKind};

impl Outcome {
    /// The outcome of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

impl Phase {
    /// The phase of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

impl TokenKind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
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

/// Every kind without a number.
const PLAIN: [FailureKind; 23] = [
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
    FailureKind::Redirect,
    FailureKind::Body,
    FailureKind::Limit,
];

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
            F::Redirect | F::Body | F::Limit => 3,
            F::Http(_) | F::Closed(_) => 0,
        }
    }

    #[test]
    fn names_lead_back() {
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
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::named(outcome.as_str()), Some(outcome));
        }
        for phase in Phase::ALL {
            assert_eq!(Phase::named(phase.as_str()), Some(phase));
        }
        for kind in TokenKind::ALL {
            assert_eq!(TokenKind::named(kind.as_str()), Some(kind));
        }
    }
}
