//! Modules stand in layers: each may use those below it, none above, and no two files use each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::architecture::layer_orders;
use crate::graph::{Crate, Module, circles};
use crate::root;

/// Files that use each other on purpose, each circle with its reason.
const CIRCLES_ALLOWED: [(&str, &[&str], &str); 0] = [];

/// The crates whose modules have an order.
const CRATES: [&str; 6] = ["wire", "reactor", "reports", "server", "loadgen", "benches"];

#[test]
fn no_module_uses_one_above_it() {
    let orders = layer_orders();
    let declared: Vec<&str> = orders.keys().map(String::as_str).collect();
    assert_eq!(declared, BTreeSet::from(CRATES).into_iter().collect::<Vec<_>>(), "ARCHITECTURE.md declares each crate");
    let mut wrong = Vec::new();
    for (member, order) in &orders {
        wrong.extend(violations(member, &Crate::read(&root().join(member).join("src")), order));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_two_files_use_each_other() {
    let mut wrong = Vec::new();
    for member in CRATES {
        let sources = Crate::read(&root().join(member).join("src"));
        let uses = sources.uses();
        for circle in circles(&uses) {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            let allowed = CIRCLES_ALLOWED.iter().any(|(of, files, _)| *of == member && names == *files);
            if !allowed {
                wrong.push(format!("{member}: {}\n{}", names.join(", "), ties(&uses, &circle)));
            }
        }
    }
    assert!(wrong.is_empty(), "files that use each other:\n{}", wrong.join("\n"));
}

/// Every arrow between two top-level modules that is not from a later one of `order` to an earlier one.
fn violations(member: &str, sources: &Crate, order: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (module, used) in sources.uses() {
        let Some(top) = module.first() else { continue };
        let Some(place) = order.iter().position(|name| name == top) else {
            wrong.push(format!("{member}: {top} has no place in ARCHITECTURE.md"));
            continue;
        };
        for other in used {
            let place_of_other = other.first().and_then(|top| order.iter().position(|name| name == top));
            if place_of_other.is_none_or(|other| other > place) {
                let other = if other.is_empty() { "the crate's root".to_owned() } else { other.join("::") };
                wrong.push(format!("{member}: {} uses {other}, which stands above it", module.join("::")));
            }
        }
    }
    wrong
}

/// The arrows within a circle, a line each.
fn ties(uses: &BTreeMap<&Module, BTreeSet<&Module>>, circle: &BTreeSet<&Module>) -> String {
    let arrows = circle.iter().flat_map(|module| {
        let within = uses[*module].intersection(circle);
        within.map(|other| format!("  {} -> {}", module.join("::"), other.join("::")))
    });
    arrows.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_import_that_is_turned_round_is_found() {
    let check = |files: &[(&str, &str)], upward: &[&str], circles_expected: usize, why: &str| {
        let modules = files.iter().map(|(path, text)| (path.split("::").map(str::to_owned).collect(), *text));
        let sources = Crate::parse(modules);
        let order = ["low".to_owned(), "high".to_owned()];
        let found = violations("it", &sources, &order);
        assert_eq!(found, upward, "{why}");
        assert_eq!(circles(&sources.uses()).len(), circles_expected, "{why}");
    };
    let low = ("low", "pub struct Low;");
    check(&[low, ("high", "use crate::low::Low;\nfn f(_: Low) {}")], &[], 0, "downwards is the way");
    check(
        &[("low", "use crate::high::High;\nfn f(_: High) {}"), ("high", "pub struct High;")],
        &["it: low uses high, which stands above it"],
        0,
        "an import",
    );
    check(
        &[("low", "pub struct Low;\nfn f() { crate::high::g(); }"), ("high", "pub fn g() {}")],
        &["it: low uses high, which stands above it"],
        0,
        "a path without an import",
    );
    check(
        &[("low", "fn f() { assert!(matches!(1, crate::high::ONE)); }"), ("high", "pub const ONE: u8 = 1;")],
        &["it: low uses high, which stands above it"],
        0,
        "a path in the arguments of a macro",
    );
    check(
        &[("low", "#[cfg(test)]\nmod tests { use crate::high::High; }"), ("high", "pub struct High;")],
        &[],
        0,
        "tests may look up",
    );
    check(
        &[
            low,
            ("high", "mod a;\nmod b;\npub use a::A;\npub use b::B;"),
            ("high::a", "use crate::high::B;\npub struct A(B);"),
            ("high::b", "use crate::low::Low;\npub struct B(Low);"),
        ],
        &[],
        0,
        "a facade that only re-exports is no part of a circle",
    );
    check(
        &[
            low,
            ("high", "mod a;\nuse a::A;\npub struct High(A);"),
            ("high::a", "use crate::high::High;\npub struct A;"),
        ],
        &[],
        1,
        "a parent that defines what its child uses, and uses the child",
    );
}
