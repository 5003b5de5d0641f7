//! The order of layers, as ARCHITECTURE.md declares it.

use std::collections::BTreeMap;
use std::fs;

use crate::root;

/// The heading above the block of layers.
const HEADING: &str = "## The order of layers";

/// Each crate's top-level modules, lowest first, by the crate's folder.
///
/// The block has a line `FOLDER: MODULE < MODULE < ...` per crate; a line without a colon continues the line before.
pub fn layer_orders() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split(HEADING).nth(1).unwrap_or_else(|| panic!("ARCHITECTURE.md has no `{HEADING}`"));
    let block = section.split("```").nth(1).expect("a fenced block under the heading");
    let mut orders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in block.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let modules = match line.split_once(':') {
            Some((folder, modules)) => {
                current = folder.trim().to_owned();
                modules
            }
            None => line,
        };
        let modules = modules.split('<').map(str::trim).filter(|module| !module.is_empty()).map(str::to_owned);
        orders.entry(current.clone()).or_default().extend(modules);
    }
    orders
}
