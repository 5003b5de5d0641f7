//! Writes what is published of scenario files, each from the types that read them:
//! `cargo run -p gatecrash --example scenario_docs -- schema > loadgen/schema/scenario-1.json` and
//! `cargo run -p gatecrash --example scenario_docs -- reference > loadgen/scenarios/REFERENCE.md`.

use std::fmt::Write;

use clap::CommandFactory;
use gatecrash::cli::Cli;
use gatecrash::spec::scenario_schema;
use serde_json::{Map, Value};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("schema") => print!("{}", schema()),
        Some("reference") => print!("{}", reference()),
        _ => panic!("say schema or reference"),
    }
}

/// The JSON Schema, as it is published.
pub fn schema() -> String {
    let json = serde_json::to_string_pretty(&scenario_schema());
    json.expect("a schema has string keys only") + "\n"
}

/// Every key of a scenario file, with what it takes and what it does.
pub fn reference() -> String {
    let schema = scenario_schema();
    let mut page = String::from(INTRODUCTION);
    let properties = members(&schema, "properties");
    for heading in HEADINGS {
        let keys = keys_under(heading);
        let keys: Vec<&str> = keys.iter().map(String::as_str).filter(|key| properties.contains_key(*key)).collect();
        let _infallible = write!(page, "\n## {heading}\n\n");
        page += &table(&properties, &keys);
    }
    let definitions = members(&schema, "$defs");
    for (name, title) in TABLES {
        let properties = members(&definitions[name], "properties");
        let keys: Vec<&str> = properties.keys().map(String::as_str).collect();
        let _infallible = write!(page, "\n## {title}\n\n");
        page += &if keys.is_empty() { choices(&definitions[name]) } else { table(&properties, &keys) };
    }
    page
}

const INTRODUCTION: &str = "\
# Scenario files: every key

A scenario is a TOML file: `gatecrash run FILE.toml`. A key does what the flag of its name does (`--token-in header` is
`token-in = \"header\"`), and a flag on the command line wins over its key. An unknown key is an error that shows its
line and the most similar key. The [JSON Schema](../schema/scenario-1.json) lets editors check while you write. The files
beside this page are [examples](README.md); a test runs each of them.

Texts of steps may contain placeholders. `{{username}}` and `{{password}}` are those of the user. Further columns of a users
file are placeholders if its first line names them (`name,password,tenant` makes `{{tenant}}`). A value that a step extracts
from its response is a placeholder in the steps after it. `{{env:NAME}}` comes from the environment and is never shown.

<!-- Written by `cargo run -p gatecrash --example scenario_docs -- reference`; a test holds it to the code. -->
";

/// As `gatecrash run --help` has them.
const HEADINGS: [&str; 6] = ["Target", "Load", "Sockets", "Users", "Tokens", "Result"];

/// Keys that no flag has, and where they belong.
const FILE_ALONE: [(&str, &str); 3] = [("targets", "Target"), ("login", "Users"), ("token", "Tokens")];

/// Tables within a scenario.
const TABLES: [(&str, &str); 4] = [
    ("TargetTable", "A table of `[[targets]]`"),
    ("StepTable", "A table of `[[login]]` or `[[token]]`"),
    ("BasicTable", "`basic` of a step"),
    ("ExtractTable", "`extract.NAME` of a step: one of these"),
];

fn keys_under(heading: &str) -> Vec<String> {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("there is a run");
    let of_flags = run
        .get_arguments()
        .filter(|flag| flag.get_help_heading() == Some(heading))
        .map(|flag| flag.get_id().as_str().replace('_', "-"));
    let alone = FILE_ALONE.iter().filter(|(_, under)| *under == heading);
    of_flags.chain(alone.map(|(key, _)| (*key).to_owned())).collect()
}

fn members(schema: &Value, name: &str) -> Map<String, Value> {
    schema[name].as_object().cloned().unwrap_or_default()
}

fn table(properties: &Map<String, Value>, keys: &[&str]) -> String {
    let mut text = String::from("| key | value | what it does | default |\n|---|---|---|---|\n");
    for key in keys {
        let property = &properties[*key];
        let (does, default) = told(property);
        let value = kind(property);
        let _infallible = writeln!(text, "| `{key}` | {value} | {does} | {default} |");
    }
    text
}

/// An enumeration whose variants hold a value.
fn choices(definition: &Value) -> String {
    let mut text = String::from("| key | value | what it does |\n|---|---|---|\n");
    for choice in definition["oneOf"].as_array().into_iter().flatten() {
        let (does, _) = told(choice);
        for (key, property) in members(choice, "properties") {
            let _infallible = writeln!(text, "| `{key}` | {} | {does} |", kind(&property));
        }
    }
    text
}

/// What a description says, and the default at its end.
fn told(property: &Value) -> (String, String) {
    let text = property["description"].as_str().unwrap_or_default();
    let text = text.replace('\n', " ").replace('|', "\\|");
    match text.split_once("[default: ") {
        Some((does, default)) => {
            let (default, more) = default.split_once(']').unwrap_or((default, ""));
            (format!("{}{more}", does.trim_end()), default.to_owned())
        }
        None => (text.trim().to_owned(), String::new()),
    }
}

/// What a value is, in words.
fn kind(property: &Value) -> String {
    for of in ["enum", "oneOf", "anyOf"] {
        if let Some(choices) = property[of].as_array() {
            let mut shown: Vec<String> = Vec::new();
            for choice in choices.iter().map(choice) {
                if !shown.contains(&choice) {
                    shown.push(choice);
                }
            }
            return shown.join(" or ");
        }
    }
    if let Some(definition) = property["$ref"].as_str() {
        let name = definition.rsplit('/').next().unwrap_or_default();
        return match name {
            "JsonValue" => "any value".to_owned(),
            "BasicTable" => "a table".to_owned(),
            name => kind(&scenario_schema()["$defs"][name]),
        };
    }
    match &property["type"] {
        Value::Array(types) => {
            let kinds: Vec<String> = types.iter().map(|name| simple(name, property)).collect();
            kinds.join(" or ")
        }
        name => simple(name, property),
    }
}

fn choice(choice: &Value) -> String {
    match choice.get("const").unwrap_or(choice) {
        value @ (Value::String(_) | Value::Number(_)) => {
            format!("`{}`", value.to_string().trim_matches('"'))
        }
        _ => kind(choice),
    }
}

fn simple(name: &Value, property: &Value) -> String {
    match name.as_str() {
        Some("string") => "text".to_owned(),
        Some("integer") => "whole number".to_owned(),
        Some("number") => "number".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("array") if property["items"].get("$ref").is_some() => "tables".to_owned(),
        Some("array") => format!("a list of {}s", kind(&property["items"])),
        Some("object") => "a table".to_owned(),
        _ => String::new(),
    }
}
