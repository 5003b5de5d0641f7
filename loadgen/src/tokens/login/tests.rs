//! Logins at small test services, over real sockets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Form, Json, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::{get, post};
use tokio::io::AsyncWriteExt;
use url::Url;

use super::*;
use crate::ground::outcome::{Failure, FailureKind};
use crate::spec::{LoginMethod, LoginPlan, Secret, TOKEN_ANSWER_BYTES_MAX, TlsPlan};

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjp7fX0.c2lnbmF0dXJlLXRoYXQtbm9ib2R5LW1heS1zZWU";

/// A service with logins by each method, and token endpoints that go wrong in each way.
async fn service() -> Url {
    type Sessions = Arc<Mutex<HashMap<String, String>>>;

    fn admit(sessions: &Sessions, name: &str, password: &str) -> axum::response::Response {
        if password != format!("{name}-password") {
            let page = "Please sign in. Bearer eyJhbGciOiJIUzI1NiJ9.eyJ4Ijoxfq.c2VjcmV0";
            return (StatusCode::UNAUTHORIZED, page).into_response();
        }
        let mut sessions = sessions.lock().unwrap();
        let id = format!("s{}", sessions.len());
        sessions.insert(id.clone(), name.to_owned());
        let cookies = [("set-cookie", format!("id={id}; HttpOnly; SameSite=Lax"))];
        (cookies, Redirect::to("/private")).into_response()
    }

    fn session_of(headers: &HeaderMap) -> String {
        let cookie = headers.get("cookie").and_then(|value| value.to_str().ok()).unwrap_or("");
        cookie.strip_prefix("id=").unwrap_or("").to_owned()
    }

    let basic = |State(sessions): State<Sessions>, headers: HeaderMap| async move {
        // "ann:ann-password" and "bob:bob-password" in base64 (RFC 7617).
        match headers.get("authorization").and_then(|value| value.to_str().ok()) {
            Some("Basic YW5uOmFubi1wYXNzd29yZA==") => admit(&sessions, "ann", "ann-password"),
            Some("Basic Ym9iOmJvYi1wYXNzd29yZA==") => admit(&sessions, "bob", "bob-password"),
            _ => admit(&sessions, "", "wrong"),
        }
    };
    let form = |State(sessions): State<Sessions>, Form(form): Form<HashMap<String, String>>| async move {
        admit(&sessions, &form["username"], &form["password"])
    };
    let json = |State(sessions): State<Sessions>, Json(json): Json<HashMap<String, String>>| async move {
        admit(&sessions, &json["username"], &json["password"])
    };
    let token = |State(sessions): State<Sessions>, headers: HeaderMap| async move {
        match sessions.lock().unwrap().get(&session_of(&headers)) {
            Some(name) => Json(format!("token-of-{name}")).into_response(),
            None => (StatusCode::FORBIDDEN, "Access Denied").into_response(),
        }
    };
    let stuck = || async { std::future::pending::<()>().await };
    let app = Router::new()
        .route("/basic", get(basic))
        .route("/form", post(form))
        .route("/json", post(json))
        .route("/token", get(token))
        .route("/nested", get(|| async { Json(serde_json::json!({"data": {"token": JWT}})) }))
        .route(
            "/direct",
            post(
                |Json(json): Json<HashMap<String, String>>| async move { Json(format!("direct-{}", json["username"])) },
            ),
        )
        .route("/html", get(|| async { Html("<!doctype html>\n<title>Sign in</title>".repeat(9)) }))
        .route("/text", get(|| async { JWT }))
        .route("/spaces", get(|| async { Json("no token at all") }))
        .route("/large", get(|| async { Json("x".repeat(TOKEN_ANSWER_BYTES_MAX)) }))
        .route("/loop", get(|| async { Redirect::to("/loop") }))
        .route("/busy", get(|| async { (StatusCode::TOO_MANY_REQUESTS, "slow down") }))
        .route("/slow", get(stuck))
        .with_state(Sessions::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url.parse().unwrap()
}

fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        password: Secret::new(format!("{name}-password").into_bytes()),
        columns: Default::default(),
    }
}

fn plan(base: &Url, login: Option<&str>, method: LoginMethod, token: &str) -> LoginPlan {
    let (path, pointer) = token.split_once('#').unwrap_or((token, ""));
    LoginPlan {
        login_url: login.map(|login| base.join(login).unwrap()),
        method,
        token_url: base.join(path).unwrap(),
        token_json_pointer: pointer.to_owned(),
    }
}

fn client(plan: LoginPlan, whole: Duration) -> LoginService {
    let timeouts = Timeouts { connect: whole, whole };
    LoginService::new(Steps::from(&plan), timeouts, &TlsPlan::default()).unwrap()
}

/// Logs in and asks for a token.
async fn token_for(service: &LoginService, user: &User) -> Result<Token, LoginError> {
    let (session, _) = service.login(user).await?;
    service.token(&session).await.0
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn each_method_gives_a_token() {
    let base = service().await;
    for (login, method, token, expected, why) in [
        (Some("basic"), LoginMethod::Basic, "token", "token-of-ann", "as the frontend has it"),
        (Some("form"), LoginMethod::Form, "token", "token-of-ann", "a page's form"),
        (Some("json"), LoginMethod::Json, "token", "token-of-ann", "an interface"),
        (Some("basic"), LoginMethod::Basic, "nested#/data/token", JWT, "by its pointer"),
        (None, LoginMethod::Json, "direct", "direct-ann", "credentials for a token, no session"),
    ] {
        let service = client(plan(&base, login, method, token), LONG);
        let token = token_for(&service, &user("ann")).await.unwrap();
        assert_eq!(&*token, expected, "{why}");
    }
}

#[tokio::test]
async fn each_user_has_a_session_of_their_own() {
    let base = service().await;
    let service = client(plan(&base, Some("basic"), LoginMethod::Basic, "token"), LONG);
    let (ann, _) = service.login(&user("ann")).await.unwrap();
    let (bob, _) = service.login(&user("bob")).await.unwrap();
    for (session, expected) in [(&ann, "token-of-ann"), (&bob, "token-of-bob"), (&ann, "token-of-ann")] {
        assert_eq!(&*service.token(session).await.0.unwrap(), expected);
    }
}

#[tokio::test]
async fn failures_name_user_url_and_problem() {
    use FailureKind::{Body, Http, Redirect, Timeout};

    let base = service().await;
    let login = Phase::Login;
    let token = Phase::Token;
    for (name, login_at, token_at, whole, phase, kind, parts) in [
        (
            "eve",
            "basic",
            "token",
            LONG,
            login,
            Http(401),
            &["login of user eve at", "401 Unauthorized (text/plain: \"Please sign in. Bearer …\")", "password"][..],
        ),
        ("ann", "busy", "token", LONG, login, Http(429), &["slow down", "overloaded"]),
        ("ann", "loop", "token", LONG, login, Redirect, &["303 See Other", "no cookie"]),
        ("ann", "nowhere", "token", LONG, login, Http(404), &["404 Not Found", "--login-url"]),
        ("ann", "slow", "token", SHORT, login, Timeout, &["no answer in time"]),
        ("ann", "html", "token", LONG, login, Body, &["login of user ann at", "it set no cookie"]),
        (
            "ann",
            "basic",
            "html",
            LONG,
            token,
            Body,
            &["(text/html: \"<!doctype html> <title>Sign in</title>", "no JSON with a token"],
        ),
        ("ann", "basic", "text", LONG, token, Body, &["(text/plain: \"…\")"]),
        ("ann", "basic", "nested", LONG, token, Body, &["an object of data", "--token-json-pointer"]),
        ("ann", "basic", "nested#/data/jwt", LONG, token, Body, &["nothing at \"/data/jwt\""]),
        ("ann", "basic", "spaces", LONG, token, Body, &["no token"]),
        ("ann", "basic", "large", LONG, token, Body, &["more than 65536 bytes"]),
        ("ann", "basic", "loop", LONG, token, Redirect, &["redirects are not followed"]),
    ] {
        let plan = plan(&base, Some(login_at), LoginMethod::Basic, token_at);
        let error = token_for(&client(plan, whole), &user(name)).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.failure, Failure { phase, kind }, "{text}");
        for part in parts {
            assert!(text.contains(part), "{text:?} should hold {part:?}");
        }
        for secret in ["eyJ", "-password\"", "c2VjcmV0"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn connections_that_break_are_distinguished() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closes = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            drop(socket);
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let no_http = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _peer_gone = socket.write_all(b"220 mail ready\r\n\r\n").await;
        }
    });
    let unchecked = TlsPlan { insecure: true, ..TlsPlan::default() };
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let no_listener = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    for (url, kind) in [
        (closes.as_str(), FailureKind::Reset),
        (no_http.as_str(), FailureKind::Protocol),
        (no_listener.as_str(), FailureKind::Refused),
        ("http://no-such-host.invalid/", FailureKind::Dns),
        (no_http.replace("http", "https").as_str(), FailureKind::Tls),
    ] {
        let base = url.parse().unwrap();
        let service = plan(&base, Some("login"), LoginMethod::Basic, "token");
        let timeouts = Timeouts { connect: LONG, whole: LONG };
        let service = LoginService::new(Steps::from(&service), timeouts, &unchecked).unwrap();
        let error = service.login(&user("ann")).await.unwrap_err();
        assert_eq!(error.failure.kind, kind, "{url}: {error}");
    }
}
