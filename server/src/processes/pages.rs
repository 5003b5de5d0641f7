//! The metrics of several processes in one page of Prometheus' text format.
//!
//! Counters are added up, and gauges that count what each process has. Figures about a process itself (`process_*`) keep
//! apart under the label `process`, and so do the sockets that each has, beside their sum.

use std::{collections::HashMap, fmt::Write};

/// Gauges that are the same for all processes, not a part in each.
const SAME_FOR_ALL: [&str; 1] = ["gatekeeper_keys"];

/// Gauges that tell how evenly the kernel deals, and the name that each process's own goes by.
const OF_EACH: [(&str, &str); 2] = [
    ("gatekeeper_connections_open", "gatekeeper_process_connections_open"),
    ("gatekeeper_sessions_open", "gatekeeper_process_sessions_open"),
];

/// A metric with all its samples, in the order in which they first came.
#[derive(Default)]
struct Family {
    name: String,
    /// Its lines of help and type.
    head: String,
    samples: Vec<(String, f64)>,
    places: HashMap<String, usize>,
}

/// One page of those of all processes, each with the name of its process.
pub(super) fn merge(pages: &[(String, String)]) -> String {
    let mut families: Vec<Family> = Vec::new();
    let mut places = HashMap::new();
    for (process, page) in pages {
        let mut current = None;
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let name = rest.split(' ').next().unwrap_or_default();
                current = Some(family(&mut families, &mut places, name));
            }
            let Some(family) = current.map(|place: usize| &mut families[place]) else {
                continue;
            };
            if line.starts_with('#') {
                family.tell(line);
            } else if let Some((sample, value)) = line.rsplit_once(' ')
                && let Ok(value) = value.parse::<f64>()
            {
                family.take(process, sample, value);
            }
        }
    }
    for (sum, each) in OF_EACH {
        of_each(pages, sum, each, &mut families);
    }
    written(&families)
}

fn family(families: &mut Vec<Family>, places: &mut HashMap<String, usize>, name: &str) -> usize {
    *places.entry(name.to_owned()).or_insert_with(|| {
        families.push(Family { name: name.to_owned(), ..Family::default() });
        families.len() - 1
    })
}

impl Family {
    /// Takes a line of the head, which every process writes alike.
    fn tell(&mut self, line: &str) {
        if !self.head.contains(line) {
            self.head.push_str(line);
            self.head.push('\n');
        }
    }

    fn take(&mut self, process: &str, sample: &str, value: f64) {
        if self.name.starts_with("process_") {
            self.samples.push((labelled(sample, process), value));
            return;
        }
        let samples = &mut self.samples;
        let place = *self.places.entry(sample.to_owned()).or_insert_with(|| {
            samples.push((sample.to_owned(), 0.0));
            samples.len() - 1
        });
        let so_far = &mut samples[place].1;
        *so_far = match SAME_FOR_ALL.contains(&&*self.name) {
            true => so_far.max(value),
            false => *so_far + value,
        };
    }
}

/// Adds a family with each process's own value of `sum`.
fn of_each(pages: &[(String, String)], sum: &str, each: &str, families: &mut Vec<Family>) {
    let mut family =
        Family { head: format!("# HELP {each} The same by process.\n# TYPE {each} gauge\n"), ..Family::default() };
    for (process, page) in pages {
        let line = page.lines().find_map(|line| line.strip_prefix(sum));
        let value = line.and_then(|rest| rest.strip_prefix(' ')?.parse().ok());
        family.samples.extend(value.map(|value| (labelled(each, process), value)));
    }
    families.push(family);
}

/// A sample with one label more. Names of processes need no escape.
fn labelled(sample: &str, process: &str) -> String {
    match sample.strip_suffix('}') {
        Some(front) => format!("{front},process=\"{process}\"}}"),
        None => format!("{sample}{{process=\"{process}\"}}"),
    }
}

fn written(families: &[Family]) -> String {
    let mut page = String::new();
    for family in families {
        page.push_str(&family.head);
        for (sample, value) in &family.samples {
            // Writing to a string cannot fail.
            let _ = writeln!(page, "{sample} {value}");
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_added_and_processes_kept_apart() {
        let page = |process: &str, page: &str| (process.to_owned(), page.to_owned());
        let first = "# HELP a_total A.\n# TYPE a_total counter\na_total{k=\"x\"} 1\na_total{k=\"y\"} 2\n\
                     # HELP gatekeeper_keys K.\n# TYPE gatekeeper_keys gauge\ngatekeeper_keys 3\n\
                     # HELP gatekeeper_sessions_open S.\n# TYPE gatekeeper_sessions_open gauge\n\
                     gatekeeper_sessions_open 5\n\
                     # HELP process_cpu_seconds_total C.\n# TYPE process_cpu_seconds_total counter\n\
                     process_cpu_seconds_total 0.5\n";
        let second = first.replace("} 2\n", "} 40\n").replace("open 5", "open 6");
        let parent = "# HELP process_cpu_seconds_total C.\nprocess_cpu_seconds_total 0.25\n";
        let merged = merge(&[page("0", first), page("1", &second), page("parent", parent)]);
        let expected = "# HELP a_total A.\n# TYPE a_total counter\na_total{k=\"x\"} 2\na_total{k=\"y\"} 42\n\
                        # HELP gatekeeper_keys K.\n# TYPE gatekeeper_keys gauge\ngatekeeper_keys 3\n\
                        # HELP gatekeeper_sessions_open S.\n# TYPE gatekeeper_sessions_open gauge\n\
                        gatekeeper_sessions_open 11\n\
                        # HELP process_cpu_seconds_total C.\n# TYPE process_cpu_seconds_total counter\n\
                        process_cpu_seconds_total{process=\"0\"} 0.5\n\
                        process_cpu_seconds_total{process=\"1\"} 0.5\n\
                        process_cpu_seconds_total{process=\"parent\"} 0.25\n\
                        # HELP gatekeeper_process_connections_open The same by process.\n\
                        # TYPE gatekeeper_process_connections_open gauge\n\
                        # HELP gatekeeper_process_sessions_open The same by process.\n\
                        # TYPE gatekeeper_process_sessions_open gauge\n\
                        gatekeeper_process_sessions_open{process=\"0\"} 5\n\
                        gatekeeper_process_sessions_open{process=\"1\"} 6\n";
        assert_eq!(merged, expected);
    }
}
