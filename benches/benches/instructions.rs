//! How many instructions one token takes, with a limit for each that fails the run when it is exceeded.
//!
//! `cargo bench -p benches --bench instructions` counts them under valgrind, which `scripts/install` brings with the
//! runner. Counts do not depend on how busy the machine is, so a change of a few per cent shows. They are no times:
//! valgrind knows no SHA instructions, so an HMAC takes the library's plain code there, about 3,700 instructions a block.

use std::hint::black_box;

use benches::{NOW_S, refusals, token, verifier};
use gatekeeper::keys::Algorithm;
use gatekeeper::verify::Verifier;
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind, main};

/// Room for a few tokens.
const CACHE_BYTES: usize = 1 << 20;

#[library_benchmark(setup = hs256)]
#[bench::accepted(args = ("accepted"), config = at_most(100_000))]
#[bench::claims_1k(args = ("claims-1k"), config = at_most(100_000))]
#[bench::forged(args = ("forged"), config = at_most(100_000))]
#[bench::expired(args = ("expired"), config = at_most(100_000))]
#[bench::alg_none(args = ("alg-none"), config = at_most(100_000))]
#[bench::unknown_kid(args = ("unknown-kid"), config = at_most(100_000))]
#[bench::garbage_8k(args = ("garbage-8k"), config = at_most(100_000))]
#[bench::claim_twice(args = ("claim-twice"), config = at_most(100_000))]
#[bench::header_8k_names(args = ("header-8k-names"), config = at_most(1_000_000))]
#[bench::claims_8k_members(args = ("claims-8k-members"), config = at_most(1_000_000))]
fn verify_hs256(judged: (Verifier, String)) -> (Verifier, String, bool) {
    once(judged)
}

#[library_benchmark(setup = remembered)]
#[bench::es256(args = (Algorithm::ES256), config = at_most(100_000))]
fn verify_cached(judged: (Verifier, String)) -> (Verifier, String, bool) {
    once(judged)
}

library_benchmark_group!(name = verdicts, benchmarks = [verify_hs256, verify_cached]);
main!(library_benchmark_groups = verdicts);

/// All of it goes back, so that nothing is dropped where it counts.
#[inline(always)]
fn once((mut verifier, token): (Verifier, String)) -> (Verifier, String, bool) {
    let verdict = verifier.verify(black_box(token.as_bytes()), black_box(NOW_S));
    let is_good = black_box(verdict).is_ok();
    (verifier, token, is_good)
}

/// The HS256 token of that name, and a verifier that has seen a good one and this one.
fn hs256(what: &str) -> (Verifier, String) {
    let good = token(Algorithm::HS256);
    let token = match what {
        "accepted" => good.clone(),
        "claims-1k" => refusals::with_claims_of(1024),
        refused => refusals::named(refused).token,
    };
    seen(verifier(Algorithm::HS256), &good, token)
}

/// A token whose signature need not be checked again.
fn remembered(algorithm: Algorithm) -> (Verifier, String) {
    let good = token(algorithm);
    let verifier = verifier(algorithm).remembering_tokens(CACHE_BYTES);
    seen(verifier, &good, good.clone())
}

fn seen(mut verifier: Verifier, good: &str, token: String) -> (Verifier, String) {
    assert!(verifier.verify(good.as_bytes(), NOW_S).is_ok());
    let _ = black_box(verifier.verify(token.as_bytes(), NOW_S));
    (verifier, token)
}

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}
