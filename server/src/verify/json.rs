//! A strict reader of JSON text (RFC 8259) that neither copies nor recurses.
//!
//! A general parser builds what it reads; a verifier wants a handful of members and the certainty that the
//! rest is sound. So this reader hands out the members of an object as slices of the text, checks everything
//! that it passes over, and refuses what parsers are known to disagree about: a name that appears twice,
//! lone surrogates, numbers that no `f64` holds, nesting without a bound.

mod cursor;
mod text;

use cursor::Cursor;
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
        let mut cursor = Cursor::new(text);
        cursor.skip_space();
        cursor.expect(b'{')?;
        Ok(Self {
            cursor,
            base: seen.names.len(),
            members_max: members_max.min(MEMBERS_MAX),
            state: State::First,
        })
    }

    /// The next member, or none once the object and the text have ended. After an error there is no next.
    pub(super) fn next(
        &mut self,
        seen: &mut Seen,
    ) -> Result<Option<(Text<'t>, Value<'t>)>, JsonError> {
        if self.state == State::Done {
            return Ok(None);
        }
        let cursor = &mut self.cursor;
        cursor.skip_space();
        if cursor.take(b'}') {
            cursor.skip_space();
            seen.names.truncate(self.base);
            self.state = State::Done;
            return match cursor.peek() {
                None => Ok(None),
                Some(_) => Err(JsonError::Malformed),
            };
        }
        if self.state == State::Later {
            cursor.expect(b',')?;
            cursor.skip_space();
        }
        self.state = State::Later;
        let (start, name) = cursor.name()?;
        let value = cursor.value(1)?;
        seen.insert(cursor.text(), start, name, self.base, self.members_max)?;
        Ok(Some((name, value)))
    }
}

/// Is one of the elements of the array `text`, which [`Value::Array`] holds, the string `wanted`?
///
/// # Errors
/// [`JsonError::Malformed`] when an element is no string.
pub(super) fn array_holds(text: &str, wanted: &str) -> Result<bool, JsonError> {
    let mut cursor = Cursor::new(text);
    let mut holds = false;
    cursor.expect(b'[')?;
    cursor.skip_space();
    if cursor.take(b']') {
        return Ok(false);
    }
    loop {
        cursor.skip_space();
        match cursor.value(1)? {
            Value::Text(element) => holds |= element.is(wanted),
            _ => return Err(JsonError::Malformed),
        }
        cursor.skip_space();
        if !cursor.take(b',') {
            cursor.expect(b']')?;
            return Ok(holds);
        }
    }
}

/// The names seen in the objects that are being read; reused, so that nothing is allocated.
#[derive(Default)]
pub(super) struct Seen {
    names: Vec<Name>,
}

/// A name by its place in the text, for a slice of the text could not be kept between tokens.
struct Name {
    start: usize,
    end: usize,
    escaped: bool,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self {
            names: Vec::with_capacity(MEMBERS_MAX),
        }
    }

    /// Forgets everything, whatever an error left behind.
    pub(super) fn clear(&mut self) {
        self.names.clear();
    }

    fn insert(
        &mut self,
        text: &str,
        start: usize,
        name: Text<'_>,
        base: usize,
        members_max: usize,
    ) -> Result<(), JsonError> {
        let others = self.names.get(base..).unwrap_or_default();
        if others.len() >= members_max {
            return Err(JsonError::Malformed);
        }
        for other in others {
            let raw = text.get(other.start..other.end).unwrap_or_default();
            if Text::new(raw, other.escaped).same(&name) {
                return Err(JsonError::DuplicateMember);
            }
        }
        self.names.push(Name {
            start,
            end: start + name.raw().len(),
            escaped: name.is_escaped(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
