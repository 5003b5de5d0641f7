//! What is published of scenario files, held to the types that read them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[allow(dead_code)] // Its `main` writes what is compared here.
#[path = "../../examples/scenario_docs.rs"]
mod docs;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn published() -> Value {
    let text = fs::read_to_string(folder("schema/scenario-1.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Whether the schema takes a file.
fn is_valid(text: &str) -> bool {
    let file: toml::Table = text.parse().unwrap();
    let file = serde_json::to_value(file).unwrap();
    jsonschema::is_valid(&published(), &file)
}

#[test]
fn the_published_schema_is_that_of_the_types() {
    let made: Value = serde_json::from_str(&docs::schema()).unwrap();
    assert!(
        published() == made,
        "run `cargo run -p gatecrash --example scenario_docs -- schema > loadgen/schema/scenario-1.json`"
    );
}

#[test]
fn the_reference_is_that_of_the_types() {
    let written = fs::read_to_string(folder("scenarios/REFERENCE.md")).unwrap();
    assert!(
        written == docs::reference(),
        "run `cargo run -p gatecrash --example scenario_docs -- reference > loadgen/scenarios/REFERENCE.md`"
    );
    let schema = published();
    let tables = [&schema, &schema["$defs"]["StepTable"], &schema["$defs"]["TargetTable"]];
    for table in tables {
        for key in table["properties"].as_object().unwrap().keys() {
            assert!(written.contains(&format!("| `{key}` |")), "{key} is not in it");
        }
    }
}

#[test]
fn every_example_is_valid_documented_and_run() {
    let readme = fs::read_to_string(folder("scenarios/README.md")).unwrap();
    let tests = ["scenarios.rs", "run/mixes.rs", "run/schedules.rs"]
        .map(|name| fs::read_to_string(folder("tests/it").join(name)).unwrap())
        .concat();
    let mut examples = 0;
    for entry in fs::read_dir(folder("scenarios")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(is_valid(&fs::read_to_string(&path).unwrap()), "{name}");
            assert!(readme.contains(&format!("({name}.toml)")), "{name} is not in README.md");
            assert!(tests.contains(name), "{name} is not run");
            examples += 1;
        }
    }
    assert!(examples >= 10, "{examples}");
}

#[test]
fn the_schema_takes_what_is_read_and_nothing_else() {
    let step = "[[token]]\nurl = \"http://h/\"\nextract.token = { json = \"\" }\n";
    for (text, valid, why) in [
        ("rate = 5", true, "a number"),
        ("rate = \"5/s\"", true, "as flags have it"),
        ("eio = 3", true, "a number"),
        ("eio = 5", false, "no such version"),
        ("hold = \"exponential:3s\"", true, "drawn"),
        ("hold = \"for ever\"", false, "no time"),
        ("timeout = 5", false, "no unit"),
        ("threshold = \"errors<1%\"", true, "one"),
        ("threshold = [\"errors<1%\"]", true, "several"),
        ("close = \"fin\"", true, "a way to leave"),
        ("close = \"slam\"", false, "none"),
        ("conections = 5", false, "a slip"),
        ("[[targets]]\nurl = \"ws://h\"\nweight = 2", true, "a target"),
        ("[[targets]]\nweight = 2", false, "nowhere"),
        (step, true, "a step"),
        (&format!("{step}json = [1, {{ a = \"b\" }}, true]"), true, "any JSON"),
        (&format!("{step}exctract = {{}}"), false, "a slip"),
        (&format!("{step}extract.a = {{ patern = \"\" }}"), false, "another"),
    ] {
        assert_eq!(is_valid(text), valid, "{text}: {why}");
        let read = toml::from_str::<gatecrash::spec::RunArgs>(text);
        assert_eq!(read.is_ok(), valid, "{text}: {why}: {read:?}");
    }
}
