//! Prometheus' text exposition format, version 0.0.4: writing a page, reading a value from one, merging those of several
//! processes.
//!
//! ```
//! use wire::prometheus::{Kind, Page, value};
//!
//! let mut page = Page::default();
//! page.counter("requests_total", "Requests.", 3);
//! page.family("refused_total", "Refusals by reason.", Kind::Counter).sample(&[("reason", &"expired")], 2);
//! let page = page.into_text();
//! assert!(page.ends_with("# TYPE refused_total counter\nrefused_total{reason=\"expired\"} 2\n"));
//! assert_eq!(value(&page, "requests_total"), Some(3.0));
//! ```

mod merge;
mod read;
mod write;

pub use merge::{Rule, merge};
pub use read::value;
pub use write::{Family, Kind, Page};
