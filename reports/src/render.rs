//! A result as people and other programs read it: pure functions from [`RunResult`] to text.
//!
//! Formatting alone: every statistic is taken from the result, none is computed. Scales of pictures are the one
//! arithmetic here.

mod charts;
mod csv;
mod html;
mod junit;
mod markdown;
mod svg;
mod tables;
mod text;

pub use csv::csv;
pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use text::{TextOptions, text};

#[cfg(doc)]
use crate::schema::RunResult;

/// `text` with the five characters that HTML and XML give a meaning replaced, and without those that XML 1.0 section
/// 2.2 forbids.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn text_never_becomes_markup() {
        for (text, escaped, why) in [
            ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#39;", "markup"),
            ("a\nb\tc", "a\nb\tc", "white space stays"),
            (
                "\u{0}\u{1b}[31m\u{ffff}",
                "\u{fffd}\u{fffd}[31m\u{fffd}",
                "forbidden in XML",
            ),
            ("naïve 日本", "naïve 日本", "letters stay"),
        ] {
            assert_eq!(super::escape(text), escaped, "{why}");
        }
        assert_eq!(escape(""), "");
    }
}
