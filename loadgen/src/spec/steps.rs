//! Logins of any service: a sequence of requests, and the values that are taken out of their answers.

mod table;

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use reqwest::Method;
use url::Url;

use crate::spec::login::{LoginMethod, LoginPlan};
use crate::spec::template::{Template, Variables};

pub use table::{BasicTable, ExtractTable, JsonValue, StepTable, read_steps};

/// The requests of a login and of a token.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Once for each user, before the run; may be empty.
    pub login: Vec<Step>,
    /// For each token; at least one. Afterwards the variable [`TOKEN`] is the token.
    pub token: Vec<Step>,
    /// Whether a scenario file describes the steps, so that they have names.
    pub named: bool,
}

/// The variable that is the token.
pub const TOKEN: &str = "token";

/// One request of a user, and what its answer is for.
#[derive(Clone, Debug)]
pub struct Step {
    /// The name in errors and results.
    pub name: String,
    /// The method of the request.
    pub method: Method,
    /// Where it goes; values are percent-encoded, but where one variable is all of it.
    pub url: Template,
    /// The URL as it was written, without its query, for errors: values do not show in it.
    pub shown_url: String,
    /// Beside those of the body and of HTTP Basic.
    pub headers: Vec<(String, Template)>,
    /// HTTP Basic (RFC 7617): name and password.
    pub basic: Option<(Template, Template)>,
    /// What it sends.
    pub body: BodyPlan,
    /// Redirects that are followed; the answer after them is the one that counts.
    pub redirects: u8,
    /// What a good answer is.
    pub success: Success,
    /// Time limit; `None`: that of a handshake.
    pub timeout: Option<Duration>,
    /// Longest answer.
    pub answer_bytes_max: usize,
    /// The values that are taken out of the answer, in this order.
    pub extract: Vec<Extraction>,
    /// What the user should check when the request is refused.
    pub advice: &'static str,
}

impl Step {
    /// The values from the environment, which no error may show.
    pub fn secrets(&self) -> Vec<&str> {
        let basic = self.basic.iter().flat_map(|(name, password)| [name, password]);
        let headers = self.headers.iter().map(|(_, value)| value);
        let mut templates: Vec<&Template> = basic.chain(headers).chain([&self.url]).collect();
        match &self.body {
            BodyPlan::None => {}
            BodyPlan::Form(fields) => templates.extend(fields.iter().map(|(_, value)| value)),
            BodyPlan::Json(json) => json.templates(&mut templates),
        }
        templates.into_iter().flat_map(Template::secrets).collect()
    }
}

impl JsonPlan {
    /// The value with its placeholders filled.
    pub fn fill(&self, variables: &Variables) -> serde_json::Value {
        match self {
            Self::Text(text) => text.text(variables).into(),
            Self::List(values) => values.iter().map(|value| value.fill(variables)).collect(),
            Self::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), value.fill(variables))).collect()
            }
            Self::Other(value) => value.clone(),
        }
    }

    fn templates<'t>(&'t self, all: &mut Vec<&'t Template>) {
        match self {
            Self::Text(text) => all.push(text),
            Self::List(values) => values.iter().for_each(|value| value.templates(all)),
            Self::Object(members) => members.iter().for_each(|(_, value)| value.templates(all)),
            Self::Other(_) => {}
        }
    }
}

/// What a request sends.
#[derive(Clone, Debug)]
pub enum BodyPlan {
    /// Nothing.
    None,
    /// `application/x-www-form-urlencoded`, field by field.
    Form(Vec<(String, Template)>),
    /// `application/json`.
    Json(JsonPlan),
}

/// A JSON value whose texts have placeholders.
#[derive(Clone, Debug)]
pub enum JsonPlan {
    /// A text.
    Text(Template),
    /// A list.
    List(Vec<JsonPlan>),
    /// An object, in the order of its keys.
    Object(Vec<(String, JsonPlan)>),
    /// A number or a boolean, as it is.
    Other(serde_json::Value),
}

/// What a good answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Success {
    /// One of these statuses; none named: 200 to 299.
    Status(Vec<u16>),
    /// A session: the request is not refused, perhaps redirected, and a cookie is set.
    Session,
}

/// A value that is taken out of an answer.
#[derive(Clone, Debug)]
pub struct Extraction {
    /// The variable that it becomes.
    pub name: Arc<str>,
    /// Where it stands.
    pub from: Source,
}

/// Where a value stands in an answer.
#[derive(Clone, Debug)]
pub enum Source {
    /// In the body's JSON, at this pointer (RFC 6901).
    Json(String),
    /// In the header of this name.
    Header(String),
    /// In the cookie of this name, set by the answer or by a redirect before it.
    Cookie(String),
    /// In the body's text: the first group of this pattern, or all that it matches.
    Pattern(Regex),
}

/// A token is sent in a request's head, of which servers take 8 to 64 KiB; an answer that is longer is no token.
pub const TOKEN_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest answer of a step: pages with a form are smaller.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// The steps that flags describe: a session by its cookie, then a token for it.
impl From<&LoginPlan> for Steps {
    fn from(plan: &LoginPlan) -> Self {
        let login = plan.login_url.as_ref().map(|url| Step {
            success: Success::Session,
            advice: "check the user's name and password, --login-url and --login-method",
            ..with_credentials("login", url, plan.method)
        });
        let token = Step {
            answer_bytes_max: TOKEN_ANSWER_BYTES_MAX,
            extract: vec![Extraction { name: TOKEN.into(), from: Source::Json(plan.token_json_pointer.clone()) }],
            advice: "check --token-url, and that the login gives a session for it",
            ..match login {
                Some(_) => get("token", &plan.token_url),
                None => with_credentials("token", &plan.token_url, plan.method),
            }
        };
        Self { login: login.into_iter().collect(), token: vec![token], named: false }
    }
}

fn get(name: &str, url: &Url) -> Step {
    let mut shown_url = url.clone();
    shown_url.set_query(None);
    Step {
        name: name.to_owned(),
        method: Method::GET,
        url: Template::plain(url.as_str()),
        shown_url: shown_url.to_string(),
        headers: Vec::new(),
        basic: None,
        body: BodyPlan::None,
        redirects: 0,
        success: Success::Status(Vec::new()),
        timeout: None,
        answer_bytes_max: PAGE_BYTES_MAX,
        extract: Vec::new(),
        advice: "",
    }
}

fn with_credentials(name: &str, url: &Url, method: LoginMethod) -> Step {
    let [username, password] = ["username", "password"];
    let fields = [username, password].map(|name| (name.to_owned(), Template::variable(name)));
    let step = get(name, url);
    match method {
        LoginMethod::Basic => {
            Step { basic: Some((Template::variable(username), Template::variable(password))), ..step }
        }
        LoginMethod::Form => Step { method: Method::POST, body: BodyPlan::Form(fields.to_vec()), ..step },
        LoginMethod::Json => Step {
            method: Method::POST,
            body: BodyPlan::Json(JsonPlan::Object(fields.map(|(name, value)| (name, JsonPlan::Text(value))).to_vec())),
            ..step
        },
    }
}
