//! The candidates that are compared for one algorithm.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use gatekeeper::keys::Algorithm;
use gatekeeper::verify::{Refusal, Verifier};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;

use crate::measure::Candidate;
use crate::{
    CLAIMS, NOW_S, Primitive, SECRET, SECRET_OLD, Signer, refusals, rival_key, sign, token, verifier,
    verifier_of_secrets,
};

/// The algorithms that are timed, by the name of their rows.
pub const ALGORITHMS: [(Algorithm, &str); 7] = [
    (Algorithm::HS256, "hs256"),
    (Algorithm::HS512, "hs512"),
    (Algorithm::RS256, "rs256"),
    (Algorithm::PS256, "ps256"),
    (Algorithm::ES256, "es256"),
    (Algorithm::ES384, "es384"),
    (Algorithm::EdDSA, "eddsa"),
];

/// The number of tokens in the benchmark of a large cache.
const MANY: usize = 100_000;

/// Enough for [`MANY`] tokens by RSA-2048.
const CACHE_BYTES: usize = 96 << 20;

/// Claims as a service declares them to jsonwebtoken: owned, because `decode` requires it.
#[derive(Deserialize)]
pub struct Claims {
    user: User,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

impl Claims {
    /// The name of the user.
    pub fn username(&self) -> &str {
        &self.user.username
    }
}

/// All candidates for `algorithm`, in rows called `verify/<name>/...`. For a public key this takes a few seconds, to sign
/// and verify `MANY` tokens.
///
/// # Panics
/// When a candidate's verdict is not that of its name.
pub fn all(algorithm: Algorithm, name: &str) -> Vec<Candidate> {
    let row = |what: &str| format!("verify/{name}/{what}");
    let good = token(algorithm);

    let mut candidates = vec![accepted(&row("gatekeeper"), verifier(algorithm), good.clone())];
    if !name.starts_with("hs") {
        candidates.extend(cached(algorithm, &row, &good));
    }
    candidates.extend(rivals(algorithm, &row, &good));
    candidates.extend(primitives(algorithm, &row, &good));
    if algorithm == Algorithm::HS256 {
        candidates.extend(unusual(&row));
    } else {
        let forged = refusals::forged(&good);
        candidates.push(refused(&row("forged"), algorithm, forged, Refusal::SignatureInvalid));
    }
    candidates
}

fn accepted(row: &str, mut verifier: Verifier, token: String) -> Candidate {
    let mut once = move || {
        let verified = verifier.verify(black_box(token.as_bytes()), black_box(NOW_S));
        verified.map(|it| it.user.map_or(0, str::len))
    };
    assert!(once().is_ok(), "{row}");
    Candidate::new(row, move || {
        let _ = black_box(once());
    })
}

fn refused(row: &str, algorithm: Algorithm, token: String, refusal: Refusal) -> Candidate {
    let mut verifier = verifier(algorithm);
    // The header is cached, as in a gate that has verified valid tokens.
    let good = crate::token(algorithm);
    assert!(verifier.verify(good.as_bytes(), NOW_S).is_ok(), "{row}");
    let mut once = move || verifier.verify(black_box(token.as_bytes()), black_box(NOW_S)).map(|_| ());
    assert_eq!(once(), Err(refusal), "{row}");
    Candidate::new(row, move || {
        let _ = black_box(once());
    })
}

/// The cache with one token, which the processor's caches hold, and with [`MANY`] tokens, which they do not hold.
fn cached(algorithm: Algorithm, row: &dyn Fn(&str) -> String, good: &str) -> [Candidate; 2] {
    let hot = verifier(algorithm).with_token_cache(CACHE_BYTES);
    let hot = accepted(&row("gatekeeper-cached"), hot, good.to_owned());

    let tokens = many_tokens(algorithm);
    let mut verifier = verifier(algorithm).with_token_cache(CACHE_BYTES);
    // The header must be cached first: only then are tokens cached.
    assert!(verifier.verify(good.as_bytes(), NOW_S).is_ok());
    for token in &tokens {
        assert!(verifier.verify(token.as_bytes(), NOW_S).is_ok());
    }
    let before = verifier.cache_counts();
    for token in &tokens {
        assert!(verifier.verify(token.as_bytes(), NOW_S).is_ok());
    }
    let hits = verifier.cache_counts().hits - before.hits;
    assert!(hits as usize > MANY * 98 / 100, "{hits} of {MANY} are kept");
    let many = Candidate {
        name: row("gatekeeper-cached-100k"),
        run: Box::new(scattered(verifier, tokens)),
        // A whole round, so that all tokens are in use.
        warm_up: MANY as u64,
    };
    [hot, many]
}

/// Verifies tokens that are far apart in the cache. Each is copied into a buffer just before, as a request would be:
/// [`BATCH`] tokens at a time, which fit into the processor's first cache.
fn scattered(mut verifier: Verifier, tokens: Vec<String>) -> impl FnMut(u64) -> Duration {
    // A stride without a common factor with the number of tokens visits all tokens.
    let stride = 61_803;
    let mut at = 0;
    let mut batch = vec![String::with_capacity(1024); BATCH];
    move |times| {
        let mut took = Duration::ZERO;
        let mut left = times as usize;
        while left > 0 {
            let count = left.min(BATCH);
            for token in &mut batch[..count] {
                at = (at + stride) % tokens.len();
                token.clone_from(&tokens[at]);
            }
            let start = Instant::now();
            for token in &batch[..count] {
                let verified = verifier.verify(black_box(token.as_bytes()), black_box(NOW_S));
                let _ = black_box(verified.map(|it| it.user.map_or(0, str::len)));
            }
            took += start.elapsed();
            left -= count;
        }
        took
    }
}

/// Tokens that are copied before they are verified.
const BATCH: usize = 32;

fn many_tokens(algorithm: Algorithm) -> Vec<String> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = MANY.div_ceil(threads);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                scope.spawn(move || {
                    let signer = Signer::new(algorithm);
                    let users = worker * share..MANY.min((worker + 1) * share);
                    let claims = |user| CLAIMS.replace("gonzalo", &format!("user{user:06}"));
                    users.map(|user| signer.token(&claims(user))).collect::<Vec<_>>()
                })
            })
            .collect();
        let parts = workers.into_iter().map(|worker| worker.join());
        parts.flat_map(|part| part.expect("a signer")).collect()
    })
}

fn rivals(algorithm: Algorithm, row: &dyn Fn(&str) -> String, good: &str) -> impl Iterator<Item = Candidate> {
    let prepared = rival_key(algorithm).map(|(key, validation)| {
        let token = good.to_owned();
        Candidate::new(row("jsonwebtoken"), move || {
            let decoded = jsonwebtoken::decode::<Claims>(black_box(&token), &key, &validation);
            black_box(decoded.expect("a good token").claims.username().len());
        })
    });
    let token = good.to_owned();
    let per_call = Candidate::new(row("jsonwebtoken-key-per-call"), move || {
        let (key, validation) = match algorithm {
            Algorithm::HS256 => {
                let validation = rival_validation();
                (DecodingKey::from_secret(black_box(SECRET)), validation)
            }
            algorithm => rival_key(algorithm).expect("it has the algorithm"),
        };
        let decoded = jsonwebtoken::decode::<Claims>(black_box(&token), &key, &validation);
        black_box(decoded.expect("a good token").claims.username().len());
    });
    prepared.into_iter().chain([per_call])
}

fn rival_validation() -> jsonwebtoken::Validation {
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.required_spec_claims.clear();
    validation
}

/// The same bytes and the prepared key, without a token around them.
fn primitives(algorithm: Algorithm, row: &dyn Fn(&str) -> String, good: &str) -> Vec<Candidate> {
    let primitives = Primitive::all(algorithm);
    // If aws-lc-rs is the fastest library, its row is "primitive".
    let mut rows = vec!["primitive", "aws-lc"];
    if primitives.len() == 1 {
        rows.pop();
    }
    let timed = rows.into_iter().zip(primitives);
    timed.map(|(what, primitive)| bare(&row(what), primitive, good)).collect()
}

fn bare(row: &str, primitive: Primitive, token: &str) -> Candidate {
    let (signed, signature) = sign::parts(token);
    let signed = signed.to_vec();
    Candidate::new(row, move || {
        assert!(primitive.verify(black_box(&signed), black_box(&signature)));
    })
}

/// HS256 tokens of other kinds: long tokens, and refused tokens, each beside an accepted token of the same length.
fn unusual(row: &dyn Fn(&str) -> String) -> Vec<Candidate> {
    let algorithm = Algorithm::HS256;
    let mut candidates = Vec::new();
    for (what, bytes) in [("claims-1k", 1024), ("claims-5k", 5 * 1024)] {
        let token = refusals::with_claims_of(bytes);
        let primitive = Primitive::all(algorithm).remove(0);
        let primitive = bare(&row(&format!("{what}-primitive")), primitive, &token);
        candidates.push(accepted(&row(what), verifier(algorithm), token));
        candidates.push(primitive);
    }
    for bad in refusals::all() {
        let as_long = refusals::accepted(bad.token.len());
        let row = row(&bad.what);
        candidates.push(refused(&row, algorithm, bad.token, bad.refusal));
        let row = format!("{row}-accepted");
        candidates.push(accepted(&row, verifier(algorithm), as_long));
    }
    candidates.extend(nameless(row));
    candidates
}

/// Tokens without a `kid` while one secret replaces another: a forged token, and valid tokens by the two secrets in
/// alternation. The verifier tries the secret of the last valid token first, so that each of these tokens takes two MACs.
fn nameless(row: &dyn Fn(&str) -> String) -> [Candidate; 2] {
    let secrets = [SECRET_OLD, SECRET];
    let tokens = secrets.map(|secret| Signer::of_secret(secret).token(CLAIMS));
    let forged = refusals::forged(&tokens[0]);
    let mut verifier = verifier_of_secrets(&secrets);
    for token in &tokens {
        assert!(verifier.verify(token.as_bytes(), NOW_S).is_ok());
    }
    let refuse = move || {
        let verdict = verifier.verify(black_box(forged.as_bytes()), black_box(NOW_S));
        assert!(black_box(verdict).is_err());
    };
    let mut verifier = verifier_of_secrets(&secrets);
    let mut turn = 0;
    let accept = move || {
        turn ^= 1;
        let token = black_box(tokens[turn].as_bytes());
        let verdict = verifier.verify(token, black_box(NOW_S));
        assert!(black_box(verdict).is_ok());
    };
    [Candidate::new(row("nameless-forged"), refuse), Candidate::new(row("nameless-forged-accepted"), accept)]
}
