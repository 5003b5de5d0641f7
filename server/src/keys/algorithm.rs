//! The signature algorithms of JSON Web Tokens that a key can be pinned to.

use std::fmt;
use std::str::FromStr;

/// A JWS signature algorithm (RFC 7518 section 3.1; EdDSA: RFC 8037 section 3.1, with Ed25519 alone).
///
/// `none` is not among them and never will be: an unsigned token proves nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256, a salt as long as the digest.
    PS256,
    /// RSASSA-PSS with SHA-384, a salt as long as the digest.
    PS384,
    /// RSASSA-PSS with SHA-512, a salt as long as the digest.
    PS512,
    /// ECDSA over P-256 with SHA-256, the signature as `r || s` of 64 bytes.
    ES256,
    /// ECDSA over P-384 with SHA-384, the signature as `r || s` of 96 bytes.
    ES384,
    /// ECDSA over P-521 with SHA-512, the signature as `r || s` of 132 bytes.
    ES512,
    /// Ed25519.
    EdDSA,
}

/// A name that no supported algorithm has.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown algorithm {asked:?}; known are {}", known())]
pub struct UnknownAlgorithm {
    asked: String,
}

impl Algorithm {
    /// Every algorithm, in the order of RFC 7518's table.
    pub const ALL: [Algorithm; 13] = [
        Algorithm::HS256,
        Algorithm::HS384,
        Algorithm::HS512,
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::EdDSA,
    ];

    /// The name as it stands in `alg`: case matters (RFC 7515 section 4.1.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::HS256 => "HS256",
            Algorithm::HS384 => "HS384",
            Algorithm::HS512 => "HS512",
            Algorithm::RS256 => "RS256",
            Algorithm::RS384 => "RS384",
            Algorithm::RS512 => "RS512",
            Algorithm::PS256 => "PS256",
            Algorithm::PS384 => "PS384",
            Algorithm::PS512 => "PS512",
            Algorithm::ES256 => "ES256",
            Algorithm::ES384 => "ES384",
            Algorithm::ES512 => "ES512",
            Algorithm::EdDSA => "EdDSA",
        }
    }
}

impl Algorithm {
    /// The shortest secret that RFC 7518 section 3.2 allows, in bytes: as long as the digest. None where there is no
    /// secret.
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
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or_else(|| UnknownAlgorithm { asked: name.to_owned() })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

fn known() -> String {
    Algorithm::ALL.map(Algorithm::as_str).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_parsed_as_its_algorithm() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for (name, why) in [
            ("none", "an unsigned token proves nothing"),
            ("hs256", "case matters"),
            ("HS256 ", "nothing is trimmed"),
            ("ES256K", "secp256k1 is not supported"),
            ("", "a name has letters"),
        ] {
            assert!(name.parse::<Algorithm>().is_err(), "{why}");
        }
    }
}
