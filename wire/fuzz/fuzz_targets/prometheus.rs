//! Pages in Prometheus' text format. The first line of the input is the name of a metric, the rest is a page.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::prometheus::{Rule, merge, value};

fuzz_target!(|input: &str| {
    let (name, page) = input.split_once('\n').unwrap_or(("a", input));
    assert!(value(page, name).is_none_or(f64::is_finite));
    let pages = ["1", "2"].map(|process| (process.to_owned(), page.to_owned()));
    let _ = merge(&pages, "process", |_| Rule::PerProcess);
    for rule in [Rule::Sum, Rule::Largest] {
        let merged = merge(&pages, "process", |_| rule);
        // Opposite infinities add up to NaN, which a second merge leaves out. A carriage return at the end of the page
        // belongs to its last line, but to the line's end once another line follows.
        if !merged.contains("NaN") && !page.contains('\r') {
            let again = merge(&[("1".to_owned(), merged.clone())], "process", |_| rule);
            assert_eq!(again, merged);
        }
    }
});
