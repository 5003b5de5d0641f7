//! Names of the objects that are being read, so that none appears twice.

use super::super::word::{Name, Word};
use super::{Cursor, JsonError, MEMBERS_MAX};

/// So many names are held against each other; more are sorted out by a [filter](Seen) first.
const FEW: usize = 16;

/// Bits of the filter: of [`MEMBERS_MAX`] names eight find theirs set by another.
const FILTER_BITS: usize = 4096;

/// The names seen in the objects that are being read; reused, so that nothing is allocated.
pub(in super::super) struct Seen {
    words: Vec<Word>,
    /// Where each begins in its text, for a slice of the text could not be kept between tokens.
    starts: Vec<usize>,
    /// A bit for each word of the object from [`filtered`](Self::filtered) on.
    filter: [u64; FILTER_BITS / 64],
    /// Where the names of the object begin that the filter is of, if it is of any.
    filtered: Option<usize>,
}

impl Seen {
    pub(in super::super) fn new() -> Self {
        Self {
            words: Vec::with_capacity(MEMBERS_MAX),
            starts: Vec::with_capacity(MEMBERS_MAX),
            filter: [0; FILTER_BITS / 64],
            filtered: None,
        }
    }

    /// Forgets everything, whatever an error left behind.
    #[inline]
    pub(in super::super) fn clear(&mut self) {
        self.forget(0);
    }

    /// Where the names of an object that begins now will be.
    #[inline]
    pub(in super::super) fn base(&self) -> usize {
        self.words.len()
    }

    /// Forgets the names of the object whose names begin at `base`.
    #[inline]
    pub(in super::super) fn forget(&mut self, base: usize) {
        self.words.truncate(base);
        self.starts.truncate(base);
        self.filtered = None;
    }

    /// Adds the name of a member of an object in `text` that has `members_max` at most.
    ///
    /// # Errors
    /// [`JsonError::DuplicateMember`], or [`JsonError::Malformed`] for too many.
    #[inline]
    pub(in super::super) fn insert(
        &mut self,
        text: &str,
        name: Name<'_>,
        base: usize,
        members_max: usize,
    ) -> Result<(), JsonError> {
        let others = self.words.get(base..).unwrap_or_default();
        if others.len() >= FEW.min(members_max) {
            if others.len() >= members_max {
                return Err(JsonError::Malformed);
            }
            self.insert_into_many(text, name, base)?;
        } else if others.contains(&name.word) {
            self.compare(text, name, base)?;
        }
        self.words.push(name.word);
        self.starts.push(name.start);
        Ok(())
    }

    /// Finds the name in the filter, which is made anew if it is that of another object, and then among the others.
    #[inline(never)]
    fn insert_into_many(
        &mut self,
        text: &str,
        name: Name<'_>,
        base: usize,
    ) -> Result<(), JsonError> {
        if self.filtered != Some(base) {
            self.filter.fill(0);
            self.filtered = Some(base);
            for word in self.words.get(base..).unwrap_or_default() {
                set(&mut self.filter, *word);
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
        let known = self.words.iter().zip(&self.starts).skip(base);
        for (_, start) in known.filter(|(word, _)| **word == name.word) {
            let mut cursor = Cursor::new(text, start.saturating_sub(1));
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
