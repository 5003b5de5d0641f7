//! A key file that is checked for changes periodically.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::keys::{Key, KeyError, load};

/// A key file and its last usable content.
#[derive(Debug)]
pub(super) struct KeyFile {
    pub path: PathBuf,
    /// Identity and times of the file just before the last read; `None` if the file did not exist.
    stamp: Option<Stamp>,
    content: String,
}

/// The identity and the times of a file. Any of them changes when the file is written to or replaced, or when its
/// symbolic link changes.
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

    /// The keys of the file if it was touched since the last read, or in any case with `force`; `None` if the content
    /// is the same.
    ///
    /// # Errors
    /// [`KeyError::File`], once for each change.
    pub(super) fn changed_keys(&mut self, force: bool) -> Result<Option<Vec<Key>>, KeyError> {
        if !force && stamp(&self.path) == self.stamp {
            return Ok(None);
        }
        self.read()
    }

    fn read(&mut self) -> Result<Option<Vec<Key>>, KeyError> {
        // Read before the content: if the file is written to in between, the next check finds another stamp.
        self.stamp = stamp(&self.path);
        let with_path = |source| KeyError::File(self.path.clone(), Box::new(source));
        let content = load::read(&self.path).map_err(with_path)?;
        if content == self.content {
            return Ok(None);
        }
        let keys = load::text(&content).map_err(with_path)?;
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
    fn each_change_of_a_file_is_reported_once_as_keys_or_as_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.pem");
        assert!(KeyFile::open(&path).is_err(), "the file must exist at the start");
        fs::write(&path, ONE).unwrap();
        let (mut file, keys) = KeyFile::open(&path).unwrap();
        assert_eq!(keys.len(), 1);

        let write = |content: &str| fs::write(&path, content).unwrap();
        let replace = |content: &str| {
            let temporary = folder.path().join("new");
            fs::write(&temporary, content).unwrap();
            fs::rename(temporary, &path).unwrap();
        };
        let nothing = || {};
        type Step<'s> = (&'s dyn Fn(), bool, Result<Option<usize>, ()>, &'s str);
        let steps: [Step<'_>; 9] = [
            (&nothing, false, Ok(None), "untouched"),
            (&nothing, true, Ok(None), "a forced read of the same content"),
            (&|| replace(ONE), false, Ok(None), "replaced by a file of the same content"),
            (&|| replace(&[ONE, OTHER].concat()), false, Ok(Some(2)), "replaced"),
            (&|| write("half a k"), false, Err(()), "half written"),
            (&nothing, false, Ok(None), "the error was reported"),
            (&|| write(OTHER), false, Ok(Some(1)), "completely written"),
            (&|| fs::remove_file(&path).unwrap(), false, Err(()), "removed"),
            (&|| write(OTHER), false, Ok(None), "it exists again, with the keys in use"),
        ];
        for (act, force, expected, why) in steps {
            act();
            let found = file.changed_keys(force).map(|keys| keys.map(|keys| keys.len()));
            assert_eq!(found.map_err(|_| ()), expected, "{why}");
        }
    }
}
