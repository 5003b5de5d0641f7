//! The result of a load test: its schema, its histograms, its files, and how it is shown.
//!
//! A run becomes a [`schema::RunResult`]; everything that is shown of it, [`render`] makes from that value alone, so
//! that `result.json` is enough to draw the report again. Nothing here knows about sockets, tokens or clocks.

pub mod files;
pub mod histogram;
pub mod hlog;
pub mod render;
pub mod schema;
pub mod store;
pub mod units;

/// The JSON Schema (draft 2020-12) of `result.json`, as it is published beside this code.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(schema::RunResult);
    let mut json = serde_json::to_string_pretty(&schema)
        .expect("a schema has string keys only, and writing to memory cannot fail");
    json.push('\n');
    json
}
