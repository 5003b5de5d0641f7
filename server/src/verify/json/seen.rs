//! Names of the objects that are being read, so that none appears twice.

use crate::verify::json::{Cursor, JsonError, MEMBERS_MAX};
use crate::verify::word::{Name, Word};

/// So many names are held against each other; more are sorted out by a [filter](Seen) first.
const FEW: usize = 16;

/// Names of all objects that are open at once: the claims, and one for each step of a user's path.
const NAMES_MAX: usize = 4 * MEMBERS_MAX;

/// Bits of the filter: of [`MEMBERS_MAX`] names eight find theirs set by another.
const FILTER_BITS: usize = 4096;

/// The names seen in the objects that are being read; reused, so that nothing is allocated.
pub(in crate::verify) struct Seen {
    names: Box<[Entry]>,
    len: usize,
    /// A bit for each word of the object from [`filtered`](Self::filtered) on.
    filter: [u64; FILTER_BITS / 64],
    /// Where the names of the object begin that the filter is of, if it is of any.
    filtered: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    word: Word,
    /// Where it begins in its text, for a slice of the text could not be kept between tokens.
    start: u32,
}

impl Seen {
    pub(in crate::verify) fn new() -> Self {
        Self { names: vec![Entry::default(); NAMES_MAX].into(), len: 0, filter: [0; FILTER_BITS / 64], filtered: None }
    }

    /// Forgets everything, whatever an error left behind.
    #[inline]
    pub(in crate::verify) fn clear(&mut self) {
        self.forget(0);
    }

    /// Where the names of an object that begins now will be.
    #[inline]
    pub(in crate::verify) fn base(&self) -> usize {
        self.len
    }

    /// Forgets the names of the object whose names begin at `base`.
    #[inline]
    pub(in crate::verify) fn forget(&mut self, base: usize) {
        self.len = base;
        self.filtered = None;
    }

    /// Adds the name of a member of an object in `text` that has `members_max` at most.
    ///
    /// # Errors
    /// [`JsonError::DuplicateMember`], or [`JsonError::Malformed`] for too many.
    #[inline(always)]
    pub(in crate::verify) fn insert(
        &mut self,
        text: &str,
        name: Name<'_>,
        base: usize,
        members_max: usize,
    ) -> Result<(), JsonError> {
        let others = self.names.get(base..self.len).unwrap_or_default();
        if others.len() >= FEW.min(members_max) {
            if others.len() >= members_max {
                return Err(JsonError::Malformed);
            }
            self.insert_into_many(text, name, base)?;
        } else if others.iter().any(|other| other.word == name.word) {
            self.compare(text, name, base)?;
        }
        let place = self.names.get_mut(self.len).ok_or(JsonError::Malformed)?;
        *place = Entry { word: name.word, start: name.start as u32 };
        self.len += 1;
        Ok(())
    }

    /// Finds the name in the filter, which is made anew if it is that of another object, and then among the others.
    #[inline(never)]
    fn insert_into_many(&mut self, text: &str, name: Name<'_>, base: usize) -> Result<(), JsonError> {
        if self.filtered != Some(base) {
            self.filter.fill(0);
            self.filtered = Some(base);
            for name in self.names.get(base..self.len).unwrap_or_default() {
                set(&mut self.filter, name.word);
            }
        }
        if set(&mut self.filter, name.word) {
            self.compare(text, name, base)?;
        }
        Ok(())
    }

    /// Is none of the names from `base` on the same? Those of one word are read again.
    #[cold]
    fn compare(&self, text: &str, name: Name<'_>, base: usize) -> Result<(), JsonError> {
        let others = self.names.get(base..self.len).unwrap_or_default();
        for other in others.iter().filter(|other| other.word == name.word) {
            let mut cursor = Cursor::new(text, (other.start as usize).saturating_sub(1));
            if !name.word.is_hash() || cursor.string()?.same(&name.text) {
                return Err(JsonError::DuplicateMember);
            }
        }
        Ok(())
    }
}

/// Sets the bit of `word`; was it set?
#[inline]
fn set(filter: &mut [u64; FILTER_BITS / 64], word: Word) -> bool {
    let place = word.place(FILTER_BITS);
    let Some(bits) = filter.get_mut(place / 64) else {
        return true;
    };
    let bit = 1 << (place % 64);
    let was_set = *bits & bit != 0;
    *bits |= bit;
    was_set
}
