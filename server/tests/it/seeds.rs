//! The seeds of the server's fuzz targets, through the checks that the targets make.

#[path = "../../fuzz/lib.rs"]
mod fuzzing;

use std::fs;
use std::path::Path;

#[test]
fn every_seed_passes_its_check() {
    check("token", fuzzing::token);
    check("header", fuzzing::header);
    check("claims", fuzzing::claims);
    check("session", fuzzing::session);
}

fn check(target: &str, holds: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut checked = 0;
    for seed in fs::read_dir(seeds.join(target)).unwrap() {
        let path = seed.unwrap().path();
        println!("{}", path.display());
        holds(&fs::read(path).unwrap());
        checked += 1;
    }
    assert!(checked > 0, "{target} has seeds");
}
