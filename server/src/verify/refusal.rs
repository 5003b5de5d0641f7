//! The closed set of reasons for which a token is refused.

use std::fmt;

/// Why a token was refused: one reason for each rule, and the first that applies.
///
/// The reason is sent to the peer, counted and logged; it has no data of the token. The table in the
/// documentation of [`verify`](super), `rules.md`, names the rule behind each.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Refusal {
    /// There is no token.
    Missing,
    /// More bytes than [`Policy::token_bytes_max`](crate::verify::Policy::token_bytes_max).
    TooLong,
    /// Not three segments with a dot between each two.
    Malformed,
    /// A segment is not canonical base64url without padding.
    EncodingInvalid,
    /// The header is not a JSON object, or a member that it needs is missing or of another type.
    HeaderMalformed,
    /// The header or the claims name a member twice.
    DuplicateMember,
    /// The header or the claims have more levels than the limit.
    NestedTooDeep,
    /// `alg` is `none`, in whatever spelling.
    NoneAlgorithm,
    /// `alg` is not a supported signature algorithm.
    UnknownAlgorithm,
    /// The header has `crit`, or a `b64` other than true: an extension that must be understood.
    CriticalHeader,
    /// The header has a key, or the address of one.
    EmbeddedKey,
    /// `typ` is neither `JWT` nor `at+jwt`.
    WrongType,
    /// No key has the token's `kid`, or there are no keys.
    UnknownKey,
    /// No `kid`, and more keys of the algorithm than are checked.
    AmbiguousKey,
    /// The key is pinned to another algorithm than the token's.
    AlgorithmMismatch,
    /// None of the keys that the header selects made the signature.
    SignatureInvalid,
    /// The claims are not a JSON object, or a member that is read has another type.
    ClaimsMalformed,
    /// `exp`, `nbf` or `iat` is not a number of seconds between 1970 and the year 10000.
    TimeInvalid,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come yet.
    NotYetValid,
    /// `iat` has not come yet.
    IssuedInFuture,
    /// The policy names an issuer, and the token has none.
    IssuerMissing,
    /// The token has another issuer.
    IssuerMismatch,
    /// The policy names an audience, and the token has none.
    AudienceMissing,
    /// The token is for another audience.
    AudienceMismatch,
    /// There is a session instead of a token, and no user is logged in by it: it has ended, or never existed.
    UnknownSession,
}

impl Refusal {
    /// Every reason, in the order in which the rules are applied.
    pub const ALL: &[Refusal] = &[
        Refusal::Missing,
        Refusal::TooLong,
        Refusal::Malformed,
        Refusal::EncodingInvalid,
        Refusal::HeaderMalformed,
        Refusal::DuplicateMember,
        Refusal::NestedTooDeep,
        Refusal::NoneAlgorithm,
        Refusal::UnknownAlgorithm,
        Refusal::CriticalHeader,
        Refusal::EmbeddedKey,
        Refusal::WrongType,
        Refusal::UnknownKey,
        Refusal::AmbiguousKey,
        Refusal::AlgorithmMismatch,
        Refusal::SignatureInvalid,
        Refusal::ClaimsMalformed,
        Refusal::TimeInvalid,
        Refusal::Expired,
        Refusal::NotYetValid,
        Refusal::IssuedInFuture,
        Refusal::IssuerMissing,
        Refusal::IssuerMismatch,
        Refusal::AudienceMissing,
        Refusal::AudienceMismatch,
        Refusal::UnknownSession,
    ];

    /// The reason for programs: lower-case letters and underscores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Refusal::Missing => "missing",
            Refusal::TooLong => "too_long",
            Refusal::Malformed => "malformed",
            Refusal::EncodingInvalid => "encoding_invalid",
            Refusal::HeaderMalformed => "header_malformed",
            Refusal::DuplicateMember => "duplicate_member",
            Refusal::NestedTooDeep => "nested_too_deep",
            Refusal::NoneAlgorithm => "none_algorithm",
            Refusal::UnknownAlgorithm => "unknown_algorithm",
            Refusal::CriticalHeader => "critical_header",
            Refusal::EmbeddedKey => "embedded_key",
            Refusal::WrongType => "wrong_type",
            Refusal::UnknownKey => "unknown_key",
            Refusal::AmbiguousKey => "ambiguous_key",
            Refusal::AlgorithmMismatch => "algorithm_mismatch",
            Refusal::SignatureInvalid => "signature_invalid",
            Refusal::ClaimsMalformed => "claims_malformed",
            Refusal::TimeInvalid => "time_invalid",
            Refusal::Expired => "expired",
            Refusal::NotYetValid => "not_yet_valid",
            Refusal::IssuedInFuture => "issued_in_future",
            Refusal::IssuerMissing => "issuer_missing",
            Refusal::IssuerMismatch => "issuer_mismatch",
            Refusal::AudienceMissing => "audience_missing",
            Refusal::AudienceMismatch => "audience_mismatch",
            Refusal::UnknownSession => "unknown_session",
        }
    }

    /// The reason for people: the rest of a sentence, without quotation marks, so that it fits into a quoted string of an
    /// HTTP header.
    pub const fn describe(self) -> &'static str {
        match self {
            Refusal::Missing => "there is no token",
            Refusal::TooLong => "the token is too long",
            Refusal::Malformed => "the token is not three segments",
            Refusal::EncodingInvalid => "a segment is not base64url",
            Refusal::HeaderMalformed => "the header is malformed",
            Refusal::DuplicateMember => "a member appears twice",
            Refusal::NestedTooDeep => "the token is nested too deep",
            Refusal::NoneAlgorithm => "the token is not signed",
            Refusal::UnknownAlgorithm => "the algorithm is not supported",
            Refusal::CriticalHeader => "the header asks for an extension",
            Refusal::EmbeddedKey => "the header brings its own key",
            Refusal::WrongType => "the token is of another type",
            Refusal::UnknownKey => "no such key",
            Refusal::AmbiguousKey => "the token does not say its key",
            Refusal::AlgorithmMismatch => "the key has another algorithm",
            Refusal::SignatureInvalid => "the signature is invalid",
            Refusal::ClaimsMalformed => "the claims are malformed",
            Refusal::TimeInvalid => "a time is no sensible number of seconds",
            Refusal::Expired => "the token expired",
            Refusal::NotYetValid => "the token is not valid yet",
            Refusal::IssuedInFuture => "the token was issued in the future",
            Refusal::IssuerMissing => "the token names no issuer",
            Refusal::IssuerMismatch => "the token is by another issuer",
            Refusal::AudienceMissing => "the token names no audience",
            Refusal::AudienceMismatch => "the token is for another audience",
            Refusal::UnknownSession => "nobody is logged in by this session",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_lists_every_reason_once_with_a_unique_name() {
        let names: HashSet<_> = Refusal::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        // The enum's last variant is the list's last, and variants are numbered from 0 without a gap.
        assert_eq!(Refusal::UnknownSession as usize + 1, Refusal::ALL.len());
    }

    #[test]
    fn reasons_need_no_escaping() {
        for reason in Refusal::ALL {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(reason.as_str().bytes().all(plain), "{reason}");
            let quotable = |byte: u8| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte);
            assert!(reason.describe().bytes().all(quotable), "{reason}");
        }
    }
}
