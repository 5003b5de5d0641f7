//! Counts the instructions that verify one token. A count above its limit fails the run.
//!
//! `cargo bench -p benches --bench instructions` counts them under valgrind, which `scripts/install` installs with the
//! runner. Counts do not depend on how busy the machine is, so that a change of a few per cent is visible. They are no
//! measure of time: valgrind has no SHA instructions, and an HMAC runs the library's portable code there, about 3,400
//! instructions a block.

// The macros generate public items.
#![allow(missing_docs)]

use std::hint::black_box;

use benches::{NOW_S, refusals, token, verifier};
use gatekeeper::keys::Algorithm;
use gatekeeper::verify::Verifier;
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind, main};

/// Enough for a few tokens.
const CACHE_BYTES: usize = 1 << 20;

#[library_benchmark(setup = hs256)]
#[bench::accepted(args = ("accepted"), config = about(12_044))]
#[bench::claims_1k(args = ("claims-1k"), config = about(94_346))]
#[bench::forged(args = ("forged"), config = about(11_272))]
#[bench::expired(args = ("expired"), config = about(12_132))]
#[bench::alg_none(args = ("alg-none"), config = about(2904))]
#[bench::unknown_kid(args = ("unknown-kid"), config = about(2994))]
#[bench::garbage_8k(args = ("garbage-8k"), config = about(1158))]
#[bench::claim_twice(args = ("claim-twice"), config = about(12_542))]
#[bench::header_8k_names(args = ("header-8k-names"), config = about(794_711))]
#[bench::claims_8k_members(args = ("claims-8k-members"), config = about(555_441))]
fn verify_hs256(case: BoxedCase) -> (BoxedCase, bool) {
    verify_once(case)
}

#[library_benchmark(setup = cached)]
#[bench::es256(args = (Algorithm::ES256), config = about(1298))]
fn verify_cached(case: BoxedCase) -> (BoxedCase, bool) {
    verify_once(case)
}

library_benchmark_group!(name = verdicts, benchmarks = [verify_hs256, verify_cached]);
main!(library_benchmark_groups = verdicts);

/// A token and its verifier, boxed so that passing them costs almost no instructions.
type BoxedCase = Box<Case>;

struct Case {
    verifier: Verifier,
    token: String,
}

/// Returns the case, so that it is not dropped while instructions are counted.
#[inline(always)]
fn verify_once(mut case: BoxedCase) -> (BoxedCase, bool) {
    let token = black_box(case.token.as_bytes());
    let verdict = case.verifier.verify(token, black_box(NOW_S));
    let is_valid = black_box(verdict).is_ok();
    (case, is_valid)
}

/// The HS256 token of that name, and a verifier that has verified a valid token and this one before.
fn hs256(what: &str) -> BoxedCase {
    let good = token(Algorithm::HS256);
    let token = match what {
        "accepted" => good.clone(),
        "claims-1k" => refusals::with_claims_of(1024),
        refused => refusals::named(refused).token,
    };
    warmed_up(verifier(Algorithm::HS256), &good, token)
}

/// A token whose signature is in the cache.
fn cached(algorithm: Algorithm) -> BoxedCase {
    let good = token(algorithm);
    warmed_up(verifier(algorithm).with_token_cache(CACHE_BYTES), &good, good.clone())
}

fn warmed_up(mut verifier: Verifier, good: &str, token: String) -> BoxedCase {
    assert!(verifier.verify(good.as_bytes(), NOW_S).is_ok());
    let _ = black_box(verifier.verify(token.as_bytes(), NOW_S));
    Box::new(Case { verifier, token })
}

/// Sets a limit of [`MARGIN_PERCENT`] above `instructions`, at least [`MARGIN_MIN`]. The number was counted with rustc 1.95
/// and valgrind 3.19 on a processor with AVX2, where each run counts the same. Another C library or compiler counts a
/// little more or less.
fn about(instructions: u64) -> LibraryBenchmarkConfig {
    let margin = (instructions * MARGIN_PERCENT / 100).max(MARGIN_MIN);
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, instructions + margin)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

/// For an accepted token this is half of the cost of reading its claims.
const MARGIN_PERCENT: u64 = 2;

/// The cost of a few branches.
const MARGIN_MIN: u64 = 60;
