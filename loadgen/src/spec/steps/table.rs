//! Steps as a scenario file has them, and their meaning: names known, variables given, patterns valid.

use std::collections::BTreeMap;

use regex::RegexBuilder;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderName};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ground::nearest::nearest;
use crate::ground::values::{InputError, Period};
use crate::spec::header::HeaderText;
use crate::spec::steps::{BodyPlan, Extraction, JsonPlan, PAGE_BYTES_MAX, Source, Step, Steps, Success, TOKEN};
use crate::spec::template::{Template, is_variable_name};
use crate::spec::text::{from_text, many_from_text};

/// A table of `[[login]]` or `[[token]]`: one request, whose texts may have placeholders such as `{{username}}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StepTable {
    /// What errors and results call it [default: `login 1`, `token 1` and so on].
    pub name: Option<String>,
    /// Where the request goes: http or https. Values are percent-encoded, but where a placeholder is all of it.
    pub url: String,
    /// GET, POST, PUT, PATCH, DELETE or HEAD [default: POST with a body, GET without].
    pub method: Option<String>,
    /// Sent with the request, as `Name: value`.
    #[serde(default, deserialize_with = "many_from_text")]
    pub header: Vec<HeaderText>,
    /// HTTP Basic (RFC 7617).
    pub basic: Option<BasicTable>,
    /// A form's fields.
    pub form: Option<BTreeMap<String, String>>,
    /// A JSON body: any value, whose texts may have placeholders.
    pub json: Option<JsonValue>,
    /// Redirects that are followed [default: 0]. The answer after them is the one that counts.
    pub redirects: Option<u8>,
    /// The statuses of a good answer [default: 200 to 299].
    #[serde(default)]
    pub status: Vec<u16>,
    /// What the step may take [default: the run's timeout].
    #[serde(default, deserialize_with = "from_text")]
    pub timeout: Option<Period>,
    /// Variables that are taken out of the answer, by name.
    #[serde(default)]
    pub extract: BTreeMap<String, ExtractTable>,
}

/// HTTP Basic's two parts, which may have placeholders.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicTable {
    /// Such as `{{username}}`.
    pub username: String,
    /// Such as `{{password}}`.
    pub password: String,
}

/// Where a variable stands in an answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExtractTable {
    /// In the body's JSON, at this pointer (RFC 6901), such as `/data/token`.
    Json(String),
    /// In the header of this name.
    Header(String),
    /// In the cookie of this name, set by this step.
    Cookie(String),
    /// In the body's text: the first group of this regular expression, or all that it matches.
    Pattern(String),
}

/// A JSON value of a scenario file. TOML has no null, and its dates are no JSON.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum JsonValue {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text, which may have placeholders.
    Text(String),
    /// A list of values.
    List(Vec<JsonValue>),
    /// An object.
    Object(BTreeMap<String, JsonValue>),
}

/// The error of a step; it never shows the text of a template, which may hold a secret.
fn step_error(table: &str, name: &str, problem: &str) -> InputError {
    InputError(format!("[[{table}]] step {name:?}: {problem}"))
}

/// A login has fewer requests than this.
const STEPS_MAX: usize = 32;
/// Browsers follow 20 (Fetch, section 4.4); more is a loop.
const REDIRECTS_MAX: u8 = 20;
/// Memory of a compiled pattern.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Reads the steps of a scenario; `columns` are what is known of each user.
pub fn read_steps(login: &[StepTable], token: &[StepTable], columns: &[String]) -> Result<Steps, InputError> {
    let mut known = columns.to_vec();
    let login = read_all("login", login, &mut known)?;
    let token = read_all("token", token, &mut known)?;
    let last = token.last().map_or("", |step| step.name.as_str());
    let gives_token = token.iter().flat_map(|step| &step.extract);
    if !gives_token.into_iter().any(|one| &*one.name == TOKEN) {
        let problem = "no [[token]] step takes the token out of an answer: name its place, as in extract = \
                       { token = { json = \"/token\" } }";
        return Err(step_error("token", last, problem));
    }
    Ok(Steps { login, token, named: true })
}

fn read_all(table: &'static str, tables: &[StepTable], known: &mut Vec<String>) -> Result<Vec<Step>, InputError> {
    let mut steps: Vec<Step> = Vec::new();
    for (place, raw) in tables.iter().enumerate() {
        let name = raw.name.clone().unwrap_or_else(|| format!("{table} {}", place + 1));
        let step = read(raw, &name, known).and_then(|step| {
            if place >= STEPS_MAX {
                Err(format!("there are more than {STEPS_MAX} steps"))
            } else if steps.iter().any(|other| other.name == name) {
                Err("another step has this name".to_owned())
            } else {
                Ok(step)
            }
        });
        let step = step.map_err(|problem| step_error(table, &name, &problem))?;
        known.extend(step.extract.iter().map(|one| one.name.to_string()));
        steps.push(step);
    }
    Ok(steps)
}

fn read(raw: &StepTable, name: &str, known: &[String]) -> Result<Step, String> {
    let template = |text: &str| template(text, known);
    let body = match (&raw.form, &raw.json) {
        (Some(_), Some(_)) => return Err("a request has one body: form or json".to_owned()),
        (Some(form), None) => BodyPlan::Form(
            form.iter().map(|(field, value)| Ok((field.clone(), template(value)?))).collect::<Result<_, String>>()?,
        ),
        (None, Some(json)) => BodyPlan::Json(json_plan(json, known)?),
        (None, None) => BodyPlan::None,
    };
    let redirects = raw.redirects.unwrap_or(0);
    if redirects > REDIRECTS_MAX {
        return Err(format!("redirects = {redirects}: at most {REDIRECTS_MAX}"));
    }
    if let Some(status) = raw.status.iter().find(|status| !(200..600).contains(*status)) {
        return Err(format!("status {status}: an answer's is 200 to 599"));
    }
    let url = template(&raw.url)?;
    let is_http = raw.url.starts_with("http://") || raw.url.starts_with("https://");
    if !is_http && !url.is_variable_alone() {
        return Err("its url must begin with http:// or https://, or be one variable such as {{next}}".to_owned());
    }
    Ok(Step {
        name: name.to_owned(),
        method: method(raw, &body)?,
        url,
        shown_url: raw.url.split('?').next().unwrap_or_default().to_owned(),
        headers: raw
            .header
            .iter()
            .map(|header| {
                // HTTP Basic and the jar write these themselves.
                let own = |other: HeaderName| header.name.eq_ignore_ascii_case(other.as_str());
                if raw.basic.is_some() && own(AUTHORIZATION) {
                    return Err("basic writes the Authorization header itself".to_owned());
                }
                if own(COOKIE) {
                    return Err("each user's own cookies write the Cookie header".to_owned());
                }
                Ok((header.name.clone(), template(&header.value)?))
            })
            .collect::<Result<_, String>>()?,
        basic: raw
            .basic
            .as_ref()
            .map(|basic| Ok::<_, String>((template(&basic.username)?, template(&basic.password)?)))
            .transpose()?,
        body,
        redirects,
        success: Success::Status(raw.status.clone()),
        timeout: raw.timeout.map(|period| period.0),
        answer_bytes_max: PAGE_BYTES_MAX,
        extract: raw.extract.iter().map(|(name, from)| extraction(name, from)).collect::<Result<_, String>>()?,
        advice: "check the step's url, what it sends, and its status",
    })
}

fn method(raw: &StepTable, body: &BodyPlan) -> Result<Method, String> {
    let has_body = !matches!(body, BodyPlan::None);
    let Some(name) = &raw.method else {
        return Ok(if has_body { Method::POST } else { Method::GET });
    };
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
    let method = known
        .into_iter()
        .find(|method| method.as_str() == name)
        .ok_or_else(|| format!("method {name:?} is none of GET, POST, PUT, PATCH, DELETE and HEAD"))?;
    if has_body && matches!(method, Method::GET | Method::HEAD) {
        return Err(format!("{method} has no body; drop form or json"));
    }
    Ok(method)
}

fn template(text: &str, known: &[String]) -> Result<Template, String> {
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    for name in template.variables() {
        if !known.iter().any(|one| one == name) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let near = match nearest(name, &known) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known there are {}", known.join(", ")),
            };
            return Err(format!("nothing before it gives the variable {name:?}; {near}"));
        }
    }
    Ok(template)
}

fn json_plan(value: &JsonValue, known: &[String]) -> Result<JsonPlan, String> {
    Ok(match value {
        JsonValue::Boolean(value) => JsonPlan::Other((*value).into()),
        JsonValue::Integer(value) => JsonPlan::Other((*value).into()),
        JsonValue::Float(value) => JsonPlan::Other((*value).into()),
        JsonValue::Text(text) => JsonPlan::Text(template(text, known)?),
        JsonValue::List(values) => {
            JsonPlan::List(values.iter().map(|value| json_plan(value, known)).collect::<Result<_, _>>()?)
        }
        JsonValue::Object(members) => JsonPlan::Object(
            members
                .iter()
                .map(|(name, value)| Ok((name.clone(), json_plan(value, known)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

fn extraction(name: &str, from: &ExtractTable) -> Result<Extraction, String> {
    if !is_variable_name(name) {
        return Err(format!("extract: a variable's name is of letters, digits, _ and -, not {name:?}"));
    }
    let from = match from {
        ExtractTable::Json(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => {
            return Err(format!(
                "extract {name}: a JSON pointer begins with /, as in /data/token (RFC 6901), not {pointer:?}"
            ));
        }
        ExtractTable::Json(pointer) => Source::Json(pointer.clone()),
        ExtractTable::Header(header) if HeaderName::from_bytes(header.as_bytes()).is_err() => {
            return Err(format!("extract {name}: {header:?} is no header's name"));
        }
        ExtractTable::Header(header) => Source::Header(header.clone()),
        ExtractTable::Cookie(cookie) => Source::Cookie(cookie.clone()),
        ExtractTable::Pattern(pattern) => Source::Pattern(
            RegexBuilder::new(pattern)
                .size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_err(|error| format!("extract {name}: {error}"))?,
        ),
    };
    Ok(Extraction { name: name.into(), from })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Steps, String> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            login: Vec<StepTable>,
            #[serde(default)]
            token: Vec<StepTable>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let columns = ["username", "password", "tenant"].map(str::to_owned);
        read_steps(&file.login, &file.token, &columns).map_err(|error| error.to_string())
    }

    /// A `[[token]]` step of these further lines.
    fn step(lines: &str) -> String {
        format!("[[token]]\nurl = \"http://h/token\"\nextract.token = {{ json = \"\" }}\n{lines}")
    }

    #[test]
    fn steps_are_read_with_their_defaults() {
        let steps = read(
            r#"
            [[login]]
            url = "http://h/login?next=%2F"
            extract.csrf = { pattern = 'value="(\w+)"' }
            [[login]]
            name = "sign in"
            url = "http://h/login"
            form = { user = "{{username}}", csrf = "{{csrf}}" }
            status = [302]
            [[token]]
            url = "http://h/{{tenant}}/token"
            basic = { username = "{{username}}", password = "{{password}}" }
            extract.token = { json = "/data/token" }
            "#,
        )
        .unwrap();
        let names: Vec<&str> = steps.login.iter().chain(&steps.token).map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["login 1", "sign in", "token 1"]);
        let methods: Vec<&Method> = steps.login.iter().map(|one| &one.method).collect();
        assert_eq!(methods, [Method::GET, Method::POST]);
        assert_eq!(steps.login[0].shown_url, "http://h/login", "a query may hold a key");
        assert_eq!(steps.login[1].success, Success::Status(vec![302]));
        assert!(steps.token[0].basic.is_some() && steps.named);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, part, why) in [
            (step("form = { a = \"{{usrname}}\" }"), "did you mean \"username\"?", "a typing error"),
            (step("form = { a = \"{{csrf}}\" }"), "known there are username, password, tenant", "from nowhere"),
            (step("form = { a = \"{{token}}\" }"), "known there are", "its own answer comes later"),
            (step("form = { a = \"{{username\" }"), "is not closed", "half a placeholder"),
            (step("form = {}\njson = {}"), "one body", "two bodies"),
            (step("method = \"GET\"\njson = {}"), "GET has no body", "nowhere to put it"),
            (step("method = \"FETCH\""), "none of GET", "no method"),
            (step("redirects = 99"), "at most 20", "a loop"),
            (step("status = [99]"), "200 to 599", "no answer"),
            (step("basic = { username = \"ann\" }"), "missing field `password`", "no password"),
            (step("header = [\"Cookie: a=b\"]"), "own cookies", "the jar's"),
            (step("extract.a = { json = \"a\" }"), "begins with /", "no pointer"),
            (step("extract.a = { pattern = \"(\" }"), "extract a: regex", "no pattern"),
            (step("extract.a = { patern = \"x\" }"), "unknown variant `patern`", "a typing error"),
            (step("extract.\"a b\" = { json = \"\" }"), "letters, digits", "no name"),
            (step("headers = []"), "unknown field `headers`", "another key"),
            ("[[token]]\nurl = \"http://h/\"".to_owned(), "takes the token out", "no token"),
            ("[[login]]\nurl = \"http://h/\"".to_owned(), "no [[token]] step", "no token step"),
            (
                "[[token]]\nurl = \"h/token\"\nextract.token = { json = \"\" }".to_owned(),
                "must begin with http://",
                "no URL",
            ),
        ] {
            let error = read(&text).map(|_| ()).unwrap_err();
            assert!(error.contains(part), "{why}: {error}");
        }
    }
}
