//! The verifier held against another: its verdict must equal that of `jsonwebtoken::decode` and the stricter rules of
//! the module's table, which are written down here a second time, by other means.
//!
//! Tokens are made from a seed, most of them strange: signed with whatever header and claims, or changed after they were
//! signed. `scripts/prove verifier` makes ten million.

mod generate;
mod strict;

use std::sync::Arc;
use std::thread;

use arc_swap::ArcSwap;
use gatekeeper::keys::{Algorithm, Key, Ring, load};
use gatekeeper::verify::{Policy, Verifier};
use jsonwebtoken::{DecodingKey, Validation};

use generate::Generator;

/// Tokens of a usual test run; the variable asks for another number.
const TOKENS: u64 = 40_000;
const TOKENS_VARIABLE: &str = "GATEKEEPER_PROVE_TOKENS";

const SECRET: &[u8] = b"a secret of at least sixty-four bytes, as many as RFC 7518 asks of HS512";
const RSA: &str = include_str!("../../keys/rsa2048.public.pem");
const P256: &str = include_str!("../../keys/p256.public.pem");
const ED25519: &str = include_str!("../../keys/ed25519.public.pem");

/// Policies that tokens are judged by, each of them by all.
fn policies() -> [Policy; 3] {
    let usual = Policy::default();
    [
        usual.clone(),
        Policy {
            leeway_s: 120,
            issuer: Some("us".to_owned()),
            ..usual.clone()
        },
        Policy {
            issuer: Some("us".to_owned()),
            audience: Some("them".to_owned()),
            ..usual
        },
    ]
}

/// One algorithm's key in both verifiers.
struct Judge {
    algorithm: Algorithm,
    /// One for each policy; the second remembers tokens.
    verifiers: Vec<Verifier>,
    rival_key: DecodingKey,
    rival_rules: Vec<Validation>,
}

impl Judge {
    fn new(algorithm: Algorithm) -> Self {
        let (key, rival_key) = match algorithm {
            Algorithm::ES256 => (pem(P256), DecodingKey::from_ec_pem(P256.as_bytes())),
            Algorithm::EdDSA => (pem(ED25519), DecodingKey::from_ed_pem(ED25519.as_bytes())),
            Algorithm::RS256 => (pem(RSA), DecodingKey::from_rsa_pem(RSA.as_bytes())),
            hmac => (
                load::secret(SECRET, hmac).unwrap(),
                Ok(DecodingKey::from_secret(SECRET)),
            ),
        };
        let ring = Ring::new([key.with_kid(strict::KID)]).unwrap();
        let store = Arc::new(ArcSwap::from_pointee(ring));
        let verifiers = policies().into_iter().enumerate().map(|(i, policy)| {
            let verifier = Verifier::new(Arc::clone(&store), Arc::new(policy));
            verifier.remembering_tokens(i << 17)
        });
        Self {
            algorithm,
            verifiers: verifiers.collect(),
            rival_key: rival_key.unwrap(),
            rival_rules: policies().iter().map(|it| rules(algorithm, it)).collect(),
        }
    }

    /// Is `token` good by each policy? Both verifiers must say the same, once the stricter rules are added to the one.
    fn judge(&mut self, token: &[u8], seed: u64) -> [bool; 3] {
        let mut verdicts = [false; 3];
        for (i, policy) in policies().iter().enumerate() {
            // jsonwebtoken reads the clock by itself, so here the clock decides.
            let now_s = jsonwebtoken::get_current_timestamp();
            let ours = self.verifiers[i].verify(token, now_s).map(|_| ());
            let rival = jsonwebtoken::decode::<serde_json::Value>(
                token,
                &self.rival_key,
                &self.rival_rules[i],
            );
            let strict = strict::is_strict(token, self.algorithm, policy, now_s);
            let expected = rival.is_ok() && strict;
            assert_eq!(
                ours.is_ok(),
                expected,
                "seed {seed}, policy {i}: {ours:?}, jsonwebtoken {:?}, stricter rules {strict}: {}",
                rival.map(|it| it.claims),
                String::from_utf8_lossy(token)
            );
            verdicts[i] = expected;
        }
        verdicts
    }
}

fn pem(text: &str) -> Key {
    load::text(text).unwrap().remove(0)
}

fn rules(algorithm: Algorithm, policy: &Policy) -> Validation {
    let mut rules = Validation::new(algorithm.as_str().parse().unwrap());
    rules.leeway = policy.leeway_s;
    rules.validate_nbf = true;
    rules.required_spec_claims.clear();
    if let Some(issuer) = &policy.issuer {
        rules.set_issuer(&[issuer]);
    }
    match &policy.audience {
        Some(audience) => rules.set_audience(&[audience]),
        None => rules.validate_aud = false,
    }
    rules
}

/// Judges the tokens of the seeds in `seeds`; how many of them were good by any policy.
fn prove(seeds: impl Iterator<Item = u64>) -> u64 {
    let mut judges: Vec<_> = generate::ALGORITHMS.map(Judge::new).into();
    let generator = Generator::new();
    let mut good = 0;
    for seed in seeds {
        let (which, token) = generator.token(seed);
        good += u64::from(judges[which].judge(&token, seed).contains(&true));
    }
    good
}

#[test]
fn the_verdict_is_that_of_another_verifier_and_the_stricter_rules() {
    let tokens = match std::env::var(TOKENS_VARIABLE) {
        Ok(number) => number.parse().expect("a number of tokens"),
        Err(_) => TOKENS,
    };
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let good: u64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || prove((first..tokens).step_by(threads as usize))))
            .collect();
        workers.into_iter().map(|it| it.join().unwrap()).sum()
    });
    println!("{tokens} tokens, of which {good} were good: not one verdict differs");
    // The proof is worth something only if both verdicts are common.
    assert!(
        good > tokens / 20 && good < tokens * 19 / 20,
        "{good} of {tokens}"
    );
}
