//! A strict reader of JSON text (RFC 8259) that neither copies nor recurses.
//!
//! A general parser builds values; a verifier needs a few members and the certainty that the rest is valid. This reader
//! returns the members of an object as slices of the text, checks everything that it skips, and refuses what parsers are
//! known to disagree about: a name that appears twice, lone surrogates, numbers that no `f64` holds, unlimited nesting.

mod cursor;
mod members;
mod name_code;
mod number;
mod seen;
mod text;
mod value;

pub(super) use cursor::Cursor;
pub(super) use members::{Members, array_holds};
pub(super) use name_code::{Name, NameCode, WantedName};
pub(super) use number::to_f64;
pub(super) use seen::SeenNames;
pub(super) use text::Text;
pub(super) use value::{JsonError, MEMBERS_MAX, NESTING_MAX, Value};

#[cfg(test)]
mod tests;
