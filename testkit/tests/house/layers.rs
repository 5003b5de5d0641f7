//! Modules have an order: each may use only lower ones, and no two files use each other.

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

/// Every use of a top-level module by one that is earlier in `order`.
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

/// The uses within a circle, a line each.
fn ties(uses: &BTreeMap<&Module, BTreeSet<&Module>>, circle: &BTreeSet<&Module>) -> String {
    let arrows = circle.iter().flat_map(|module| {
        let within = uses[*module].intersection(circle);
        within.map(|other| format!("  {} -> {}", module.join("::"), other.join("::")))
    });
    arrows.collect::<Vec<_>>().join("\n")
}

#[test]
fn upward_uses_and_circles_are_found() {
    let check = |files: &[(&str, &str)], upward: &[&str], circles_expected: usize, why: &str| {
        let modules = files.iter().map(|(path, text)| (path.split("::").map(str::to_owned).collect(), *text));
        let sources = Crate::parse(modules);
        let order = ["low".to_owned(), "high".to_owned()];
        let found = violations("it", &sources, &order);
        assert_eq!(found, upward, "{why}");
        assert_eq!(circles(&sources.uses()).len(), circles_expected, "{why}");
    };
    let upward = ["it: low uses high, which stands above it"];
    for (low, high, upward, why) in [
        ("pub struct Low;", "use crate::low::Low;\nfn f(_: Low) {}", &[][..], "a use of a lower module"),
        ("use crate::high::High;\nfn f(_: High) {}", "pub struct High;", &upward, "an import"),
        ("fn f() { crate::high::g(); }", "pub fn g() {}", &upward, "a path without an import"),
        ("fn f() { assert!(crate::high::YES); }", "pub const YES: bool = true;", &upward, "a path in a macro"),
        ("#[cfg(test)]\nmod tests { use crate::high::High; }", "pub struct High;", &[], "an import in a test"),
    ] {
        check(&[("low", low), ("high", high)], upward, 0, why);
    }
    let facade = [
        ("low", "pub struct Low;"),
        ("high", "mod a;\nmod b;\npub use a::A;\npub use b::B;"),
        ("high::a", "use crate::high::B;\npub struct A(B);"),
        ("high::b", "use crate::low::Low;\npub struct B(Low);"),
    ];
    check(&facade, &[], 0, "a facade that only re-exports is no part of a circle");
    let parent =
        [("high", "mod a;\nuse a::A;\npub struct High(A);"), ("high::a", "use crate::high::High;\npub struct A;")];
    check(&parent, &[], 1, "a parent that uses its child and defines a type for it");
}
