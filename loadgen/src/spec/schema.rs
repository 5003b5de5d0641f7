//! The JSON Schema of scenario files, made from the types that read them, for editors that check while one writes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde_json::Value;

use crate::ground::expression::Expression;
use crate::ground::values::{PerSecond, Period};
use crate::plan::hold::Hold;
use crate::plan::mix::{Expectation, Weights};
use crate::plan::stages::Stage;
use crate::spec::args::RunArgs;
use crate::spec::claims::Claims;
use crate::spec::header::HeaderText;
use crate::spec::protocol::{EngineIo, TokenIn};
use crate::spec::secret::SecretSource;
use crate::spec::source_ips::SourceIps;
use crate::spec::users::UserText;
use crate::spec::values::{ArrivalsText, Refresh, TokenSourceName};

/// The JSON Schema (draft 2020-12) of a scenario file, as it is published beside this code.
pub fn scenario_schema() -> Value {
    let mut schema = schema_for!(RunArgs).to_value();
    schema["title"] = "A scenario of gatecrash".into();
    as_toml(&mut schema);
    schema
}

/// Adapts the schema to TOML, which has no null; where a flag may be repeated, one value needs no list.
fn as_toml(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Array(values)) = members.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    members["type"] = only.clone();
                }
            }
            for one_of in ["anyOf", "oneOf"] {
                let Some(Value::Array(choices)) = members.get_mut(one_of) else {
                    continue;
                };
                choices.retain(|choice| choice.get("type") != Some(&"null".into()));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    members.remove(one_of);
                    members.extend(only);
                }
            }
            // The descriptions name the defaults.
            members.remove("default");
            members.values_mut().for_each(as_toml);
            let is_list = members.get("type") == Some(&"array".into());
            let item = members.get("items").cloned();
            if let Some(item) = item.filter(|item| is_list && accepts_text(item)) {
                let list = Value::from_iter([("type", "array".into()), ("items", item.clone())]);
                members.remove("type");
                members.remove("items");
                members.insert("anyOf".to_owned(), Value::Array(vec![item, list]));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(as_toml),
        _ => {}
    }
}

fn accepts_text(schema: &Value) -> bool {
    schema.get("type") == Some(&"string".into())
}

/// Schemas of values that are written as text, as their flags take them.
macro_rules! text_schemas {
    ($($type:ty: $schema:tt;)*) => {
        $(impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

text_schemas! {
    Period: {"type": "string", "pattern": r"^([0-9.]+(us|ms|s|m|h))+$"};
    Hold: {
        "type": "string",
        "pattern": r"^(end|([0-9.]+(us|ms|s|m|h))+|uniform:.+\.\..+|exponential:.+|log-normal:.+,.+)$"
    };
    PerSecond: {"type": ["number", "string"], "pattern": r"^[0-9.]+(e[0-9]+)? ?(/s)?$"};
    EngineIo: {"enum": [3, 4, "3", "4"]};
    Stage: {"type": "string", "pattern": r"^[^:]+:.+$"};
    ArrivalsText: {"type": "string"};
    HeaderText: {"type": "string", "pattern": r"^[A-Za-z0-9._-]+:"};
    SourceIps: {"type": "string"};
    UserText: {"type": "string", "pattern": r"^[^:]+:.+$"};
    Refresh: {"type": "string", "pattern": r"^(never|on-refusal|ahead:.+)$"};
    TokenSourceName: {"type": "string", "pattern": r"^(login|mint|file:.+)$"};
    SecretSource: {"type": "string"};
    Claims: {"type": "string"};
    Weights: {"type": "string", "pattern": r"^[a-z-]+ *= *[0-9.]+( *, *[a-z-]+ *= *[0-9.]+)*$"};
    Expectation: {"type": "string", "pattern": r"^[a-z-]+ *= *(accept|refuse)$"};
    TokenIn: {"type": "string", "pattern": r"^(header|subprotocol|(query|cookie|auth)(:[A-Za-z0-9._-]+)?)$"};
    Expression: {"type": "string"};
}
