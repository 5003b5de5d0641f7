//! Texts with placeholders: `{{name}}` for a variable that is filled at use, `{{env:NAME}}` for a secret that a file
//! should not hold.

use std::fmt;
use std::sync::Arc;

/// Text in which variables are filled. It may hold secrets: `Debug` hides it and nothing displays it.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A value from the environment.
    Secret(String),
    Variable(String),
}

/// What is wrong with a template; never its text, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without its `}}`.
    #[error("{{{{ is not closed by }}}}")]
    Open,
    /// Between the braces stands no name.
    #[error("between {{{{ and }}}} stands a variable's name, of letters, digits, _ and -, or env:NAME")]
    Name,
    /// An environment variable is not set.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
}

impl Template {
    /// Reads a text with placeholders; those of `env:` are filled at once.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, behind) = after.split_once("}}").ok_or(TemplateError::Open)?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(placeholder(name.trim())?);
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// A text without placeholders.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { pieces: vec![Piece::Text(text.into())] }
    }

    /// The variable of this name, by itself.
    pub fn variable(name: &str) -> Self {
        Self { pieces: vec![Piece::Variable(name.to_owned())] }
    }

    /// The variables that it needs.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name.as_str()),
            Piece::Text(_) | Piece::Secret(_) => None,
        })
    }

    /// The values from the environment in it.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Secret(text) => Some(text.as_str()),
            Piece::Text(_) | Piece::Variable(_) => None,
        })
    }

    /// Whether it has no placeholder.
    pub fn is_plain(&self) -> bool {
        let is_text = |piece: &Piece| matches!(piece, Piece::Text(_));
        self.pieces.iter().all(is_text)
    }

    /// Whether it is one variable and nothing else.
    pub fn is_variable_alone(&self) -> bool {
        matches!(self.pieces.as_slice(), [Piece::Variable(_)])
    }

    /// The text with its placeholders filled; `write` appends each value. An unknown variable is empty: the steps were
    /// checked for those.
    pub fn fill(&self, variables: &Variables, write: impl Fn(&mut String, &str)) -> String {
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) | Piece::Secret(text) => filled.push_str(text),
                Piece::Variable(name) => write(&mut filled, variables.get(name).unwrap_or("")),
            }
        }
        filled
    }

    /// As [`Self::fill`], with values unchanged.
    pub fn text(&self, variables: &Variables) -> String {
        self.fill(variables, |filled, value| filled.push_str(value))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Template(..)")
    }
}

fn placeholder(name: &str) -> Result<Piece, TemplateError> {
    if let Some(name) = name.strip_prefix("env:") {
        return std::env::var(name).map(Piece::Secret).map_err(|_| TemplateError::NotSet(name.to_owned()));
    }
    if !is_variable_name(name) {
        return Err(TemplateError::Name);
    }
    Ok(Piece::Variable(name.to_owned()))
}

/// Letters, digits, `_` and `-`, at least one.
pub fn is_variable_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

/// Values by name. `Debug` hides them: passwords are among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(Vec<(Arc<str>, String)>);

impl Variables {
    /// Sets a value, in place of an earlier one of that name.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<String>) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name, value.into())),
        }
    }

    /// The names, in the order of their setting.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_str()))
    }

    /// A value, if it is known.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| &**known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholders_are_filled_and_errors_named() {
        let mut variables = Variables::default();
        variables.set("user", "ann");
        variables.set("csrf", "{{user}}");
        for (text, expected, why) in [
            ("plain", Ok("plain"), "no placeholder"),
            ("{{user}}", Ok("ann"), "a placeholder alone"),
            ("a {{ user }} b", Ok("a ann b"), "spaces within"),
            ("{{user}}{{user}}", Ok("annann"), "two"),
            ("{{csrf}}", Ok("{{user}}"), "a value is not read again"),
            ("{ \"a\": {} }", Ok("{ \"a\": {} }"), "single braces are JSON's"),
            ("{{user", Err(TemplateError::Open), "not closed"),
            ("{{}}", Err(TemplateError::Name), "no name"),
            ("{{a b}}", Err(TemplateError::Name), "no name either"),
            (
                "{{env:GATECRASH_TEST_NOT_SET}}",
                Err(TemplateError::NotSet("GATECRASH_TEST_NOT_SET".into())),
                "the environment lacks it",
            ),
        ] {
            let filled = Template::parse(text).map(|template| template.text(&variables));
            assert_eq!(filled, expected.map(str::to_owned), "{why}");
        }
    }

    #[test]
    fn debug_shows_neither_text_nor_values() {
        let template = Template::parse("hunter2 {{x}}").unwrap();
        let mut variables = Variables::default();
        variables.set("x", "hunter2");
        let shown = format!("{template:?} {variables:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "([a-z{} :]|ä|\\{\\{|\\}\\}){0,40}") {
            if let Ok(template) = Template::parse(&text) {
                let names: Vec<&str> = template.variables().collect();
                prop_assert!(names.iter().all(|name| is_variable_name(name)));
            }
        }
    }
}
