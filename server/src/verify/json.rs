//! A strict reader of JSON text (RFC 8259) that neither copies nor recurses.
//!
//! A general parser builds values; a verifier needs a few members, and must know that the rest is valid. This reader
//! returns the members of an object as slices of the text and checks everything that it skips. It refuses text that
//! parsers interpret differently: duplicate names, lone surrogates, numbers beyond `f64`, deep nesting.

mod cursor;
mod members;
mod name_code;
mod number;
mod seen;
mod text;
mod value;

pub(super) use cursor::Cursor;
pub(super) use members::{Members, array_contains};
pub(super) use name_code::{Name, NameCode, WantedName};
pub(super) use number::to_f64;
pub(super) use seen::SeenNames;
pub(super) use text::Text;
pub(super) use value::{JsonError, MEMBERS_MAX, NESTING_MAX, Value};

#[cfg(test)]
mod tests;
