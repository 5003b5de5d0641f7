//! Reads values from a page in this format or in OpenMetrics 1.0.
//!
//! ```text
//! name{label="text with \" and } in it",...} value [timestamp] [# {exemplar labels} value]
//! ```
//!
//! Lines that are no samples are skipped.

/// One line of a page with a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample<'p> {
    pub(super) name: &'p str,
    /// The text between the braces; empty where there are no braces.
    pub(super) labels: &'p str,
    /// NaN where the value is not a number.
    pub(super) value: f64,
}

impl<'p> Sample<'p> {
    /// The sample of a line; `None` for a comment, an empty line, or an incomplete sample.
    pub(super) fn parse(line: &'p str) -> Option<Self> {
        let is_blank = |c: char| c == ' ' || c == '\t';
        let line = line.trim_start();
        let name_end = line.find(|c| c == '{' || c == '#' || is_blank(c))?;
        let (name, rest) = line.split_at(name_end);
        let rest = rest.trim_start_matches(is_blank);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(labels) => {
                let end = end_of_labels(labels)?;
                (&labels[..end], &labels[end + 1..])
            }
            None => ("", rest),
        };
        let value = rest.split_ascii_whitespace().next()?;
        (!name.is_empty()).then(|| Self { name, labels, value: value.parse().unwrap_or(f64::NAN) })
    }
}

/// The place of the brace that closes the labels; braces within quotation marks do not.
fn end_of_labels(labels: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    labels.bytes().position(|byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return true,
            _ => {}
        }
        false
    })
}

/// The sum of all samples of this name, with any labels: a cluster of processes shows one sample for each process.
/// `None`: there is no sample, or the sum is not finite.
pub fn value(page: &str, name: &str) -> Option<f64> {
    let lines = page.lines().filter(|line| line.trim_start().starts_with(name));
    let samples = lines.filter_map(Sample::parse).filter(|sample| sample.name == name);
    let sum = samples.map(|sample| sample.value).reduce(|sum, value| sum + value)?;
    sum.is_finite().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_found_in_every_form_of_a_sample() {
        for (page, expected, why) in [
            ("cpu_total 1.5", Some(1.5), "a name and a value"),
            ("# HELP cpu_total x\n# TYPE cpu_total counter\ncpu_total 2\n", Some(2.0), "behind help and type"),
            ("cpu_total 0.25 1395066363000", Some(0.25), "with a timestamp"),
            ("cpu_total\t1.25e+02\r\n", Some(125.0), "a tab, an exponent, CR LF"),
            ("cpu_total{app=\"a} \\\" {b\",x=\"\"} 3", Some(3.0), "braces and quotation marks within a label"),
            ("cpu_total {pid=\"1\"} 3\ncpu_total{pid=\"2\"} 4", Some(7.0), "a sample of each process"),
            ("cpu_total 9 # {trace_id=\"1\"} 0.5\n# EOF\n", Some(9.0), "an exemplar of OpenMetrics"),
            ("cpu_total NaN", None, "not a number"),
            ("cpu_total +Inf", None, "not finite"),
            ("cpu_total many", None, "text in place of a number"),
            ("cpu_total", None, "the value is missing"),
            ("cpu_total{a=\"b", None, "the end of the label is missing"),
            ("cpu_total_created 1.7e9\nnodejs_cpu_total 5", None, "other names that contain the name"),
            ("", None, "an empty page"),
            ("<html>not found</html>", None, "a page without metrics"),
        ] {
            assert_eq!(value(page, "cpu_total"), expected, "{why}");
        }
    }
}
