//! A scenario file: TOML with the flags' names as keys, and errors that show the line.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::ground::nearest::nearest;
use crate::ground::values::InputError;
use crate::spec::args::RunArgs;

/// A scenario is a page of settings; what is larger than this is another file by mistake.
pub const SCENARIO_BYTES_MAX: u64 = 1024 * 1024;

/// What is wrong in a file, with the line and a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    path: PathBuf,
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    text: String,
    /// Characters of `text` that are meant, at least 1.
    width: usize,
    problem: String,
}

impl fmt::Display for Excerpt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = number.len();
        let before = self.column - 1;
        writeln!(out, "{}:{number}:{}: {}", self.path.display(), self.column, self.problem)?;
        writeln!(out, "{:margin$} |", "")?;
        writeln!(out, "{number} | {}", self.text)?;
        write!(out, "{:margin$} | {:before$}{}", "", "", "^".repeat(self.width))
    }
}

/// Reads a scenario file.
pub fn read_file(path: &Path) -> Result<RunArgs, InputError> {
    let unreadable = |error| InputError(format!("cannot read the scenario {}: {error}", path.display()));
    if std::fs::metadata(path).map_err(unreadable)?.len() > SCENARIO_BYTES_MAX {
        let shown = path.display();
        return Err(InputError(format!("the scenario {shown} is larger than {SCENARIO_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(path, &text).map_err(|excerpt| InputError(excerpt.to_string()))
}

fn parse(path: &Path, text: &str) -> Result<RunArgs, Excerpt> {
    toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let (message, span) = one_caret(error.message(), text, span);
        excerpt(path, text, span, explain(message))
    })
}

/// An expression's error shows its text with a caret of its own: here that becomes the place in the file.
fn one_caret<'m>(message: &'m str, text: &str, span: Range<usize>) -> (&'m str, Range<usize>) {
    let mut lines = message.lines();
    let (Some(problem), Some(quoted), Some(caret), None) = (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return (message, span);
    };
    let (Some(indent), Some(quoted)) = (caret.strip_suffix('^'), quoted.strip_prefix("  ")) else {
        return (message, span);
    };
    let before = indent.chars().count().saturating_sub(2);
    let place = text.get(span.clone()).and_then(|meant| meant.find(quoted));
    let span = place.map_or(span.clone(), |place| {
        let within: usize = quoted.chars().take(before).map(char::len_utf8).sum();
        let at = span.start + place + within;
        at..at + 1
    });
    (problem, span)
}

fn excerpt(path: &Path, text: &str, span: Range<usize>, problem: String) -> Excerpt {
    let start = (0..=span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_text = text[line_start..].lines().next().unwrap_or("");
    let column = text[line_start..start].chars().count() + 1;
    let meant = text.get(start..span.end.min(line_start + line_text.len()));
    Excerpt {
        path: path.to_owned(),
        line: text[..line_start].matches('\n').count() + 1,
        column,
        // A tab has no width of its own, and the caret must stand below its character.
        text: line_text.replace('\t', " "),
        width: meant.map_or(1, |meant| meant.chars().count().max(1)),
        problem,
    }
}

/// Serde lists every key when one is unknown; the nearest is what a typo needs.
fn explain(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, known)) if message.starts_with("unknown field") => match nearest(unknown, known) {
            Some(near) => format!("unknown key `{unknown}`; did you mean `{near}`?"),
            None => format!("unknown key `{unknown}`; expected one of {}", known.join(", ")),
        },
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        parse(Path::new("scenario.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_says_what_flags_say() {
        let args = parse(
            Path::new("scenario.toml"),
            r#"
            target = "http://127.0.0.1:3000"
            protocol = "socketio"
            eio = 3
            rate = 250
            message-rate = "0.5/s"
            hold = "30s"
            user = ["ann:one", "bob:env:BOB"]
            header = "X-Tenant: a"
            threshold = ["handshake.p99<50ms", "errors<1%"]
            insecure = true
            "#,
        )
        .unwrap();
        assert_eq!(args.target.unwrap().as_str(), "http://127.0.0.1:3000/");
        assert_eq!(args.rate.unwrap().get(), 250.0);
        assert_eq!((args.user.len(), args.header.len(), args.threshold.len()), (2, 1, 2));
        assert_eq!(args.insecure, Some(true));
    }

    #[test]
    fn errors_show_the_line() {
        assert_snapshot!(error("rate = 5\nconections = 100\n"), @r#"
        scenario.toml:2:1: unknown key `conections`; did you mean `connections`?
          |
        2 | conections = 100
          | ^^^^^^^^^^
        "#);
        assert_snapshot!(error("rate = 5\nduration = \"10\"\n"), @r#"
        scenario.toml:2:12: "10" is no duration: write numbers with a unit (us, ms, s, m, h), up to 24h, such as 500ms, 10s, 1m30s or 1h
          |
        2 | duration = "10"
          |            ^^^^
        "#);
        assert_snapshot!(error("connections = \"many\""), @r#"
        scenario.toml:1:15: invalid type: string "many", expected u64
          |
        1 | connections = "many"
          |               ^^^^^^
        "#);
        assert_snapshot!(error("protocol = \"sockjs\""), @r#"
        scenario.toml:1:12: unknown variant `sockjs`, expected `websocket` or `socketio`
          |
        1 | protocol = "sockjs"
          |            ^^^^^^^^
        "#);
        assert_snapshot!(error("rate = \n"), @r#"
        scenario.toml:1:8: string values must be quoted, expected literal string
          |
        1 | rate = 
          |        ^
        "#);
        assert_snapshot!(error("# ä\n\ttimeout = 5 # seconds\n"), @r#"
        scenario.toml:2:12: "5" is no duration: write numbers with a unit (us, ms, s, m, h), up to 24h, such as 500ms, 10s, 1m30s or 1h
          |
        2 |  timeout = 5 # seconds
          |            ^
        "#);
        assert_snapshot!(error("threshold = [\"errors<1%\", \"handshake.p98<50ms\"]"), @r#"
        scenario.toml:1:38: expected response, service, lag or a stat: p99.9, p99, p95, p90, p50, max, mean
          |
        1 | threshold = ["errors<1%", "handshake.p98<50ms"]
          |                                      ^
        "#);
        assert_snapshot!(error("rate = 1\nrate = 2\n"), @r#"
        scenario.toml:2:1: duplicate key
          |
        2 | rate = 2
          | ^^^^
        "#);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_file(Path::new("no/such/scenario.toml")).unwrap_err().to_string();
        assert!(error.contains("no/such/scenario.toml"), "{error}");
    }

    #[test]
    fn a_key_from_nowhere_gets_the_list() {
        let error = error("colour = 5");
        assert!(error.contains("expected one of target, targets, protocol"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "([a-z=\"\\[\\]\\.0-9 \t\n]|rate|ä|€){0,40}") {
            if let Err(excerpt) = parse(Path::new("s.toml"), &text) {
                prop_assert!(excerpt.to_string().contains("s.toml:"));
            }
        }
    }
}
