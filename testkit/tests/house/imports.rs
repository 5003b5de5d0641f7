//! Reads the items, imports and paths of one source file from its syntax. Tests (`#[cfg(test)]`) are left out.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// The items, imports and paths of one file.
#[derive(Debug, Default)]
pub struct Source {
    /// The items that the file defines.
    pub defined: BTreeSet<String>,
    /// The names that the file imports or re-exports.
    pub imports: Vec<Import>,
    /// Every path in the file's code, segment by segment.
    pub paths: BTreeSet<Vec<String>>,
    /// Child modules that are compiled only for tests.
    pub test_modules: BTreeSet<String>,
}

/// A name that a `use` imports into a file.
#[derive(Debug)]
pub struct Import {
    /// The name in the file; `*` for all names.
    pub alias: String,
    /// The imported path, segment by segment, without the `*`.
    pub path: Vec<String>,
    /// The `use` is not private.
    pub is_reexport: bool,
}

/// Reads a file's text.
pub fn read(text: &str) -> syn::Result<Source> {
    let file = syn::parse_file(text)?;
    let mut source = Source::default();
    for item in &file.items {
        source.visit_item(item);
    }
    Ok(source)
}

impl Source {
    fn import(&mut self, tree: &UseTree, prefix: &[String], is_reexport: bool) {
        let with = |segment: String| prefix.iter().cloned().chain([segment]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(path.ident.to_string()), is_reexport),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, prefix, is_reexport)),
            UseTree::Glob(_) => self.push("*".to_owned(), prefix.to_vec(), is_reexport),
            UseTree::Name(name) if name.ident == "self" => {
                self.push(prefix.last().cloned().unwrap_or_default(), prefix.to_vec(), is_reexport);
            }
            UseTree::Name(name) => self.push(name.ident.to_string(), with(name.ident.to_string()), is_reexport),
            UseTree::Rename(name) => self.push(name.rename.to_string(), with(name.ident.to_string()), is_reexport),
        }
    }

    fn push(&mut self, alias: String, path: Vec<String>, is_reexport: bool) {
        self.imports.push(Import { alias, path, is_reexport });
    }

    /// Paths in the arguments of a macro: identifiers joined by `::`.
    fn macro_paths(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.paths.insert(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.paths.insert(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.macro_paths(group.stream());
                    }
                }
            }
        }
        self.paths.insert(path);
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name): (&[Attribute], _) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Union(item) => (&item.attrs, Some(&item.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Impl(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            Item::Mod(item) => (&item.attrs, None),
            _ => (&[], None),
        };
        if is_for_tests(attributes) {
            if let Item::Mod(module) = item {
                self.test_modules.insert(module.ident.to_string());
            }
            return;
        }
        self.defined.extend(name.map(ToString::to_string));
        if let Item::Use(item) = item {
            let is_reexport = !matches!(item.vis, syn::Visibility::Inherited);
            self.import(&item.tree, &[], is_reexport);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, _: &'ast syn::ItemUse) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.macro_paths(invocation.tokens.clone());
        visit::visit_macro(self, invocation);
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        if !is_for_tests(&method.attrs) {
            visit::visit_impl_item_fn(self, method);
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Meta>().is_ok_and(|meta| meta.path().is_ident("test"))
    })
}
