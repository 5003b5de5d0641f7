//! Finds which files of a crate use which others. A name counts as a use of the file that defines it, through re-exports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::imports::{self, Import, Source};
use crate::rust_files;

/// A module's path in its crate; empty for the crate's root.
pub type Module = Vec<String>;

/// The modules of a crate that have a file of their own, tests left out.
pub struct Crate {
    modules: BTreeMap<Module, Source>,
}

/// The longest chain of re-exports that is followed.
const REEXPORTS_MAX: usize = 16;

impl Crate {
    /// Reads the crate whose sources stand in `folder`. Binaries (`main.rs`, `bin/`) are left out.
    pub fn read(folder: &Path) -> Self {
        let mut texts = Vec::new();
        for file in rust_files(folder) {
            let relative = file.strip_prefix(folder).unwrap().with_extension("");
            let mut module: Module = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module == ["main"] || module[0] == "bin" {
                continue;
            }
            if module == ["lib"] {
                module.clear();
            }
            texts.push((module, fs::read_to_string(&file).unwrap()));
        }
        Self::parse(texts.iter().map(|(module, text)| (module.clone(), text.as_str())))
    }

    /// A crate of these files.
    pub fn parse<'t>(texts: impl Iterator<Item = (Module, &'t str)>) -> Self {
        let parsed = texts.map(|(module, text)| {
            let source = imports::read(text).unwrap_or_else(|error| panic!("{}: {error}", module.join("::")));
            (module, source)
        });
        let mut modules: BTreeMap<Module, Source> = parsed.collect();
        modules.entry(Module::new()).or_default();
        let for_tests: Vec<Module> = modules
            .iter()
            .flat_map(|(module, source)| source.test_modules.iter().map(|name| child(module, name)))
            .collect();
        modules.retain(|module, _| !for_tests.iter().any(|root| module.starts_with(root)));
        Self { modules }
    }

    /// The files that each file uses, itself left out.
    pub fn uses(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        self.modules.iter().map(|(module, source)| (module, self.used_by(module, source))).collect()
    }

    fn used_by<'c>(&'c self, module: &'c Module, source: &'c Source) -> BTreeSet<&'c Module> {
        let named: BTreeSet<&str> = source.paths.iter().filter_map(|path| path.first()).map(String::as_str).collect();
        // A re-exported name is a use only if the file names it. A private import always is: a trait need not be named.
        let is_use = |import: &&Import| !import.is_reexport || named.contains(import.alias.as_str());
        let imports = source.imports.iter().filter(is_use).map(|import| &import.path);
        let mut used: BTreeSet<&Module> = imports
            .chain(source.paths.iter().filter(|path| path.len() > 1))
            .filter_map(|path| self.definer(module, path, 0))
            .collect();
        used.remove(module);
        used
    }

    /// The module whose file defines `path` as seen from `module`; `None` for a name of another crate, and for a module as
    /// a whole, whose names are counted where they are used.
    fn definer<'c>(&'c self, module: &'c Module, path: &[String], depth: usize) -> Option<&'c Module> {
        if depth > REEXPORTS_MAX {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.definer_below(&[], rest, depth),
            "self" => self.definer_below(module, rest, depth),
            "super" => self.definer_below(&module[..module.len().checked_sub(1)?], rest, depth),
            "Self" => None,
            _ => self.definer_below(module, path, depth),
        }
    }

    fn definer_below<'c>(&'c self, start: &[String], path: &[String], depth: usize) -> Option<&'c Module> {
        let (module, source) = self.modules.get_key_value(start)?;
        let (first, rest) = path.split_first()?;
        if first == "super" {
            return self.definer_below(&start[..start.len().checked_sub(1)?], rest, depth);
        }
        if source.defined.contains(first) {
            return Some(module);
        }
        let below = child(module, first);
        if self.modules.contains_key(&below) {
            return self.definer_below(&below, rest, depth);
        }
        if let Some(import) = source.imports.iter().find(|import| import.alias == *first) {
            let whole: Vec<String> = import.path.iter().chain(rest).cloned().collect();
            // `use name;` of another crate has the same path, and must not be followed again.
            return (whole != path).then(|| self.definer(module, &whole, depth + 1)).flatten();
        }
        let globs = source.imports.iter().filter(|import| import.alias == "*");
        let mut found = globs.filter_map(|import| {
            let whole: Vec<String> = import.path.iter().chain(path).cloned().collect();
            self.definer(module, &whole, depth + 1)
        });
        found.next()
    }
}

/// Groups of at least two files that use each other, directly or through others.
pub fn circles<'m>(uses: &BTreeMap<&'m Module, BTreeSet<&'m Module>>) -> Vec<BTreeSet<&'m Module>> {
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        uses.keys().map(|module| (*module, reachable(uses, module))).collect();
    let mut found: Vec<BTreeSet<&Module>> = Vec::new();
    for (module, reached) in &reach {
        let circle: BTreeSet<&Module> = reached.iter().copied().filter(|other| reach[other].contains(module)).collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn reachable<'m>(uses: &BTreeMap<&'m Module, BTreeSet<&'m Module>>, from: &Module) -> BTreeSet<&'m Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = uses[from].iter().copied().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(&uses[module]);
        }
    }
    reached
}

fn child(module: &[String], name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}
