//! Logins that a scenario describes step by step, against services that each want something else of their users.

use axum::Router;
use axum::extract::{Form, Json, Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gatecrash::ground::outcome::Outcome;
use reports::schema::Phase;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::net::TcpListener;

use super::program::{Ended, run};
use super::services::{LocalServer, token};

type Fields = BTreeMap<String, String>;

/// A service of many doors; users are let in by `NAME-password`.
pub async fn service() -> SocketAddr {
    let app = Router::new()
        .route("/form", get(form_page).post(form_login))
        .route("/home", get(home))
        .route("/session-token", get(session_token))
        .route("/api/login", post(json_login))
        .route("/api/{tenant}/ticket", post(ticket))
        .route("/oauth/token", post(client_credentials))
        .route("/away", get(|query: Query<Fields>| async move { Redirect::to(&query["to"]) }))
        .route("/post-away", post(|query: Query<Fields>| async move { Redirect::temporary(&query["to"]) }))
        .route("/seen", get(seen))
        .route("/status/{status}", get(|Path(status): Path<u16>| async move { StatusCode::from_u16(status).unwrap() }))
        .route("/repeat", post(|body: String| async move { (StatusCode::FORBIDDEN, body) }))
        .route("/large", get(|| async { "x".repeat(2_000_000) }))
        .route("/loop", get(|| async { Redirect::to("/loop") }))
        .route("/slow", get(std::future::pending::<()>));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get("cookie")?.to_str().ok()?;
    all.split("; ").find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// A page whose form holds a number that the login wants back, with the cookie that it belongs to.
async fn form_page() -> Response {
    let page = "<form><input type=\"hidden\" name=\"csrf\" value=\"n-42\"></form>";
    ([("set-cookie", "visit=v-42; Path=/")], Html(page)).into_response()
}

async fn form_login(headers: HeaderMap, Form(fields): Form<Fields>) -> Response {
    let is_ours = cookie(&headers, "visit") == Some("v-42") && fields["csrf"] == "n-42";
    let name = &fields["user"];
    if !is_ours || fields["pass"] != format!("{name}-password") {
        // As many services do: the form again, and no word of it in the status.
        return form_page().await;
    }
    let cookies = [("set-cookie", format!("session={name}; HttpOnly; Path=/"))];
    (cookies, Redirect::to("/home")).into_response()
}

async fn home(headers: HeaderMap) -> Response {
    match cookie(&headers, "session") {
        Some(name) => Html(format!("<p>Hello {name}</p>")).into_response(),
        None => Redirect::to("/form").into_response(),
    }
}

async fn session_token(headers: HeaderMap) -> Response {
    match cookie(&headers, "session") {
        Some(name) => Json(json!({"data": {"token": token(name)}})).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// Answers with the user's number in JSON and a ticket in a header.
async fn json_login(Json(asked): Json<Value>) -> Response {
    let name = asked["credentials"]["name"].as_str().unwrap();
    let tenant = asked["tenants"][0].as_str().unwrap();
    if asked["credentials"]["password"] != format!("{name}-password") || asked["remember"] != true {
        return (StatusCode::UNAUTHORIZED, "who is that?").into_response();
    }
    let ticket = [("x-ticket", format!("{name} of {tenant}"))];
    (ticket, Json(json!({"user": {"id": 7}}))).into_response()
}

async fn ticket(Path(tenant): Path<String>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    let ticket = headers["x-ticket"].to_str().unwrap();
    let name = ticket.strip_suffix(&format!(" of {tenant}")).unwrap();
    assert_eq!(asked["id"], "7", "a number, carried as text");
    let cookies = [("set-cookie", format!("jwt={}; HttpOnly", token(name)))];
    (cookies, StatusCode::NO_CONTENT).into_response()
}

/// RFC 6749 section 4.4.
async fn client_credentials(headers: HeaderMap, Form(fields): Form<Fields>) -> Response {
    let basic = headers["authorization"].to_str().unwrap();
    // chat-service:hunter2-of-the-client
    if basic != "Basic Y2hhdC1zZXJ2aWNlOmh1bnRlcjItb2YtdGhlLWNsaWVudA==" {
        let error = json!({"error": "invalid_client"});
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    }
    assert_eq!(fields["grant_type"], "client_credentials");
    let access = json!({"access_token": token("chat-service"), "token_type": "Bearer", "expires_in": 60});
    Json(access).into_response()
}

/// What of a user's secrets came along.
async fn seen(headers: HeaderMap) -> Response {
    let came = ["authorization", "x-own"].map(|name| headers.contains_key(name));
    Json(json!({"authorization": came[0], "own": came[1]})).into_response()
}

/// A run of 20 arrivals with users ann and bob, against our gate.
async fn logs_in(service: SocketAddr, steps: &str, flags: &str) -> Ended {
    let gate = LocalServer::start(&[]).await;
    let settings = format!("target = \"http://{}\"\nhold = \"0s\"\n", gate.gate);
    let steps = steps.replace("SERVICE", &format!("http://{service}"));
    let asked = "-c 20 --concurrency 4 --user ann:ann-password --user bob:bob-password";
    run(&format!("{asked} {flags}"))
        .scenario(&format!("{settings}{steps}"))
        .env("CLIENT_SECRET", "hunter2-of-the-client")
        .end()
        .await
}

#[tokio::test]
async fn form_login_sends_hidden_field_and_follows_redirect() {
    let steps = r#"
        [[login]]
        name = "form"
        url = "SERVICE/form"
        extract.csrf = { pattern = 'name="csrf" value="([^"]+)"' }
        [[login]]
        name = "sign in"
        url = "SERVICE/form"
        form = { user = "{{username}}", pass = "{{password}}", csrf = "{{csrf}}" }
        redirects = 1
        extract.greeting = { pattern = "Hello \\w+" }
        [[token]]
        url = "SERVICE/session-token"
        extract.token = { json = "/data/token" }
    "#;
    let service = service().await;
    let ended = logs_in(service, steps, "").await;
    ended.exits_with(0, "each user has cookies of their own");
    let result = ended.counts(&[(Outcome::Established, 20)], "form");
    assert_eq!(result.phases[&Phase::Login.into()].established.count, 2);
    let counts: Vec<_> = result.steps.iter().map(|step| (step.name.as_str(), step.count)).collect();
    // One token on trial, before the run.
    assert_eq!(counts, [("form", 2), ("sign in", 2), ("token 1", 21)]);
    let asked: Vec<&str> = result.scenario.steps.iter().map(|step| step.method.as_str()).collect();
    assert_eq!(asked, ["GET", "POST", "GET"]);

    let wrong = steps.replace("{{password}}", "wrong-{{password}}");
    let ended = logs_in(service, &wrong, "-q").await;
    ended.exits_with(104, "a wrong password");
    let said = "login step \"sign in\" of user";
    assert!(ended.stderr.contains(said), "the page came again: {}", ended.stderr);
    assert!(ended.stderr.contains("without a match of the pattern for greeting"), "{}", ended.stderr);
}

#[tokio::test]
async fn json_login_uses_headers_cookies_and_user_columns() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.csv");
    let lines = "name,password,tenant\nann,ann-password,acme\nbob,bob-password,b&b\n";
    std::fs::write(&users, lines).unwrap();
    let steps = r#"
        [[login]]
        url = "SERVICE/api/login"
        json = { credentials = { name = "{{username}}", password = "{{password}}" }, tenants = ["{{tenant}}"], remember = true }
        extract = { ticket = { header = "X-Ticket" }, id = { json = "/user/id" } }
        [[token]]
        url = "SERVICE/api/{{tenant}}/ticket"
        header = ["X-Ticket: {{ticket}}"]
        json = { id = "{{id}}" }
        extract.token = { cookie = "jwt" }
    "#;
    let (service, gate) = (service().await, LocalServer::start(&[]).await);
    for per in ["connection", "user"] {
        let steps = steps.replace("SERVICE", &format!("http://{service}"));
        let settings = format!("target = \"http://{}\"\nhold = \"0s\"\n", gate.gate);
        let ended = run(&format!("-c 20 --concurrency 4 --token-per {per}"))
            .scenario(&format!("{settings}{steps}"))
            .flag("--users", &users)
            .end()
            .await;
        ended.exits_with(0, per);
        ended.counts(&[(Outcome::Established, 20)], per);
    }
}

#[tokio::test]
async fn client_credentials_grant_gives_tokens() {
    let steps = r#"
        [[token]]
        name = "grant"
        url = "SERVICE/oauth/token"
        basic = { username = "chat-service", password = "{{env:CLIENT_SECRET}}" }
        form = { grant_type = "client_credentials", scope = "chat" }
        extract.token = { json = "/access_token" }
    "#;
    let service = service().await;
    let ended = logs_in(service, steps, "").await;
    ended.exits_with(0, "client credentials");
    ended.counts(&[(Outcome::Established, 20)], "client credentials");
    let wrong = steps.replace("chat-service", "chat-servant");
    let ended = logs_in(service, &wrong, "-q").await;
    ended.exits_with(104, "another client");
    let said = format!(
        "gatecrash: token step \"grant\" of user ann at http://{service}/oauth/token: answered 401 Unauthorized \
         (application/json: \"{{\\\"error\\\":\\\"invalid_client\\\"}}\"); check the step's url, what it sends, and its status\n"
    );
    assert_eq!(ended.stderr, said);
}

#[tokio::test]
async fn each_fault_names_its_step_and_shows_no_secret() {
    let service = service().await;
    let elsewhere = self::service().await;
    let away = format!("SERVICE/away?to=http://{elsewhere}/seen");
    for (url, lines, part, why) in [
        ("SERVICE/status/401", "", "answered 401 Unauthorized", "no session"),
        ("SERVICE/status/403", "", "answered 403 Forbidden", "not allowed"),
        ("SERVICE/status/429", "", "limits its callers", "too many"),
        ("SERVICE/status/204", "status = [200]", "answered 204 No Content", "another status"),
        ("SERVICE/away?to=/seen", "", "set redirects = 5 to follow it", "not followed"),
        ("SERVICE/loop", "redirects = 3", "one redirect more than", "in a circle"),
        ("SERVICE/large", "", "more than 1048576 bytes", "endless"),
        ("SERVICE/slow", "timeout = \"100ms\"", "no answer in time", "never"),
        ("SERVICE/seen", "extract.a = { json = \"/b\" }", "nothing at \"/b\"", "not in the JSON"),
        ("SERVICE/seen", "extract.a = { header = \"X-A\" }", "without the header X-A for a", "no header"),
        ("SERVICE/seen", "extract.a = { cookie = \"c\" }", "without the cookie c for a", "no cookie"),
        ("SERVICE/form", "extract.a = { json = \"\" }", "no JSON with the variable a", "a page"),
        ("SERVICE/repeat", "form = { a = \"{{password}}\" }", "(text/plain: \"a=…\")", "what it repeats is hidden"),
        (
            "SERVICE/repeat",
            "json = [\"{{env:CLIENT_SECRET}}\"]",
            "(text/plain: \"[\\\"…\\\"]\")",
            "so is the environment",
        ),
        (
            &away,
            "redirects = 1\nextract.token = { json = \"\" }\nheader = [\"Authorization: x\", \"X-Own: y\"]",
            "an object of authorization, own",
            "reached, and its answer is no text",
        ),
    ] {
        let steps = format!(
            "[[login]]\nurl = \"SERVICE/form\"\n[[token]]\nname = \"at fault\"\nurl = \"{url}\"\n{lines}\n\
             [[token]]\nurl = \"SERVICE/session-token\"\nextract.token = {{ json = \"\" }}\n"
        );
        let ended = logs_in(service, &steps, "-q").await;
        ended.exits_with(104, why);
        let said = &ended.stderr;
        assert!(said.contains("token step \"at fault\" of user ann at"), "{why}: {said}");
        assert!(said.contains(part), "{why}: {said}");
        assert!(!said.contains("ann-password") && !said.contains("hunter2"), "{why}: {said}");
    }
}

#[tokio::test]
async fn credentials_are_not_sent_to_another_host() {
    let (service, elsewhere) = (service().await, self::service().await);
    for (to, sent, why) in
        [("/seen".to_owned(), "true", "the same host"), (format!("http://{elsewhere}/seen"), "false", "another one")]
    {
        let steps = format!(
            "[[login]]\nurl = \"SERVICE/away?to={to}\"\nredirects = 1\nheader = [\"X-Own: y\"]\n\
             basic = {{ username = \"a\", password = \"b\" }}\n\
             extract.sent = {{ pattern = '\"authorization\":{sent},\"own\":true' }}\n\
             [[token]]\nurl = \"SERVICE/oauth/token\"\nform.grant_type = \"client_credentials\"\n\
             basic = {{ username = \"chat-service\", password = \"{{{{env:CLIENT_SECRET}}}}\" }}\n\
             extract.token = {{ json = \"/access_token\" }}\n"
        );
        logs_in(service, &steps, "").await.exits_with(0, why);
    }
    // Nor is what a step says sent on to another host.
    let steps = format!(
        "[[token]]\nurl = \"SERVICE/post-away?to=http://{elsewhere}/repeat\"\nredirects = 1\n\
         form = {{ a = \"{{{{password}}}}\" }}\nextract.token = {{ json = \"\" }}\n"
    );
    let ended = logs_in(service, &steps, "-q").await;
    assert!(ended.stderr.contains("it is not sent there"), "{}", ended.stderr);
}

#[tokio::test]
async fn contradicting_steps_are_errors_before_any_request() {
    let service = service().await;
    for (steps, flags, part, why) in [
        (
            "[[token]]\nurl = \"SERVICE/x\"\nextract.token = { json = \"/{{a}}\" }\nform = { a = \"{{usernam}}\" }",
            "",
            "[[token]] step \"token 1\": nothing before it gives the variable \"usernam\"; did you mean \"username\"?",
            "a slip",
        ),
        (
            "[[token]]\nurl = \"SERVICE/x\"\nexctract = {}",
            "",
            "unknown key `exctract`; did you mean `extract`?",
            "another",
        ),
        (
            "login-url = \"SERVICE/a\"\n[[token]]\nurl = \"SERVICE/x\"\nextract.token = { json = \"\" }",
            "",
            "by URLs or by steps, not both",
            "two logins",
        ),
        (
            "[[token]]\nurl = \"SERVICE/x\"\nextract.token = { json = \"\" }",
            "--token-source mint --secret x",
            "[[token]]: only --token-source login",
            "no login at all",
        ),
        (
            "[[token]]\nurl = \"SERVICE/x\"\nform = { a = \"{{env:GATECRASH_NOT_SET}}\" }\nextract.token = { json = \"\" }",
            "",
            "the environment variable GATECRASH_NOT_SET is not set",
            "no secret",
        ),
    ] {
        let ended = logs_in(service, steps, &format!("-q {flags}")).await;
        assert!(ended.stderr.contains(part), "{why}: {}", ended.stderr);
    }
}
