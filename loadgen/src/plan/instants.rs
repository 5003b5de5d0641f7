//! Arrivals at instants that a file lists, such as those of a log.

use std::path::Path;
use std::sync::Arc;

use crate::ground::values::InputError;

/// A file of instants that is larger than this holds something else: some thirty million lines.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A day is longer than any run.
const INSTANT_S_MAX: f64 = 86_400.0;

/// Reads instants: seconds after T0, one a line, in rising order; `#` begins a comment. In nanoseconds, at least one.
pub fn read_instants(path: &Path) -> Result<Arc<[u64]>, InputError> {
    let shown = path.display();
    let unreadable = |error| {
        InputError(format!(
            "cannot read the arrivals {shown}: {error}; write uniform, poisson, or the name of a file of instants"
        ))
    };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(InputError(format!("the arrivals {shown}: the file has more than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let instants = parse(&text).map_err(|(line, problem)| {
        InputError(format!(
            "{shown}:{line}: {problem}; write one instant a line, in seconds after the start, in rising order"
        ))
    })?;
    if instants.is_empty() {
        return Err(InputError(format!("the arrivals {shown}: it lists none")));
    }
    Ok(instants.into())
}

/// The instants of a text, or the number of the wrong line, from 1, and what is wrong with it.
fn parse(text: &str) -> Result<Vec<u64>, (usize, String)> {
    let mut instants: Vec<u64> = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let number = line.split('#').next().unwrap_or_default().trim();
        if number.is_empty() {
            continue;
        }
        let fault = |problem: String| (place + 1, problem);
        let seconds: f64 = number.parse().map_err(|_| fault(format!("{number:?} is no number of seconds")))?;
        if !(0.0..=INSTANT_S_MAX).contains(&seconds) {
            return Err(fault(format!("{number} is not from 0 to {INSTANT_S_MAX}")));
        }
        let instant_ns = (seconds * 1e9).round() as u64;
        if instants.last().is_some_and(|last_ns| *last_ns > instant_ns) {
            return Err(fault(format!("{number} is earlier than the one before it")));
        }
        instants.push(instant_ns);
    }
    Ok(instants)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_are_read_line_by_line() {
        for (text, expected, why) in [
            ("0\n0.5\n1e0\n", Ok(&[0, 500_000_000, 1_000_000_000][..]), "seconds"),
            ("# a log\n\n 0.1 # first\n0.1", Ok(&[100_000_000; 2]), "comments; two at once"),
            ("", Ok(&[]), "none"),
            ("1\n0.5", Err(2), "backwards"),
            ("1\nx", Err(2), "no number"),
            ("-1", Err(1), "before the start"),
            ("1e9", Err(1), "beyond a day"),
            ("NaN", Err(1), "no number"),
        ] {
            let read = parse(text);
            let read = read.as_deref().map_err(|(line, _)| *line);
            assert_eq!(read, expected, "{why}");
        }
    }

    #[test]
    fn files_that_give_nothing_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("instants");
        for (content, part) in [
            (None, "uniform, poisson, or the name of a file"),
            (Some("# nothing\n"), "it lists none"),
            (Some("1\nsoon\n"), "instants:2: \"soon\""),
        ] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let error = read_instants(&path).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[0-9.e#\n -]{0,60}") {
            if let Ok(instants) = parse(&text) {
                prop_assert!(instants.is_sorted());
            }
        }
    }
}
