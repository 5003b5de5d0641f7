//! The closed set of reasons for which a token is refused.

use crate::closed_set::closed_set;

closed_set! {
    /// Why a token was refused: one reason for each rule, in the order in which the rules are applied.
    ///
    /// The reason is sent to the peer, counted and logged; it has no data of the token. The table in the
    /// documentation of [`verify`](super), `rules.md`, has the rule of each.
    Refusal {
        /// There is no token.
        Missing = "missing": "there is no token",
        /// The token has more bytes than [`Policy::token_bytes_max`](crate::verify::Policy::token_bytes_max).
        TooLong = "too_long": "the token is too long",
        /// The token is not three segments separated by dots.
        Malformed = "malformed": "the token is not three segments",
        /// A segment is not canonical base64url without padding.
        EncodingInvalid = "encoding_invalid": "a segment is not base64url",
        /// The header is not a JSON object, or a member that it needs is missing or of another type.
        HeaderMalformed = "header_malformed": "the header is malformed",
        /// The header or the claims have two members of one name.
        DuplicateMember = "duplicate_member": "two members have one name",
        /// The header or the claims are nested deeper than the limit.
        NestedTooDeep = "nested_too_deep": "the token is nested too deep",
        /// `alg` is `none`, in upper or lower case.
        NoneAlgorithm = "none_algorithm": "the token is not signed",
        /// `alg` is not a supported signature algorithm.
        UnknownAlgorithm = "unknown_algorithm": "the algorithm is not supported",
        /// The header has `crit`, or a `b64` other than true: an extension that must be understood.
        CriticalHeader = "critical_header": "the header requires an extension",
        /// The header contains a key, or the URL of one.
        EmbeddedKey = "embedded_key": "the header contains a key",
        /// `typ` is neither `JWT` nor `at+jwt`.
        WrongType = "wrong_type": "the token is of another type",
        /// No key has the token's `kid`, or there are no keys.
        UnknownKey = "unknown_key": "no key has the kid of the token",
        /// The token has no `kid`, and more keys have its algorithm than are tried.
        AmbiguousKey = "ambiguous_key": "the token has no kid, and several keys have its algorithm",
        /// The key is pinned to an algorithm other than the token's.
        AlgorithmMismatch = "algorithm_mismatch": "the key has another algorithm",
        /// The signature is valid under none of the keys that the header selects.
        SignatureInvalid = "signature_invalid": "the signature is invalid",
        /// The claims are not a JSON object, or a member that is read has another type.
        ClaimsMalformed = "claims_malformed": "the claims are malformed",
        /// `exp`, `nbf` or `iat` is not a number of seconds between 1970 and the year 10000.
        TimeInvalid = "time_invalid": "a time is not a number of seconds before the year 10000",
        /// `exp` has passed.
        Expired = "expired": "the token expired",
        /// `nbf` is in the future.
        NotYetValid = "not_yet_valid": "the token is not valid yet",
        /// `iat` is in the future.
        IssuedInFuture = "issued_in_future": "the token was issued in the future",
        /// The policy requires an issuer, and the token has no `iss`.
        IssuerMissing = "issuer_missing": "the token has no issuer",
        /// `iss` is another issuer.
        IssuerMismatch = "issuer_mismatch": "the token is by another issuer",
        /// The policy requires an audience, and the token has no `aud`.
        AudienceMissing = "audience_missing": "the token has no audience",
        /// `aud` is another audience.
        AudienceMismatch = "audience_mismatch": "the token is for another audience",
        /// There is a session in place of a token, and no user is logged in with it: it has ended, or never existed.
        UnknownSession = "unknown_session": "no user is logged in with this session",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_reason_has_a_unique_name_and_needs_no_escaping() {
        let names: HashSet<_> = Refusal::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        for reason in Refusal::ALL {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(reason.as_str().bytes().all(plain), "{reason}");
            let quotable = |byte: u8| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte);
            assert!(reason.describe().bytes().all(quotable), "{reason}");
        }
    }
}
