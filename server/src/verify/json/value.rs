//! The values and errors of the JSON reader, and its limits.

use crate::verify::json::Text;

/// The most levels of nested objects and arrays. Claims have a few levels; other parsers stop at 128.
pub(in crate::verify) const NESTING_MAX: u32 = 64;

/// The most members of an object. Limits the search for duplicates, which compares each name with the others.
pub(in crate::verify) const MEMBERS_MAX: usize = 256;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::verify) enum JsonError {
    /// The text is not JSON, or not of the expected type.
    Malformed,
    /// An object has two members of one name.
    DuplicateMember,
    /// More than [`NESTING_MAX`] levels.
    NestedTooDeep,
}

/// A value as a slice of the text; strings without their quotation marks.
#[derive(Clone, Copy, Debug)]
pub(in crate::verify) enum Value<'t> {
    Text(Text<'t>),
    Number(&'t str),
    Object(&'t str),
    Array(&'t str),
    /// `true`, `false` or `null`.
    Literal(&'t str),
}
