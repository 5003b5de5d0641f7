//! A strict reader of JSON text (RFC 8259) that neither copies nor recurses.
//!
//! A general parser builds what it reads; a verifier wants a handful of members and the certainty that the
//! rest is sound. So this reader hands out the members of an object as slices of the text, checks everything
//! that it passes over, and refuses what parsers are known to disagree about: a name that appears twice,
//! lone surrogates, numbers that no `f64` holds, nesting without a bound.

mod cursor;
mod number;
mod seen;
mod text;

use crate::verify::word::Name;
pub(super) use cursor::Cursor;
pub(super) use number::to_f64;
pub(super) use seen::Seen;
pub(super) use text::Text;

/// Objects and arrays inside one another. Claims have a few levels; other parsers stop at 128.
pub(super) const NESTING_MAX: u32 = 64;

/// Names that one object may have. It bounds the search for duplicates, which compares each with each.
pub(super) const MEMBERS_MAX: usize = 256;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum JsonError {
    /// No JSON, or not of the wanted shape.
    Malformed,
    /// A name appears twice in one object.
    DuplicateMember,
    /// More than [`NESTING_MAX`] levels.
    NestedTooDeep,
}

/// A value as a slice of the text; strings without their quotation marks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'t> {
    Text(Text<'t>),
    Number(&'t str),
    Object(&'t str),
    Array(&'t str),
    /// `true`, `false` or `null`.
    Literal(&'t str),
}

/// The members of one object, in order.
pub(super) struct Members<'t> {
    cursor: Cursor<'t>,
    /// Where the names of this object begin in [`Seen`].
    base: usize,
    members_max: usize,
    state: State,
}

#[derive(PartialEq)]
enum State {
    First,
    Later,
    Done,
}

impl<'t> Members<'t> {
    /// The members of the object that `text` is, from end to end, save for space around it.
    pub(super) fn of(text: &'t str, members_max: usize, seen: &Seen) -> Result<Self, JsonError> {
        let mut cursor = Cursor::new(text, 0);
        cursor.expect(b'{')?;
        Ok(Self { cursor, base: seen.base(), members_max: members_max.min(MEMBERS_MAX), state: State::First })
    }

    /// The next member, or none once the object and the text have ended. After an error there is no next.
    pub(super) fn next(&mut self, seen: &mut Seen) -> Result<Option<(Name<'t>, Value<'t>)>, JsonError> {
        if self.state == State::Done {
            return Ok(None);
        }
        let cursor = &mut self.cursor;
        if cursor.take(b'}') {
            cursor.expect_end()?;
            seen.forget(self.base);
            self.state = State::Done;
            return Ok(None);
        }
        if self.state == State::Later {
            cursor.expect(b',')?;
        }
        self.state = State::Later;
        let name = cursor.name()?;
        let value = cursor.value(1)?;
        seen.insert(cursor.text(), name, self.base, self.members_max)?;
        Ok(Some((name, value)))
    }
}

/// Is one of the elements of the array `text`, which [`Value::Array`] holds, the string `wanted`?
///
/// # Errors
/// [`JsonError::Malformed`] when an element is no string.
pub(super) fn array_holds(text: &str, wanted: &str) -> Result<bool, JsonError> {
    let mut cursor = Cursor::new(text, 0);
    let mut holds = false;
    cursor.expect(b'[')?;
    if cursor.take(b']') {
        return Ok(false);
    }
    loop {
        holds |= cursor.string()?.is(wanted);
        if !cursor.take(b',') {
            cursor.expect(b']')?;
            return Ok(holds);
        }
    }
}

#[cfg(test)]
mod tests;
