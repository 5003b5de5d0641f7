//! What the benchmarks of verification share: one token per algorithm in the shape that the frontend hands out,
//! the verifiers that judge it, and the clock that holds them against each other.
//!
//! The keys are those of the server's tests; they protect nothing.

mod sign;

mod verifiers;

pub mod candidates;

pub mod refusals;

pub mod measure;

pub use sign::Signer;
pub use verifiers::{Primitive, rival_key, verifier, verifier_of_secrets};

use gatekeeper::keys::Algorithm;

/// The instant at which tokens are judged, in seconds since 1970. jsonwebtoken reads the clock by itself,
/// which is part of its price; without `exp` and `nbf` the two cannot disagree.
pub const NOW_S: u64 = 1_700_000_000;

/// The claims of the frontend's tokens: with HS256 a token of 145 bytes.
pub const CLAIMS: &str = r#"{"user":{"username":"gonzalo"},"iat":1699999999}"#;

/// The secret of every HMAC token: as long as RFC 7518 section 3.2 asks for HS256.
pub const SECRET: &[u8] = b"a test secret of thirty-two byte";

/// The secret that [`SECRET`] replaces.
pub const SECRET_OLD: &[u8] = b"an old secret of thirty-two byte";

/// A token with [`CLAIMS`], signed with `algorithm`.
///
/// # Panics
/// When a fixture is broken.
pub fn token(algorithm: Algorithm) -> String {
    Signer::new(algorithm).token(CLAIMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_verifiers_accept_the_same_token() {
        for algorithm in Algorithm::ALL {
            let token = token(algorithm);
            let mut verifier = verifier(algorithm);
            let user = verifier.verify(token.as_bytes(), NOW_S).map(|it| it.user);
            assert_eq!(user, Ok(Some("gonzalo")), "{algorithm}");
            for primitive in Primitive::all(algorithm) {
                let (signed, signature) = sign::parts(&token);
                assert!(primitive.verify(signed, &signature), "{algorithm}");
                assert!(!primitive.verify(&signed[1..], &signature), "{algorithm}");
            }
            let Some((key, validation)) = rival_key(algorithm) else {
                assert_eq!(algorithm, Algorithm::ES512, "it has all the others");
                continue;
            };
            let found = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation);
            assert!(found.is_ok(), "{algorithm}: {found:?}");
        }
    }

    #[test]
    fn the_token_is_as_long_as_said() {
        assert_eq!(token(Algorithm::HS256).len(), 145);
    }
}
