//! The signature algorithms of JSON Web Tokens that a key can be pinned to.

use std::str::FromStr;

use crate::closed_set::closed_set;

closed_set! {
    /// A JWS signature algorithm (RFC 7518 section 3.1; EdDSA: RFC 8037 section 3.1, with Ed25519 alone). The name is
    /// the value of `alg`, in which case matters (RFC 7515 section 4.1.1).
    ///
    /// `none` is not supported: an unsigned token proves nothing.
    Algorithm {
        /// HMAC with SHA-256.
        HS256 = "HS256",
        /// HMAC with SHA-384.
        HS384 = "HS384",
        /// HMAC with SHA-512.
        HS512 = "HS512",
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        RS256 = "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        RS384 = "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        RS512 = "RS512",
        /// RSASSA-PSS with SHA-256, a salt as long as the digest.
        PS256 = "PS256",
        /// RSASSA-PSS with SHA-384, a salt as long as the digest.
        PS384 = "PS384",
        /// RSASSA-PSS with SHA-512, a salt as long as the digest.
        PS512 = "PS512",
        /// ECDSA over P-256 with SHA-256, the signature as `r || s` of 64 bytes.
        ES256 = "ES256",
        /// ECDSA over P-384 with SHA-384, the signature as `r || s` of 96 bytes.
        ES384 = "ES384",
        /// ECDSA over P-521 with SHA-512, the signature as `r || s` of 132 bytes.
        ES512 = "ES512",
        /// Ed25519.
        EdDSA = "EdDSA",
    }
}

/// A name that no supported algorithm has.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown algorithm {0:?}; known are {known}", known = Algorithm::ALL.map(Algorithm::as_str).join(", "))]
pub struct UnknownAlgorithm(String);

impl Algorithm {
    /// The shortest secret that RFC 7518 section 3.2 allows, in bytes: the length of the digest. `None` for an
    /// algorithm of public keys.
    pub const fn secret_bytes_min(self) -> Option<usize> {
        match self {
            Algorithm::HS256 => Some(32),
            Algorithm::HS384 => Some(48),
            Algorithm::HS512 => Some(64),
            _ => None,
        }
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name);
        known.ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_names_of_the_algorithms_are_parsed() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        for (name, why) in [
            ("none", "an unsigned token proves nothing"),
            ("hs256", "case matters"),
            ("HS256 ", "nothing is trimmed"),
            ("ES256K", "secp256k1 is not supported"),
            ("", "an empty name"),
        ] {
            assert!(name.parse::<Algorithm>().is_err(), "{why}");
        }
    }
}
