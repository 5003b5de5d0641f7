//! Shared parts of the verification benchmarks: one token per algorithm with the frontend's claims, its verifiers, and the
//! timing of candidates.
//!
//! The keys are those of the server's tests.

pub mod measure;
mod inputs;
mod sign;
mod verifiers;
pub mod refusals;
pub mod candidates;

pub use inputs::{CLAIMS, NOW_S, SECRET, SECRET_OLD};
pub use sign::{Signer, token};
pub use verifiers::{Primitive, rival_key, verifier, verifier_of_secrets};

#[cfg(test)]
mod tests {
    use gatekeeper::keys::Algorithm;

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
                assert_eq!(algorithm, Algorithm::ES512, "jsonwebtoken has all other algorithms");
                continue;
            };
            let found = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation);
            assert!(found.is_ok(), "{algorithm}: {found:?}");
        }
    }

    #[test]
    fn hs256_token_has_145_bytes() {
        assert_eq!(token(Algorithm::HS256).len(), 145);
    }
}
