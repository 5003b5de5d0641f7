//! The result of a load test: its schema, its histograms, its files, and how it is shown.
//!
//! A run becomes a [`schema::RunResult`]; everything that is shown of it, `render` makes from that value alone, so
//! that `result.json` is enough to draw the report again. Nothing here knows about sockets, tokens or clocks.

pub mod schema;

pub mod histogram;

pub mod hlog;

pub mod units;
