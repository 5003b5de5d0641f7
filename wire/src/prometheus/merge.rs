//! Merges the pages of several processes into one.

use std::collections::HashMap;
use std::fmt::Write;

use crate::prometheus::read::Sample;
use crate::prometheus::write::write_label;

/// How the samples with the same name and labels are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The values are added: each process counts a part.
    Sum,
    /// The largest value is kept: all processes show the same.
    Largest,
    /// Each sample is kept, with a label that names its process.
    PerProcess,
}

/// A metric and its merged samples, in the order in which they first appear.
struct Family<'p> {
    rule: Rule,
    /// The lines of help and type.
    head: Vec<&'p str>,
    samples: Vec<Merged<'p>>,
    /// The index in `samples` by name and labels; not used with [`Rule::PerProcess`].
    places: HashMap<(&'p str, &'p str), usize>,
}

struct Merged<'p> {
    sample: Sample<'p>,
    /// The name of the process with [`Rule::PerProcess`].
    process: Option<&'p str>,
}

/// Merges pages, each given with the name of its process. `rule` chooses the rule by the name of a metric; with
/// [`Rule::PerProcess`] the samples get a label called `label`. Metrics without a line of help are left out.
pub fn merge(pages: &[(String, String)], label: &str, rule: impl Fn(&str) -> Rule) -> String {
    let mut families = Vec::new();
    let mut places = HashMap::new();
    for (process, page) in pages {
        let mut current = None;
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let name = rest.split(' ').next().unwrap_or_default();
                current = Some(*places.entry(name).or_insert_with(|| {
                    families.push(Family::new(rule(name)));
                    families.len() - 1
                }));
            }
            if let Some(place) = current {
                families[place].add_line(process, line);
            }
        }
    }
    let mut merged = String::new();
    for family in families {
        family.write(label, &mut merged);
    }
    merged
}

impl<'p> Family<'p> {
    fn new(rule: Rule) -> Self {
        Self { rule, head: Vec::new(), samples: Vec::new(), places: HashMap::new() }
    }

    fn add_line(&mut self, process: &'p str, line: &'p str) {
        if line.starts_with('#') {
            // Every process writes the same lines of help and type.
            if !self.head.contains(&line) {
                self.head.push(line);
            }
        } else if let Some(sample) = Sample::parse(line).filter(|sample| !sample.value.is_nan()) {
            self.add(process, sample);
        }
    }

    fn add(&mut self, process: &'p str, sample: Sample<'p>) {
        if self.rule == Rule::PerProcess {
            self.samples.push(Merged { sample, process: Some(process) });
            return;
        }
        match self.places.get(&(sample.name, sample.labels)) {
            None => {
                self.places.insert((sample.name, sample.labels), self.samples.len());
                self.samples.push(Merged { sample, process: None });
            }
            Some(&place) => {
                let so_far = &mut self.samples[place].sample.value;
                *so_far = match self.rule {
                    Rule::Largest => so_far.max(sample.value),
                    _ => *so_far + sample.value,
                };
            }
        }
    }

    fn write(self, label: &str, page: &mut String) {
        for line in self.head {
            page.push_str(line);
            page.push('\n');
        }
        for Merged { sample: Sample { name, labels, value }, process } in self.samples {
            page.push_str(name);
            if !labels.is_empty() || process.is_some() {
                page.push('{');
                page.push_str(labels);
                if let Some(process) = process {
                    page.push_str(if labels.is_empty() { "" } else { "," });
                    write_label(page, label, &process);
                }
                page.push('}');
            }
            // Writing to a String cannot fail.
            let _ = writeln!(page, " {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_with_the_same_labels_are_merged_by_the_rule_of_their_metric() {
        let first = "# HELP sum_total S.\n# TYPE sum_total counter\nsum_total{k=\"x\"} 1\nsum_total{k=\"y\"} 2\n\
                     # HELP same M.\n# TYPE same gauge\nsame 3\n# HELP own O.\nown{k=\"z\"} 0.5\nown 1\n";
        let second = "ignored 1\n# HELP sum_total S.\nsum_total{k=\"y\"} 40\nsum_total NaN\n# HELP same M.\nsame 2\n\
                      # HELP own O.\n# TYPE own gauge\nown 2\n# HELP late L.\nlate 5\n";
        let pages = [("0".to_owned(), first.to_owned()), ("\"1\"".to_owned(), second.to_owned())];
        let rule = |name: &str| match name {
            "same" => Rule::Largest,
            "own" => Rule::PerProcess,
            _ => Rule::Sum,
        };
        let expected = "# HELP sum_total S.\n# TYPE sum_total counter\nsum_total{k=\"x\"} 1\nsum_total{k=\"y\"} 42\n\
                        # HELP same M.\n# TYPE same gauge\nsame 3\n\
                        # HELP own O.\n# TYPE own gauge\n\
                        own{k=\"z\",p=\"0\"} 0.5\nown{p=\"0\"} 1\nown{p=\"\\\"1\\\"\"} 2\n\
                        # HELP late L.\nlate 5\n";
        assert_eq!(merge(&pages, "p", rule), expected);
    }
}
