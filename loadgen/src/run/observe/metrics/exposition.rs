//! Reading Prometheus' text format (version 0.0.4) and OpenMetrics 1.0, as far as a few values need it.
//!
//! ```text
//! name{label="text with \" and } in it",...} value [timestamp] [# {exemplar labels} value]
//! ```
//!
//! What is no sample of the name that is looked for is passed over, whatever it is: a page that others can read need not
//! be understood as a whole.

/// The sum of all samples of this name, whatever their labels: a cluster of processes shows one each. `None`: there is no
/// sample, or one of them is no finite number.
pub fn value(page: &str, name: &str) -> Option<f64> {
    let mut samples = page.lines().filter_map(|line| sample(line, name));
    let first = samples.next()?;
    let sum = samples.fold(first, |sum, value| sum + value);
    sum.is_finite().then_some(sum)
}

/// The value of a line, if it is a sample of this name; what is no number is NaN.
fn sample(line: &str, name: &str) -> Option<f64> {
    let rest = line.trim_start().strip_prefix(name)?;
    let is_blank = |c: char| c == ' ' || c == '\t';
    let rest = match rest.trim_start_matches(is_blank).strip_prefix('{') {
        Some(labels) => after_labels(labels)?,
        // Another name that begins with this one.
        None if !rest.starts_with(is_blank) => return None,
        None => rest,
    };
    let value = rest.split_ascii_whitespace().next()?;
    Some(value.parse().unwrap_or(f64::NAN))
}

/// What follows the brace that closes the labels; braces within quotation marks close nothing.
fn after_labels(labels: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (place, c) in labels.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(&labels[place + 1..]),
            _ => {}
        }
    }
    None
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
