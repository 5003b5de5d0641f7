//! Rules about crates, files and dependencies.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{root, rust_files};

/// The longest file. A longer one has more than one reason to change.
const FILE_LINES_MAX: usize = 600;

/// A crate, and the crates of this workspace that its own code may use.
const ARROWS: [(&str, &[&str]); 7] = [
    ("wire", &[]),
    ("reactor", &[]),
    ("reports", &[]),
    ("server", &["wire", "reactor"]),
    ("loadgen", &["wire", "reactor", "reports", "gatekeeper"]),
    ("benches", &["gatekeeper", "gatecrash", "wire"]),
    ("testkit", &[]),
];

/// The packages of this workspace, as dependencies name them.
const PACKAGES: [&str; 7] = ["wire", "reactor", "reports", "gatekeeper", "gatecrash", "benches", "testkit"];

#[test]
fn crates_use_only_the_allowed_crates() {
    for (member, allowed) in ARROWS {
        let manifest = manifest(&root().join(member).join("Cargo.toml"));
        let used: BTreeSet<&str> = ["dependencies", "build-dependencies"]
            .iter()
            .filter_map(|table| manifest.get(*table)?.as_table())
            .flat_map(|table| table.keys())
            .map(String::as_str)
            .filter(|name| PACKAGES.contains(name))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(used.is_subset(&allowed), "{member} uses {used:?}, allowed are {allowed:?}");
    }
}

#[test]
fn wire_uses_no_runtime_clock_or_socket() {
    let forbidden = ["tokio::", "std::time", "Instant::now", "SystemTime", "std::net"];
    for file in rust_files(&root().join("wire/src")) {
        let text = fs::read_to_string(&file).unwrap();
        for word in forbidden {
            assert!(!text.contains(word), "{} uses {word}", file.display());
        }
    }
}

#[test]
fn reactor_calls_the_system_in_one_file() {
    let forbidden = ["rustix::", "socket2::", "nix::", "libc::", "Instant::now", "SystemTime", "std::net::TcpStream"];
    for file in rust_files(&root().join("reactor/src")) {
        if file.ends_with("src/sys.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in forbidden {
            assert!(!code.contains(word), "{} uses {word}, which belongs into sys.rs", file.display());
        }
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = text.split("[workspace.dependencies]").nth(1).unwrap();
    let table = table.split("\n[").next().unwrap();
    for line in table.lines().filter(|line| line.contains(" = ")) {
        let own = line.contains("path = ");
        assert!(own || line.contains(" # "), "no reason beside: {line}");
    }
}

#[test]
fn no_file_is_longer_than_the_limit() {
    for (member, _) in ARROWS {
        for folder in ["src", "tests"] {
            let folder = root().join(member).join(folder);
            let files = if folder.is_dir() { rust_files(&folder) } else { Vec::new() };
            for file in files {
                let lines = fs::read_to_string(&file).unwrap().lines().count();
                assert!(
                    lines <= FILE_LINES_MAX,
                    "{} has {lines} lines, more than {FILE_LINES_MAX}: split it by reason to change",
                    file.display()
                );
            }
        }
    }
}

fn manifest(path: &Path) -> toml::Table {
    fs::read_to_string(path).unwrap().parse().unwrap()
}
