//! Times the verification of one token by the verifier and by `jsonwebtoken::decode`, for each algorithm.
//!
//! `cargo bench -p benches` runs all benchmarks in about a minute and a half, `cargo bench -p benches -- HS256` those of
//! one algorithm. On a shared machine only the ratios within one run are meaningful.

use std::hint::black_box;
use std::time::Duration;

use benches::candidates::Claims;
use benches::{NOW_S, rival_key, token, verifier};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gatekeeper::keys::Algorithm;

fn verify(criterion: &mut Criterion) {
    for algorithm in Algorithm::ALL {
        let token = token(algorithm);
        let mut group = criterion.benchmark_group(algorithm.as_str());
        group.throughput(Throughput::Elements(1));

        let mut verifier = verifier(algorithm);
        group.bench_function("gatekeeper", |bencher| {
            bencher.iter(|| {
                let verified = verifier.verify(black_box(token.as_bytes()), black_box(NOW_S)).expect("a good token");
                black_box(verified.user.map(str::len))
            });
        });

        if let Some((key, validation)) = rival_key(algorithm) {
            group.bench_function("jsonwebtoken", |bencher| {
                bencher.iter(|| {
                    let decoded =
                        jsonwebtoken::decode::<Claims>(black_box(&token), &key, &validation).expect("a good token");
                    black_box(decoded.claims.username().len())
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    // Short, because there are 25 benchmarks. A token takes 0.2 to 300 microseconds, thousands fit into a second.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .without_plots();
    targets = verify
}
criterion_main!(benches);
