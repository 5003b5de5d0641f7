//! The page of a server's metrics, and the names of its figures.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::ground::values::ValueError;
use crate::spec::urls::without_secrets;

/// A page of Prometheus' format to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPlan {
    /// http or https; it may hold credentials.
    pub url: Url,
    /// The URL without query and credentials, for errors.
    pub shown_url: String,
    /// The names of the metrics.
    pub names: MetricNames,
}

/// The names of the metrics. Written `cpu=NAME,memory=NAME,sockets=NAME`, in any order; others have their usual
/// name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricNames {
    /// A counter of processor time, in seconds.
    pub cpu: String,
    /// A gauge of resident memory, in bytes.
    pub memory: String,
    /// A gauge of open sockets, or of what comes nearest to it.
    pub sockets: String,
}

impl MetricsPlan {
    /// A plan for this page; without names, those of Prometheus' client libraries.
    pub fn new(url: Url, names: Option<MetricNames>) -> Self {
        Self { shown_url: without_secrets(&url), names: names.unwrap_or_default(), url }
    }
}

impl Default for MetricNames {
    /// The names that Prometheus' own client libraries use.
    fn default() -> Self {
        Self {
            cpu: "process_cpu_seconds_total".to_owned(),
            memory: "process_resident_memory_bytes".to_owned(),
            sockets: "process_open_fds".to_owned(),
        }
    }
}

impl FromStr for MetricNames {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || {
            ValueError::new(
                text,
                "list of metrics",
                "write cpu=NAME,memory=NAME,sockets=NAME, or some of them, each NAME as the page has it, without labels",
            )
        };
        let mut names = Self::default();
        for part in text.split(',') {
            let (what, name) = part.split_once('=').ok_or_else(error)?;
            let named = match what.trim() {
                "cpu" => &mut names.cpu,
                "memory" => &mut names.memory,
                "sockets" => &mut names.sockets,
                _ => return Err(error()),
            };
            let name = name.trim();
            if !is_name(name) {
                return Err(error());
            }
            *named = name.to_owned();
        }
        Ok(names)
    }
}

impl fmt::Display for MetricNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, memory, sockets } = self;
        write!(f, "cpu={cpu},memory={memory},sockets={sockets}")
    }
}

/// As Prometheus' data model has it: letters, digits, underscores and colons, not beginning with a digit.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let usual = MetricNames::default();
        for (text, expected, why) in [
            (
                "sockets=nodejs_sockets",
                Some(MetricNames { sockets: "nodejs_sockets".to_owned(), ..usual.clone() }),
                "one of its own, the others as usual",
            ),
            (
                "memory=m, cpu=c:rate_1,sockets=s",
                Some(MetricNames { cpu: "c:rate_1".to_owned(), memory: "m".to_owned(), sockets: "s".to_owned() }),
                "all, in any order",
            ),
            ("cpu", None, "no name"),
            ("disk=x", None, "nothing that is read"),
            ("cpu=a{b=\"c\"}", None, "labels"),
            ("cpu=9lives", None, "begins with a digit"),
            ("cpu=", None, "empty"),
        ] {
            let names: Option<MetricNames> = text.parse().ok();
            assert_eq!(names, expected, "{why}");
            if let Some(names) = names {
                assert_eq!(names.to_string().parse(), Ok(names), "{why}: both ways");
            }
        }
    }
}
