//! The member names of the objects that are being read, to find duplicates.

use crate::verify::json::{Cursor, JsonError, MEMBERS_MAX, Name, NameCode};

/// Up to this many names are compared one by one; with more names a [filter](SeenNames) is checked first.
const FEW: usize = 16;

/// The most names of all open objects: the claims, and one object for each step of a user's path.
const NAMES_MAX: usize = 4 * MEMBERS_MAX;

/// Bits of the filter: about eight of [`MEMBERS_MAX`] names share a bit with another.
const FILTER_BITS: usize = 4096;

/// The names in the objects that are being read. Reused for each token without allocation.
pub(in crate::verify) struct SeenNames {
    names: Box<[Entry]>,
    len: usize,
    /// A bit for each name code of the object from [`filtered`](Self::filtered) on.
    filter: [u64; FILTER_BITS / 64],
    /// The first name of the object that the filter belongs to, if any.
    filtered: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    code: NameCode,
    /// The position of the name in its text. A slice of the text cannot be stored in a reused buffer.
    start: u32,
}

impl SeenNames {
    pub(in crate::verify) fn new() -> Self {
        Self { names: vec![Entry::default(); NAMES_MAX].into(), len: 0, filter: [0; FILTER_BITS / 64], filtered: None }
    }

    /// Removes all names, for instance those left after an error.
    #[inline]
    pub(in crate::verify) fn clear(&mut self) {
        self.forget(0);
    }

    /// The index of the first name of an object that begins now.
    #[inline]
    pub(in crate::verify) fn base(&self) -> usize {
        self.len
    }

    /// Removes the names of the object whose names begin at `base`.
    #[inline]
    pub(in crate::verify) fn forget(&mut self, base: usize) {
        self.len = base;
        self.filtered = None;
    }

    /// Adds a member name of the object in `text` whose names begin at `base` and which may have `members_max` members.
    ///
    /// # Errors
    /// [`JsonError::DuplicateMember`], or [`JsonError::Malformed`] for too many members.
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
            self.check_with_filter(text, name, base)?;
        } else if others.iter().any(|other| other.code == name.code) {
            self.compare(text, name, base)?;
        }
        let entry = self.names.get_mut(self.len).ok_or(JsonError::Malformed)?;
        *entry = Entry { code: name.code, start: name.start as u32 };
        self.len += 1;
        Ok(())
    }

    /// Checks the name with the filter, which is rebuilt if it belongs to another object, and compares it if its bit is
    /// set.
    #[inline(never)]
    fn check_with_filter(&mut self, text: &str, name: Name<'_>, base: usize) -> Result<(), JsonError> {
        if self.filtered != Some(base) {
            self.filter.fill(0);
            self.filtered = Some(base);
            for name in self.names.get(base..self.len).unwrap_or_default() {
                set_bit(&mut self.filter, name.code);
            }
        }
        if set_bit(&mut self.filter, name.code) {
            self.compare(text, name, base)?;
        }
        Ok(())
    }

    /// Fails if one of the names from `base` on is equal. Names with the same code are read again and compared.
    #[cold]
    fn compare(&self, text: &str, name: Name<'_>, base: usize) -> Result<(), JsonError> {
        let others = self.names.get(base..self.len).unwrap_or_default();
        for other in others.iter().filter(|other| other.code == name.code) {
            let mut cursor = Cursor::new(text, (other.start as usize).saturating_sub(1));
            if !name.code.is_hash() || cursor.string()?.same(&name.text) {
                return Err(JsonError::DuplicateMember);
            }
        }
        Ok(())
    }
}

/// Sets the bit of `code`, and returns whether it was set before.
#[inline]
fn set_bit(filter: &mut [u64; FILTER_BITS / 64], code: NameCode) -> bool {
    let i = code.bucket(FILTER_BITS);
    let Some(bits) = filter.get_mut(i / 64) else { return true };
    let bit = 1 << (i % 64);
    let was_set = *bits & bit != 0;
    *bits |= bit;
    was_set
}
