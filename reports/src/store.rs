//! The result directory: its files, and how they are written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files::{INTERVALS_CSV, JUNIT_XML, REPORT_HTML, RESULT_JSON, RUN_HLOG, SUMMARY_MD};
use crate::render;
use crate::schema::RunResult;

/// A folder that result files can be written to, checked before a run is begun.
#[derive(Debug)]
pub struct ResultDir {
    /// Exists, and took a file when it was opened.
    path: PathBuf,
}

/// The output folder, or a file in it, could not be written: the fault is the folder's, not the run's.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct StoreError {
    /// What was tried, such as `create the output folder`.
    pub action: &'static str,
    /// Where.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl ResultDir {
    /// Makes the folder, with those above it, and proves that it takes a file: a run must not end without its result.
    ///
    /// Files of an earlier result in it are kept until they are replaced.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = Self { path: path.into() };
        fs::create_dir_all(&dir.path).map_err(|source| dir.error("create the output folder", &dir.path, source))?;
        let probe = dir.temporary("probe");
        File::create(&probe)
            .and_then(|_| fs::remove_file(&probe))
            .map_err(|source| dir.error("write to the output folder", &dir.path, source))?;
        Ok(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes every file of a result, `result.json` first, so that a later failure loses none of the figures.
    ///
    /// `hlog` is what [`HlogWriter::finish`](crate::hlog::HlogWriter::finish) gave.
    pub fn write_all(&self, result: &RunResult, hlog: &[u8]) -> Result<(), StoreError> {
        self.write(RESULT_JSON, result_json(result).as_bytes())?;
        self.write(RUN_HLOG, hlog)?;
        self.write(INTERVALS_CSV, render::csv(result).as_bytes())?;
        self.write(JUNIT_XML, render::junit(result).as_bytes())?;
        self.write(SUMMARY_MD, render::markdown(result).as_bytes())?;
        self.write(REPORT_HTML, render::html(result).as_bytes())
    }

    /// Writes one file whole or not at all: beside its place, to the disk, and then by rename.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let temporary = self.temporary(name);
        let written = write_synced(&temporary, content)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| File::open(&self.path)?.sync_all());
        written.map_err(|source| {
            // The unfinished file is of no use; the first error is the one to report.
            let _ = fs::remove_file(&temporary);
            self.error("write the result file", &path, source)
        })
    }

    /// In the same folder, because a rename is atomic within one file system alone.
    fn temporary(&self, name: &str) -> PathBuf {
        self.path.join(format!(".{name}.{}.tmp", std::process::id()))
    }

    fn error(&self, action: &'static str, path: &Path, source: io::Error) -> StoreError {
        StoreError { action, path: path.to_owned(), source }
    }
}

/// A result as `result.json` holds it: two spaces, a line break at the end.
pub fn result_json(result: &RunResult) -> String {
    let mut json = serde_json::to_string_pretty(result)
        .expect("the schema has string keys only, and writing to memory cannot fail");
    json.push('\n');
    json
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_replaced_whole() {
        let root = tempfile::tempdir().unwrap();
        let dir = ResultDir::create(root.path().join("a/b")).unwrap();
        let result = RunResult::default();
        dir.write(RESULT_JSON, b"older").unwrap();
        dir.write_all(&result, b"#log\n").unwrap();

        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let expected = [INTERVALS_CSV, JUNIT_XML, REPORT_HTML, RESULT_JSON, RUN_HLOG, SUMMARY_MD];
        assert_eq!(names, expected, "six files, and nothing temporary");
        let json = fs::read_to_string(dir.path().join(RESULT_JSON)).unwrap();
        assert_eq!(serde_json::from_str::<RunResult>(&json).unwrap(), result);
    }

    #[test]
    fn a_folder_that_takes_no_file_is_an_error_before_the_run() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let dangling = root.path().join("dangling");
        std::os::unix::fs::symlink("/dev/null/nowhere", &dangling).unwrap();
        for (path, why) in [
            (file.clone(), "a file is in its place"),
            (file.join("below"), "a file is above it"),
            (dangling, "a link to nowhere"),
            (PathBuf::from("/proc/self"), "a file system without new files"),
        ] {
            let error = ResultDir::create(&path).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(path.to_str().unwrap()), "{why}: {text}");
            assert!(text.starts_with("cannot "), "{why}: {text}");
        }
    }
}
