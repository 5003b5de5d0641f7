//! The names of the files of a result.

/// The machine-readable result; see [`crate::schema`].
pub const RESULT_JSON: &str = "result.json";
/// The report for people, one file that opens offline.
pub const REPORT_HTML: &str = "report.html";
/// The summary of a CI step.
pub const SUMMARY_MD: &str = "summary.md";
/// The thresholds as test cases.
pub const JUNIT_XML: &str = "junit.xml";
/// One row per second.
pub const INTERVALS_CSV: &str = "intervals.csv";
/// Every phase in every interval; see [`crate::hlog`].
pub const RUN_HLOG: &str = "run.hlog";
