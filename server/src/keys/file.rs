//! A key file that is looked at again and again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::keys::{Key, KeyError, load};

/// A key file and what was last read of it.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    /// What the file looked like before it was last read; none where there was none.
    stamp: Option<Stamp>,
    /// Its content when it was last good.
    content: String,
}

/// What changes when a file is written to, replaced, or led elsewhere by a link.
#[derive(Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl KeyFile {
    /// Reads a file for the first time.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Key>), KeyError> {
        let mut file = Self { path: path.to_owned(), stamp: None, content: String::new() };
        let keys = file.read()?;
        Ok((file, keys.unwrap_or_default()))
    }

    /// Its keys, if the file was touched since, or `anyway`; none when they are those that are known.
    ///
    /// # Errors
    /// [`KeyError::File`], once per touch.
    pub(super) fn look(&mut self, anyway: bool) -> Result<Option<Vec<Key>>, KeyError> {
        if !anyway && stamp(&self.path) == self.stamp {
            return Ok(None);
        }
        self.read()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn read(&mut self) -> Result<Option<Vec<Key>>, KeyError> {
        // Before the content: should it be written to in between, the next look finds another stamp.
        self.stamp = stamp(&self.path);
        let named = |source| KeyError::File { path: self.path.clone(), source: Box::new(source) };
        let content = load::read(&self.path).map_err(named)?;
        if content == self.content {
            return Ok(None);
        }
        let keys = load::text(&content).map_err(named)?;
        self.content = content;
        Ok(Some(keys))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    let ns = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
    Some(Stamp {
        device: file.dev(),
        inode: file.ino(),
        bytes: file.len(),
        modified_ns: ns(file.mtime(), file.mtime_nsec()),
        changed_ns: ns(file.ctime(), file.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = include_str!("../../tests/keys/p256.public.pem");
    const OTHER: &str = include_str!("../../tests/keys/ed25519.public.pem");

    #[test]
    fn a_change_is_seen_once_and_a_bad_one_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.pem");
        assert!(KeyFile::open(&path).is_err(), "there must be one to begin with");
        fs::write(&path, ONE).unwrap();
        let (mut file, keys) = KeyFile::open(&path).unwrap();
        assert_eq!(keys.len(), 1);

        let write = |content: &str| fs::write(&path, content).unwrap();
        let replace = |content: &str| {
            let beside = folder.path().join("new");
            fs::write(&beside, content).unwrap();
            fs::rename(beside, &path).unwrap();
        };
        let nothing = || {};
        type Step<'s> = (&'s dyn Fn(), bool, Result<Option<usize>, ()>, &'s str);
        let steps: [Step<'_>; 9] = [
            (&nothing, false, Ok(None), "untouched"),
            (&nothing, true, Ok(None), "read anyway, and the same"),
            (&|| replace(ONE), false, Ok(None), "another file of the same content"),
            (&|| replace(&[ONE, OTHER].concat()), false, Ok(Some(2)), "replaced"),
            (&|| write("half a k"), false, Err(()), "half written"),
            (&nothing, false, Ok(None), "told already"),
            (&|| write(OTHER), false, Ok(Some(1)), "whole again"),
            (&|| fs::remove_file(&path).unwrap(), false, Err(()), "gone"),
            (&|| write(OTHER), false, Ok(None), "back, with the keys in use"),
        ];
        for (act, anyway, expected, why) in steps {
            act();
            let found = file.look(anyway).map(|keys| keys.map(|keys| keys.len()));
            assert_eq!(found.map_err(|_| ()), expected, "{why}");
        }
    }
}
