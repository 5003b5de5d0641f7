//! The rules of the house that matter enough to be a test: who may depend on whom, that every dependency says why,
//! and that no file grows beyond reading.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file has one reason to change; beyond this many lines it has found a second one.
const FILE_LINES_MAX: usize = 500;

/// The arrows of ARCHITECTURE.md: a crate, and the crates of this workspace that it may use in its own code.
const ARROWS: [(&str, &[&str]); 6] = [
    ("wire", &[]),
    ("reactor", &[]),
    ("reports", &[]),
    ("server", &["wire", "reactor"]),
    ("loadgen", &["wire", "reactor", "reports", "gatekeeper"]),
    ("benches", &["gatekeeper", "gatecrash", "wire"]),
];

const HOUSE: [&str; 6] = ["wire", "reactor", "reports", "gatekeeper", "gatecrash", "benches"];

#[test]
fn arrows_between_crates_are_the_ones_drawn() {
    for (member, allowed) in ARROWS {
        let manifest = manifest(&root().join(member).join("Cargo.toml"));
        let used: BTreeSet<&str> = ["dependencies", "build-dependencies"]
            .iter()
            .filter_map(|table| manifest.get(*table)?.as_table())
            .flat_map(|table| table.keys())
            .map(String::as_str)
            .filter(|name| HOUSE.contains(name))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(used.is_subset(&allowed), "{member} uses {used:?}, ARCHITECTURE.md allows {allowed:?}");
    }
}

#[test]
fn the_protocol_knows_no_runtime_and_no_clock() {
    let forbidden = ["tokio::", "std::time", "Instant::now", "SystemTime", "std::net"];
    for file in sources(&root().join("wire/src")) {
        let text = fs::read_to_string(&file).unwrap();
        for word in forbidden {
            assert!(!text.contains(word), "{} uses {word}", file.display());
        }
    }
}

#[test]
fn every_dependency_says_why() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = text.split("[workspace.dependencies]").nth(1).unwrap();
    let table = table.split("\n[").next().unwrap();
    for line in table.lines().filter(|line| line.contains(" = ")) {
        let own = line.contains("path = ");
        assert!(own || line.contains(" # "), "no reason beside: {line}");
    }
}

#[test]
fn no_file_grows_beyond_reading() {
    for (member, _) in ARROWS {
        for file in sources(&root().join(member).join("src")) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(
                lines <= FILE_LINES_MAX,
                "{} has {lines} lines, more than {FILE_LINES_MAX}: split it by reason to change",
                file.display()
            );
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifest(path: &Path) -> toml::Table {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
