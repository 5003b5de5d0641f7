//! Writes a page.

use std::fmt::{self, Display, Write};

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that may go up and down.
    Gauge,
    /// The number of observations up to each of several sizes.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page of metrics, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Page(String);

/// A metric whose help and type are written, and to which samples can be added.
#[derive(Debug)]
pub struct Family<'p> {
    page: &'p mut String,
    name: &'p str,
}

impl Page {
    /// Continues a page that exists as text.
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// The whole page.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Adds a counter with one sample without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help, Kind::Counter).sample(&[], value);
    }

    /// Adds a gauge with one sample without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help, Kind::Gauge).sample(&[], value);
    }

    /// Adds a metric without samples. `help` is one line without a backslash.
    pub fn family<'p>(&'p mut self, name: &'p str, help: &str, kind: Kind) -> Family<'p> {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
        Family { page: &mut self.0, name }
    }
}

impl Family<'_> {
    /// Appends one sample.
    pub fn sample(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.suffixed("", labels, None, value);
    }

    /// Appends one histogram. Each bucket is an upper bound and the number of observations up to that bound, the lower
    /// buckets included; `count` and `sum` are of all observations.
    pub fn histogram(
        &mut self,
        labels: &[(&str, &dyn Display)],
        buckets: impl IntoIterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) {
        for (bound, count) in buckets {
            self.suffixed("_bucket", labels, Some(("le", &bound)), count);
        }
        self.suffixed("_bucket", labels, Some(("le", &"+Inf")), count);
        self.suffixed("_sum", labels, None, sum);
        self.suffixed("_count", labels, None, count);
    }

    fn suffixed(
        &mut self,
        suffix: &str,
        labels: &[(&str, &dyn Display)],
        last_label: Option<(&str, &dyn Display)>,
        value: impl Display,
    ) {
        self.page.push_str(self.name);
        self.page.push_str(suffix);
        let mut separator = '{';
        for (label, text) in labels.iter().copied().chain(last_label) {
            self.page.push(separator);
            write_label(self.page, label, text);
            separator = ',';
        }
        let close = if separator == '{' { "" } else { "}" };
        let _ = writeln!(self.page, "{close} {value}");
    }
}

/// Appends `label="text"`.
pub(super) fn write_label(page: &mut String, label: &str, text: &dyn Display) {
    page.push_str(label);
    page.push_str("=\"");
    let _ = write!(Escaped(page), "{text}");
    page.push('"');
}

/// Appends the text of a label and escapes backslash, quotation mark and line feed.
struct Escaped<'p>(&'p mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_help_types_samples_and_histograms() {
        let mut page = Page::default();
        page.counter("a_total", "A.", 1);
        page.gauge("b", "B.", 0.5);
        let mut family = page.family("c", "C.", Kind::Gauge);
        family.sample(&[("x", &"a \"word\"\\\nand more"), ("y", &7)], -1);
        page.family("d_seconds", "D.", Kind::Histogram).histogram(&[("p", &"q")], [(0.1, 1), (2.0, 3)], 4, 5.5);
        let expected = "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n\
                        # HELP b B.\n# TYPE b gauge\nb 0.5\n\
                        # HELP c C.\n# TYPE c gauge\nc{x=\"a \\\"word\\\"\\\\\\nand more\",y=\"7\"} -1\n\
                        # HELP d_seconds D.\n# TYPE d_seconds histogram\n\
                        d_seconds_bucket{p=\"q\",le=\"0.1\"} 1\nd_seconds_bucket{p=\"q\",le=\"2\"} 3\n\
                        d_seconds_bucket{p=\"q\",le=\"+Inf\"} 4\nd_seconds_sum{p=\"q\"} 5.5\nd_seconds_count{p=\"q\"} 4\n";
        assert_eq!(page.into_text(), expected);
    }
}
