//! The metrics of several processes in one page of Prometheus' text format.
//!
//! Counters and most gauges are added up. Figures about a process itself (`process_*`) are shown for each process, by the
//! label `process`. Gauges of sockets are shown as a sum and for each process.

use wire::prometheus::{Kind, Page, Rule, value};

/// Gauges that have the same value in all processes, and are not added up.
const SAME_FOR_ALL: [&str; 1] = ["gatekeeper_keys"];

/// Gauges that show how evenly the kernel distributes connections, and the names of their values by process.
const OF_EACH: [(&str, &str); 2] = [
    ("gatekeeper_connections_open", "gatekeeper_process_connections_open"),
    ("gatekeeper_sessions_open", "gatekeeper_process_sessions_open"),
];

/// Merges the pages of all processes into one. Each pair has the name of a process and its page.
pub(super) fn merge(pages: &[(String, String)]) -> String {
    let mut merged = Page::from_text(wire::prometheus::merge(pages, "process", |family| match family {
        _ if family.starts_with("process_") => Rule::PerProcess,
        _ if SAME_FOR_ALL.contains(&family) => Rule::Largest,
        _ => Rule::Sum,
    }));
    for (sum, each) in OF_EACH {
        let mut family = merged.family(each, "The same by process.", Kind::Gauge);
        for (process, page) in pages {
            if let Some(value) = value(page, sum) {
                family.sample(&[("process", process)], value);
            }
        }
    }
    merged.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_added_and_process_figures_have_a_label() {
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
