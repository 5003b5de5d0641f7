//! How many instructions one token takes, with a limit for each that fails the run when it is exceeded.
//!
//! `cargo bench -p benches --bench instructions` counts them under valgrind, which `scripts/install` brings with the
//! runner. Counts do not depend on how busy the machine is, so a change of a few per cent shows. They are no times:
//! valgrind knows no SHA instructions, so an HMAC takes the library's plain code there, about 3,400 instructions a block.

// The macros make public items, which nobody reads about.
#![allow(missing_docs)]

use std::hint::black_box;

use benches::{NOW_S, refusals, token, verifier};
use gatekeeper::keys::Algorithm;
use gatekeeper::verify::Verifier;
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind, main};

/// Room for a few tokens.
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
fn verify_hs256(judged: Judged) -> (Judged, bool) {
    once(judged)
}

#[library_benchmark(setup = remembered)]
#[bench::es256(args = (Algorithm::ES256), config = about(1298))]
fn verify_cached(judged: Judged) -> (Judged, bool) {
    once(judged)
}

library_benchmark_group!(name = verdicts, benchmarks = [verify_hs256, verify_cached]);
main!(library_benchmark_groups = verdicts);

/// A token and who judges it, boxed so that handing them on counts next to nothing.
type Judged = Box<Case>;

struct Case {
    verifier: Verifier,
    token: String,
}

/// All of it goes back, so that nothing is dropped where it counts.
#[inline(always)]
fn once(mut judged: Judged) -> (Judged, bool) {
    let token = black_box(judged.token.as_bytes());
    let verdict = judged.verifier.verify(token, black_box(NOW_S));
    let is_good = black_box(verdict).is_ok();
    (judged, is_good)
}

/// The HS256 token of that name, and a verifier that has seen a good one and this one.
fn hs256(what: &str) -> Judged {
    let good = token(Algorithm::HS256);
    let token = match what {
        "accepted" => good.clone(),
        "claims-1k" => refusals::with_claims_of(1024),
        refused => refusals::named(refused).token,
    };
    seen(verifier(Algorithm::HS256), &good, token)
}

/// A token whose signature need not be checked again.
fn remembered(algorithm: Algorithm) -> Judged {
    let good = token(algorithm);
    let verifier = verifier(algorithm).with_token_cache(CACHE_BYTES);
    seen(verifier, &good, good.clone())
}

fn seen(mut verifier: Verifier, good: &str, token: String) -> Judged {
    assert!(verifier.verify(good.as_bytes(), NOW_S).is_ok());
    let _ = black_box(verifier.verify(token.as_bytes(), NOW_S));
    Box::new(Case { verifier, token })
}

/// A verdict that took `instructions` when its limit was set, here by rustc 1.95 and valgrind 3.19 on a processor with
/// AVX2, where it took exactly as many each time. The limit lies [`MARGIN_PERCENT`] above, or [`MARGIN_MIN`] for a small
/// one: another C library copies and compares memory in other ways, another compiler orders code otherwise.
fn about(instructions: u64) -> LibraryBenchmarkConfig {
    let margin = (instructions * MARGIN_PERCENT / 100).max(MARGIN_MIN);
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, instructions + margin)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

/// Of an acceptance these are the half of what reading its claims takes.
const MARGIN_PERCENT: u64 = 2;

/// A handful of branches.
const MARGIN_MIN: u64 = 60;
