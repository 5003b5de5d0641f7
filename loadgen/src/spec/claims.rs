//! Claims that are laid over those of every minted token, with placeholders for what is known of its user.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::spec::template::{Template, TemplateError, Variables};

/// A JSON object of claims. Texts in it may have placeholders: `{{username}}`, `{{COLUMN}}` of a users file, `{{env:NAME}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Vec<(String, Claim)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Claim {
    /// Without a placeholder.
    Value(Value),
    Text(Template),
    Object(Claims),
    List(Vec<Claim>),
}

impl FromStr for Claims {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let members: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| format!("{text:?} is no JSON object of claims, such as {{\"aud\":\"chat\"}}: {error}"))?;
        Self::read(members).map_err(|error| format!("in the claims {text:?}: {error}"))
    }
}

impl Claims {
    fn read(members: Map<String, Value>) -> Result<Self, TemplateError> {
        let members = members.into_iter().map(|(name, value)| Ok((name, Claim::read(value)?)));
        members.collect::<Result<_, _>>().map(Self)
    }

    /// The variables that it needs of a user.
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.0.iter().for_each(|(_, claim)| claim.name(&mut names));
        names
    }

    /// Merges these claims, filled for a user, into `claims`: a JSON merge patch (RFC 7396), in which `null` removes a claim.
    pub fn lay_over(&self, claims: &mut Value, user: &Variables) {
        if !claims.is_object() {
            *claims = Value::Object(Map::new());
        }
        let Some(members) = claims.as_object_mut() else {
            return;
        };
        for (name, claim) in &self.0 {
            match claim {
                Claim::Value(Value::Null) => drop(members.remove(name)),
                Claim::Object(inner) => {
                    inner.lay_over(members.entry(name).or_insert(Value::Null), user);
                }
                _ => drop(members.insert(name.clone(), claim.fill(user))),
            }
        }
    }
}

impl Claim {
    fn read(value: Value) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) => {
                let template = Template::parse(&text)?;
                match template.is_plain() {
                    true => Self::Value(Value::String(text)),
                    false => Self::Text(template),
                }
            }
            Value::Object(members) => Self::Object(Claims::read(members)?),
            Value::Array(items) => {
                let items = items.into_iter().map(Self::read);
                Self::List(items.collect::<Result<_, _>>()?)
            }
            value => Self::Value(value),
        })
    }

    fn name<'c>(&'c self, names: &mut Vec<&'c str>) {
        match self {
            Self::Value(_) => {}
            Self::Text(template) => names.extend(template.variables()),
            Self::Object(inner) => names.extend(inner.variables()),
            Self::List(items) => items.iter().for_each(|item| item.name(names)),
        }
    }

    fn fill(&self, user: &Variables) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Text(template) => Value::String(template.text(user)),
            Self::Object(inner) => {
                let mut filled = Value::Null;
                inner.lay_over(&mut filled, user);
                filled
            }
            Self::List(items) => items.iter().map(|item| item.fill(user)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_laid_over_others() {
        let mut user = Variables::default();
        user.set("username", "ann");
        user.set("tenant", "north");
        for (asked, expected, why) in [
            ("{}", json!({"user": {"name": "ann"}, "iat": 1}), "nothing asked"),
            (
                r#"{"aud":"chat","user":{"role":"admin"}}"#,
                json!({"user": {"name": "ann", "role": "admin"}, "iat": 1, "aud": "chat"}),
                "more of them, inside as well",
            ),
            (r#"{"user":null,"iat":null,"sub":"x"}"#, json!({"sub": "x"}), "null removes"),
            (r#"{"user":{"name":{"a":1}}}"#, json!({"user": {"name": {"a": 1}}, "iat": 1}), "another shape"),
            (
                r#"{"user":null,"sub":"{{username}}@{{tenant}}","in":["{{tenant}}",1,{"of":"{{tenant}}"}]}"#,
                json!({"iat": 1, "sub": "ann@north", "in": ["north", 1, {"of": "north"}]}),
                "what is known of the user, at any depth",
            ),
            (
                r#"{"iat":{"{{tenant}}":null}}"#,
                json!({"user": {"name": "ann"}, "iat": {}}),
                "names have no placeholders; null removes at any depth",
            ),
        ] {
            let claims: Claims = asked.parse().unwrap();
            let mut token = json!({"user": {"name": "ann"}, "iat": 1});
            claims.lay_over(&mut token, &user);
            assert_eq!(token, expected, "{why}");
        }
    }

    #[test]
    fn errors_are_named_and_variables_are_listed() {
        for (text, part) in [
            ("5", "no JSON object of claims"),
            ("{", "no JSON object of claims"),
            (r#"{"a":["{{tenant"]}"#, "{{ is not closed"),
            (r#"{"a":"{{env:GATECRASH_TEST_NOT_SET}}"}"#, "GATECRASH_TEST_NOT_SET is not set"),
        ] {
            let error = text.parse::<Claims>().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let claims: Claims = r#"{"a":"{{b}}","c":{"d":["{{e}}"]},"f":"g"}"#.parse().unwrap();
        assert_eq!(claims.variables(), ["b", "e"]);
    }
}
