//! Reading values from a page in this format or in OpenMetrics 1.0.
//!
//! ```text
//! name{label="text with \" and } in it",...} value [timestamp] [# {exemplar labels} value]
//! ```
//!
//! Lines that are no samples are passed over: a page need not be understood as a whole.

/// A sample, as its line has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample<'p> {
    pub(super) name: &'p str,
    /// What stands between the braces; empty where there are none.
    pub(super) labels: &'p str,
    /// NaN where the line has no number.
    pub(super) value: f64,
}

impl<'p> Sample<'p> {
    /// The sample of a line; `None` for a comment, an empty line, or a line that is cut off.
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

/// Where the brace is that closes the labels; braces within quotation marks close nothing.
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

/// The sum of all samples of this name, whatever their labels: a cluster of processes shows one each. `None`: there is no
/// sample, or one of them is no finite number.
pub fn value(page: &str, name: &str) -> Option<f64> {
    let lines = page.lines().filter(|line| line.trim_start().starts_with(name));
    let mut values = lines.filter_map(Sample::parse).filter(|sample| sample.name == name).map(|sample| sample.value);
    let first = values.next()?;
    let sum = values.fold(first, |sum, value| sum + value);
    sum.is_finite().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_whatever_form() {
        let name = "process_cpu_seconds_total";
        for (page, expected, why) in [
            ("process_cpu_seconds_total 1.5", Some(1.5), "plain"),
            (
                "# HELP process_cpu_seconds_total x\n# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 2\n",
                Some(2.0),
                "under its head",
            ),
            ("process_cpu_seconds_total 0.25 1395066363000", Some(0.25), "with a timestamp"),
            ("process_cpu_seconds_total\t1.25e+02\r\n", Some(125.0), "a tab, an exponent, CR LF"),
            (
                "process_cpu_seconds_total{app=\"a} \\\" {b\",x=\"\"} 3",
                Some(3.0),
                "braces and quotation marks within a label",
            ),
            (
                "process_cpu_seconds_total {pid=\"1\"} 3\nprocess_cpu_seconds_total{pid=\"2\"} 4",
                Some(7.0),
                "one of each process",
            ),
            ("process_cpu_seconds_total 9 # {trace_id=\"1\"} 0.5\n# EOF\n", Some(9.0), "an exemplar of OpenMetrics"),
            ("process_cpu_seconds_total NaN", None, "not a number"),
            ("process_cpu_seconds_total +Inf", None, "not finite"),
            ("process_cpu_seconds_total many", None, "no number at all"),
            ("process_cpu_seconds_total", None, "cut off"),
            ("process_cpu_seconds_total{a=\"b", None, "cut off in a label"),
            (
                "process_cpu_seconds_total_created 1.7e9\nnodejs_process_cpu_seconds_total 5",
                None,
                "other names that hold it",
            ),
            ("", None, "an empty page"),
            ("<html>not found</html>", None, "no metrics"),
        ] {
            assert_eq!(value(page, name), expected, "{why}");
        }
    }
}
