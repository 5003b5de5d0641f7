//! The published schema, and results held against it.

use reports::schema::RunResult;
use reports::store::result_json;

use crate::fixture::{fixture, troubled};

const PUBLISHED: &str = include_str!("../../schema/result-1.json");

#[test]
fn the_published_schema_is_that_of_the_types() {
    assert!(
        parsed(PUBLISHED) == parsed(&reports::json_schema()),
        "run `cargo run -p reports --example schema > reports/schema/result-1.json`"
    );
}

#[test]
fn results_are_valid_and_read_back_the_same() {
    let schema = parsed(PUBLISHED);
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (result, why) in
        [(fixture().0, "a good run"), (troubled(), "a bad one"), (RunResult::default(), "nothing measured")]
    {
        let json = result_json(&result);
        let value = parsed(&json);
        let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert_eq!(errors, [""; 0], "{why}");
        assert_eq!(serde_json::from_str::<RunResult>(&json).unwrap(), result, "{why}");
    }
}

#[test]
fn paths_that_scripts_gate_on_are_there() {
    let value = serde_json::to_value(fixture().0).unwrap();
    for (pointer, why) in [
        ("/schema", "the format"),
        ("/totals/not_sent", "an outcome, although it is zero"),
        ("/rates/established_per_s", "a rate"),
        ("/phases/connect/service/p99_us", "a part of the handshake"),
        ("/phases/handshake/response/p999_us", "a composite's response"),
        ("/phases/handshake/lag/hdr", "the whole histogram"),
        ("/phases/echo/by_outcome/established/service/max_us", "by outcome"),
        ("/phases/handshake/by_token_kind/valid/count", "by token kind"),
        ("/server/cpu_us_per_handshake", "the server's cost"),
        ("/server/kernel_bytes_per_connection", "what RSS does not show"),
        ("/machine/cpu_share", "the machine"),
        ("/generator/lag_p99_us", "the generator"),
        ("/validity/valid", "whether to believe it"),
        ("/thresholds/0/observed", "a threshold"),
        ("/verdict/code", "the exit code"),
        ("/environment/fd_limit", "the machine's limits"),
    ] {
        assert!(value.pointer(pointer).is_some(), "{pointer}: {why}");
    }
}

/// Compared by value, because the order of keys depends on what else is built with this crate.
fn parsed(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap()
}
