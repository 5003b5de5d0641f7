//! `junit.xml`: what a CI server shows as tests.
//!
//! The dialect that Jenkins, GitLab and GitHub's reporters share: `testsuites`, `testsuite`, `testcase` with
//! `failure`, `properties` for the totals.

use crate::render::tables;
use crate::schema::RunResult;

/// A test case for the verdict, one for the run's validity, one for each threshold; the totals are properties.
///
/// The suite fails exactly when the exit code is not 0.
pub fn junit(result: &RunResult) -> String {
    let mut cases = vec![
        Case {
            name: "verdict".to_owned(),
            failure: (!result.verdict.passed()).then(|| result.verdict.sentence.clone()),
        },
        Case {
            name: "validity".to_owned(),
            failure: (!result.validity.valid).then(|| result.validity.reasons.join("\n")),
        },
    ];
    cases.extend(result.thresholds.iter().map(|threshold| Case {
        name: threshold.text.clone(),
        failure: (!threshold.pass).then(|| format!("observed {}", tables::observed(threshold))),
    }));

    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\"", cases.len());
    let time = format!("time=\"{:.3}\"", result.duration_s);
    let timestamp = escape(&result.started_at);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml += &format!("<testsuites name=\"gatecrash\" {counts} {time}>\n");
    xml += &format!("  <testsuite name=\"gatecrash run\" {counts} skipped=\"0\" {time} timestamp=\"{timestamp}\">\n");
    xml += &properties(result);
    for case in &cases {
        xml += &case.xml();
    }
    xml += "  </testsuite>\n</testsuites>\n";
    xml
}

struct Case {
    name: String,
    /// Why it failed, where it did.
    failure: Option<String>,
}

impl Case {
    fn xml(&self) -> String {
        let name = escape(&self.name);
        let head = format!("    <testcase classname=\"gatecrash.run\" name=\"{name}\"");
        match &self.failure {
            None => format!("{head}/>\n"),
            Some(why) => {
                let why = escape(why);
                let message = why.replace('\n', " ");
                format!("{head}>\n      <failure message=\"{message}\">{why}</failure>\n    </testcase>\n")
            }
        }
    }
}

fn properties(result: &RunResult) -> String {
    let mut xml = String::from("    <properties>\n");
    let outcomes = result.totals.outcomes().map(|(outcome, count)| (outcome.as_str(), count));
    for (name, count) in [("planned", result.totals.planned)].into_iter().chain(outcomes) {
        xml += &format!("      <property name=\"totals.{name}\" value=\"{count}\"/>\n");
    }
    xml += "    </properties>\n";
    xml
}

/// `text` with the five characters that XML gives a meaning replaced, and without those that XML 1.0 section
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
    use super::*;

    #[test]
    fn text_never_becomes_markup() {
        for (text, escaped, why) in [
            ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#39;", "markup"),
            ("a\nb\tc", "a\nb\tc", "white space stays"),
            ("\u{0}\u{1b}[31m\u{ffff}", "\u{fffd}\u{fffd}[31m\u{fffd}", "forbidden in XML"),
            ("naïve 日本", "naïve 日本", "letters stay"),
        ] {
            assert_eq!(escape(text), escaped, "{why}");
        }
        assert_eq!(escape(""), "");
    }
}
