//! The members of an object and the elements of an array, one by one.

use crate::verify::json::{Cursor, JsonError, MEMBERS_MAX, Name, SeenNames, Value};

/// The members of one object, in order.
pub(in crate::verify) struct Members<'t> {
    cursor: Cursor<'t>,
    /// The index of this object's first name in [`SeenNames`].
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
    /// The members of `text`, which is one object, maybe with space around it.
    pub(in crate::verify) fn of(text: &'t str, members_max: usize, seen: &SeenNames) -> Result<Self, JsonError> {
        let mut cursor = Cursor::new(text, 0);
        cursor.expect(b'{')?;
        Ok(Self { cursor, base: seen.base(), members_max: members_max.min(MEMBERS_MAX), state: State::First })
    }

    /// The next member, or `None` at the end of the object and the text. Must not be called after an error.
    pub(in crate::verify) fn next(&mut self, seen: &mut SeenNames) -> Result<Option<(Name<'t>, Value<'t>)>, JsonError> {
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

/// Whether one element of the array `text`, the content of a [`Value::Array`], is the string `wanted`.
///
/// # Errors
/// [`JsonError::Malformed`] when an element is not a string.
pub(in crate::verify) fn array_contains(text: &str, wanted: &str) -> Result<bool, JsonError> {
    let mut cursor = Cursor::new(text, 0);
    let mut found = false;
    cursor.expect(b'[')?;
    if cursor.take(b']') {
        return Ok(false);
    }
    loop {
        found |= cursor.string()?.is(wanted);
        if !cursor.take(b',') {
            cursor.expect(b']')?;
            return Ok(found);
        }
    }
}
