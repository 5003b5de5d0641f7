//! The verifier compared with another: its verdict must equal that of `jsonwebtoken::decode` and the stricter rules of
//! `server/src/verify/rules.md`, which are written down here a second time, by other means. A verdict from the token cache must be
//! the one without it.
//!
//! Tokens are made from a seed, most of them unusual: signed with random headers and claims, or changed after they were
//! signed. `scripts/prove verifier` makes ten million.

mod generate;
mod rules;
mod strict;

use std::ops::Range;
use std::sync::Arc;
use std::thread;

use arc_swap::ArcSwap;
use gatekeeper::keys::{Algorithm, KEYS_TRIED_MAX, Key, Ring, load};
use gatekeeper::verify::{Policy, Refusal, Verified, Verifier};
use jsonwebtoken::{DecodingKey, Validation};

use generate::Generator;

/// Tokens of a usual test run; the variable asks for others.
const TOKENS: u64 = 40_000;
const SEEDS_VARIABLE: &str = "GATEKEEPER_PROVE_SEEDS";

/// A cache for a few tokens, so that old ones are overwritten all the time.
const CACHE_BYTES: usize = 1 << 16;

const SECRET: &[u8] = b"a secret of at least sixty-four bytes, as many as RFC 7518 asks of HS512";
const RSA: &str = include_str!("../keys/rsa2048.public.pem");
const P256: &str = include_str!("../keys/p256.public.pem");
const ED25519: &str = include_str!("../keys/ed25519.public.pem");

/// Policies that tokens are judged by, each token by all of them.
fn policies() -> [Policy; 3] {
    let usual = Policy::default();
    [
        usual.clone(),
        Policy { leeway_s: 120, issuer: Some("us".to_owned()), ..usual.clone() },
        Policy { issuer: Some("us".to_owned()), audience: Some("them".to_owned()), ..usual },
    ]
}

/// One algorithm's key in both verifiers.
struct Judge {
    algorithm: Algorithm,
    rounds: Vec<Round>,
    rival_key: DecodingKey,
}

/// The verifiers of one policy.
struct Round {
    policy: Policy,
    uncached: Verifier,
    cached: Verifier,
    rival_rules: Validation,
}

impl Judge {
    fn new(algorithm: Algorithm) -> Self {
        let (key, rival_key) = match algorithm {
            Algorithm::ES256 => (pem(P256), DecodingKey::from_ec_pem(P256.as_bytes())),
            Algorithm::EdDSA => (pem(ED25519), DecodingKey::from_ed_pem(ED25519.as_bytes())),
            Algorithm::RS256 => (pem(RSA), DecodingKey::from_rsa_pem(RSA.as_bytes())),
            hmac => (load::secret(SECRET, hmac).unwrap(), Ok(DecodingKey::from_secret(SECRET))),
        };
        let ring = Ring::new([key.with_kid(strict::KID)]).unwrap();
        let store = Arc::new(ArcSwap::from_pointee(ring));
        let rounds = policies().map(|policy| {
            let verifier = || Verifier::new(Arc::clone(&store), Arc::new(policy.clone()));
            Round {
                uncached: verifier(),
                cached: verifier().with_token_cache(CACHE_BYTES),
                rival_rules: rules(algorithm, &policy),
                policy,
            }
        });
        Self { algorithm, rounds: rounds.into(), rival_key: rival_key.unwrap() }
    }

    /// Whether `token` is valid by any policy. Both verifiers must say the same, once the stricter rules are added to the one;
    /// and so must ours once it remembers the token.
    fn judge(&mut self, token: &[u8], seed: u64) -> bool {
        let mut is_good = false;
        for round in &mut self.rounds {
            // jsonwebtoken reads the clock by itself, so here the clock decides.
            let now_s = jsonwebtoken::get_current_timestamp();
            let ours = round.uncached.verify(token, now_s);
            let rival = jsonwebtoken::decode::<serde_json::Value>(token, &self.rival_key, &round.rival_rules);
            let strict = strict::is_strict(token, self.algorithm, &round.policy, now_s);
            let expected = rival.is_ok() && strict;
            assert_eq!(
                ours.is_ok(),
                expected,
                "seed {seed}, {:?}: {ours:?}, jsonwebtoken {:?}, stricter rules {strict}: {}",
                round.policy,
                rival.map(|it| it.claims),
                String::from_utf8_lossy(token)
            );
            // The second time it is found in the cache, if it is valid and signed with a public key.
            for _ in 0..2 {
                let recalled = round.cached.verify(token, now_s);
                assert_eq!(recalled, ours, "seed {seed}, {:?}", round.policy);
            }
            if let Ok(Verified { expires_at_s: Some(exp_s), .. }) = ours {
                round.recall(token, exp_s, seed);
            }
            is_good |= expected;
        }
        is_good
    }

    /// Tokens that were found in a cache.
    fn hits(&self) -> u64 {
        let rounds = self.rounds.iter();
        rounds.map(|it| it.cached.cache_counts().hits).sum()
    }
}

impl Round {
    /// A good token that is remembered gets the verdict that it gets without memory at other instants too: at the last
    /// second before it expires, in the one after, and long before it was made.
    fn recall(&mut self, token: &[u8], exp_s: u64, seed: u64) {
        let end_s = exp_s + self.policy.leeway_s;
        for at_s in [end_s - 1, end_s, 0] {
            let uncached = self.uncached.verify(token, at_s);
            let recalled = self.cached.verify(token, at_s);
            assert_eq!(recalled, uncached, "seed {seed}, {:?}, {at_s}", self.policy);
            assert_eq!(uncached == Err(Refusal::Expired), at_s == end_s, "seed {seed}");
        }
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

/// Counts of verdicts.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Tokens that are valid by any policy.
    good: u64,
    /// Verdicts that came from a cache.
    recalled: u64,
}

fn prove(seeds: impl Iterator<Item = u64>) -> Tally {
    let mut judges: Vec<_> = generate::ALGORITHMS.map(Judge::new).into();
    let generator = Generator::new();
    let mut good = 0;
    for seed in seeds {
        let (which, token) = generator.token(seed);
        good += u64::from(judges[which].judge(&token, seed));
    }
    let recalled = judges.iter().map(Judge::hits).sum();
    Tally { good, recalled }
}

/// The seeds that are asked for, `FIRST..END`, or those of a usual test run.
fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var(SEEDS_VARIABLE) else {
        return 0..TOKENS;
    };
    let ends = asked.split_once("..").and_then(|(first, end)| {
        let (first, end) = (first.parse().ok()?, end.parse().ok()?);
        (first < end).then_some(first..end)
    });
    ends.unwrap_or_else(|| panic!("{SEEDS_VARIABLE} must be FIRST..END, not {asked}"))
}

#[test]
fn verdicts_equal_those_of_another_verifier_and_the_stricter_rules() {
    let seeds = seeds();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let tallies: Vec<_> = thread::scope(|scope| {
        let part = |i| seeds.clone().skip(i).step_by(threads);
        let workers: Vec<_> = (0..threads).map(part).map(|seeds| scope.spawn(move || prove(seeds))).collect();
        workers.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let good: u64 = tallies.iter().map(|it| it.good).sum();
    let recalled: u64 = tallies.iter().map(|it| it.recalled).sum();
    let tokens = seeds.end - seeds.start;
    println!("{tokens} tokens, {good} good by some policy, {recalled} verdicts from a cache, 0 differ");
    // The proof is worth something only if all kinds of verdict are common.
    assert!(good > tokens / 20 && good < tokens * 19 / 20 && recalled > tokens / 50);
}
