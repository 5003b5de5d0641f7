//! One step of a login: a request filled from what is known, its redirects, and what is taken out of its answer.

use reqwest::cookie::{CookieStore, Jar};
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::ground::outcome::FailureKind;
use crate::spec::{BodyPlan, Extraction, Source, Step, Success, TOKEN, USERNAME, Variables};
use crate::tokens::login::answer::{Body, is_sendable};
use crate::tokens::login::error::Broken;

/// The answer after redirects, with the cookies that it and the redirects set.
struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    cookies: Vec<(String, String)>,
    body: Body,
}

/// Takes a step for a user with these cookies, and sets the variables that it gives.
pub(super) async fn take(
    client: &Client,
    step: &Step,
    named: bool,
    cookies: &Jar,
    variables: &mut Variables,
) -> Result<(), Broken> {
    let values = taken(client, step, named, cookies, variables);
    let values = match step.timeout {
        Some(time) => tokio::time::timeout(time, values)
            .await
            .unwrap_or_else(|_| Err(Broken::new(FailureKind::Timeout, "no answer in time".to_owned()))),
        None => values.await,
    };
    for (extraction, value) in step.extract.iter().zip(values?) {
        variables.set(extraction.name.clone(), value);
    }
    Ok(())
}

/// The values that a step gives, in the order of its extractions.
async fn taken(
    client: &Client,
    step: &Step,
    named: bool,
    cookies: &Jar,
    variables: &Variables,
) -> Result<Vec<String>, Broken> {
    let answer = ask(client, step, cookies, variables).await?;
    check_answer(step, named, &answer)?;
    let values = step.extract.iter();
    values.map(|extraction| value(step, named, extraction, &answer)).collect()
}

/// Sends the request and follows as many redirects as the step allows.
async fn ask(client: &Client, step: &Step, jar: &Jar, variables: &Variables) -> Result<Answer, Broken> {
    let mut url = url(step, variables)?;
    let origin = url.origin();
    let mut method = step.method.clone();
    let mut set: Vec<(String, String)> = Vec::new();
    let mut followed = 0;
    loop {
        let is_same_origin = url.origin() == origin;
        let request = request(client, step, &method, url.clone(), is_same_origin, variables)?;
        let request = match jar.cookies(&url) {
            Some(cookies) => request.header(COOKIE, cookies),
            None => request,
        };
        let response = request.send().await?;
        let answered = response.headers().get_all(SET_COOKIE);
        set.extend(answered.iter().filter_map(named_value));
        jar.set_cookies(&mut answered.iter(), &url);
        let next = next(&response, &url).filter(|_| followed < step.redirects);
        let (status, headers) = (response.status(), response.headers().clone());
        // Read to its end, so that the connection can be used again.
        let body = Body::read(response, step.answer_bytes_max).await?;
        let Some(next) = next else {
            return Ok(Answer { status, headers, cookies: set, body: body.hiding(&secrets(step, variables)) });
        };
        method = method_after(status, method);
        if next.origin() != origin && method != Method::GET && method != Method::HEAD {
            return Err(Broken::new(
                FailureKind::Redirect,
                format!("answered {status}, which sends the step's data to another host; it is not sent there"),
            ));
        }
        url = next;
        followed += 1;
    }
}

/// Texts that no error may show: the user's variables except the name, and values from the environment.
fn secrets<'s>(step: &'s Step, variables: &'s Variables) -> Vec<&'s str> {
    let known = variables.iter().filter(|(name, _)| *name != USERNAME);
    known.map(|(_, value)| value).chain(step.secrets()).collect()
}

/// Where a redirect leads, if the answer is one (RFC 9110 section 15.4).
fn next(response: &Response, url: &Url) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let next = url.join(location).ok()?;
    matches!(next.scheme(), "http" | "https").then_some(next)
}

/// The method after a redirect, as browsers have it (Fetch, section 4.4).
fn method_after(status: StatusCode, method: Method) -> Method {
    match status.as_u16() {
        303 if method != Method::HEAD => Method::GET,
        301 | 302 if method == Method::POST => Method::GET,
        _ => method,
    }
}

fn url(step: &Step, variables: &Variables) -> Result<Url, Broken> {
    let text = if step.url.is_variable_alone() {
        step.url.text(variables)
    } else {
        step.url.fill(variables, |filled, value| {
            // As RFC 3986 has it, which knows no + for a space.
            for part in byte_serialize(value.as_bytes()) {
                filled.push_str(if part == "+" { "%20" } else { part });
            }
        })
    };
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err(Broken::new(
            FailureKind::Body,
            "its url is none, once it is filled: it must begin with http:// or https://".to_owned(),
        )),
    }
}

/// The request of a hop. Credentials go to the step's own host alone, a body with the step's own method.
fn request(
    client: &Client,
    step: &Step,
    method: &Method,
    url: Url,
    is_same_origin: bool,
    variables: &Variables,
) -> Result<RequestBuilder, Broken> {
    let mut request = client.request(method.clone(), url);
    for (name, value) in &step.headers {
        if !is_same_origin && name.eq_ignore_ascii_case(AUTHORIZATION.as_str()) {
            continue;
        }
        let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value.text(variables)))
        else {
            return Err(Broken::new(
                FailureKind::Body,
                format!("the header {name} cannot hold the value that it is filled with"),
            ));
        };
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    if let (Some((name, password)), true) = (&step.basic, is_same_origin) {
        request = request.basic_auth(name.text(variables), Some(password.text(variables)));
    }
    if *method != step.method {
        return Ok(request);
    }
    Ok(match &step.body {
        BodyPlan::None => request,
        BodyPlan::Form(fields) => {
            let filled = fields.iter().map(|(name, value)| (name, value.text(variables)));
            request.form(&filled.collect::<Vec<_>>())
        }
        BodyPlan::Json(json) => request.json(&json.fill(variables)),
    })
}

/// `name=value` of a `Set-Cookie` header (RFC 6265 section 4.1.1).
fn named_value(header: &HeaderValue) -> Option<(String, String)> {
    let pair = header.to_str().ok()?.split(';').next()?;
    let (name, value) = pair.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

/// Whether an answer fulfils the step's condition.
fn check_answer(step: &Step, named: bool, answer: &Answer) -> Result<(), Broken> {
    let status = answer.status;
    let good = match &step.success {
        Success::Status(statuses) if statuses.is_empty() => status.is_success(),
        Success::Status(statuses) => statuses.contains(&status.as_u16()),
        Success::Session => status.is_success() || status.is_redirection(),
    };
    let is_session = step.success == Success::Session;
    if good && (!is_session || !answer.cookies.is_empty()) {
        return Ok(());
    }
    let (kind, advice) = match status.as_u16() {
        429 | 503 => (
            FailureKind::Http(status.as_u16()),
            "it is overloaded or limits its callers: ask for fewer --users, or raise its limits",
        ),
        300..400 if named && step.redirects > 0 => {
            (FailureKind::Redirect, "it is one redirect more than the step's redirects allow")
        }
        300..400 if named => (
            FailureKind::Redirect,
            "set redirects = 5 to follow it, or status = [302] where it is what a good answer looks like",
        ),
        300..400 => (
            FailureKind::Redirect,
            "redirects are not followed, and it set no cookie: check the URL, the name and the password",
        ),
        200..300 if good => (
            FailureKind::Body,
            "it set no cookie, so there is no session to ask for a token with: check the user's name and password, \
             --login-url and --login-method",
        ),
        other => (FailureKind::Http(other), step.advice),
    };
    Err(Broken::new(kind, format!("answered {status} {}; {advice}", answer.body)))
}

fn value(step: &Step, named: bool, extraction: &Extraction, answer: &Answer) -> Result<String, Broken> {
    let name = &*extraction.name;
    let missing = |what: String| {
        let problem = format!("answered {} {}, without {what}", answer.status, answer.body);
        Broken::new(FailureKind::Body, problem)
    };
    let value = match &extraction.from {
        Source::Json(pointer) => {
            let wanted = if named {
                (format!("the variable {name}"), "name its place with extract")
            } else {
                ("a token".to_owned(), "name the token's place with --token-json-pointer")
            };
            let texts_alone = name == TOKEN;
            answer.body.at(pointer, texts_alone, &wanted.0, wanted.1, step.advice)?
        }
        Source::Header(header) => {
            let found = answer.headers.get(header.as_str());
            let found = found.and_then(|value| value.to_str().ok());
            found.ok_or_else(|| missing(format!("the header {header} for {name}")))?.to_owned()
        }
        Source::Cookie(cookie) => {
            let last = answer.cookies.iter().rev().find(|(set, _)| set == cookie);
            let found = last.map(|(_, value)| value.clone());
            found.ok_or_else(|| missing(format!("the cookie {cookie} for {name}")))?
        }
        Source::Pattern(pattern) => {
            let text = answer.body.text();
            let found = pattern.captures(&text);
            let found = found.and_then(|found| found.get(1).or(found.get(0)));
            found.ok_or_else(|| missing(format!("a match of the pattern for {name}")))?.as_str().to_owned()
        }
    };
    if name == TOKEN && !is_sendable(&value) {
        return Err(Broken::new(
            FailureKind::Body,
            "answered a text that is no token: it is empty, or holds characters that no header can".to_owned(),
        ));
    }
    Ok(value)
}
