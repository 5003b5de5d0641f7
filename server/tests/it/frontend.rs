//! The frontend over real sockets: each route's status line, headers and body as they are sent.

mod site;

use std::time::Duration;

use gatekeeper::frontend::users::{DEMO_NAME, DEMO_PASSWORD, Users};
use gatekeeper::frontend::{FrontendConfig, Limits, SESSION_COOKIE};
use gatekeeper::session_key::SessionKey;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use self::site::{Site, basic, config};
use super::servers::soon;

#[tokio::test]
async fn each_route_has_its_status_headers_and_body() {
    let site = Site::start(config(), Limits::default()).await;
    let cookie = site.login("ana", "a:na").await;
    let (visitor, ana) = ("", cookie.as_str());
    let html = "text/html; charset=utf-8";
    let text = "text/plain; charset=utf-8";
    for (request, cookie, status, headers, body, why) in [
        ("GET /", visitor, "200 OK", vec![("content-type", html)], "href=\"/login\"", "home"),
        (
            "GET /login",
            visitor,
            "401 Please sign in.",
            vec![
                ("www-authenticate", r#"Basic realm="site_login""#),
                ("content-type", text),
                ("cache-control", "no-store"),
                ("content-length", "15"),
            ],
            "Please sign in.",
            "no credentials",
        ),
        ("GET /login", ana, "401 Please sign in.", vec![], "Please sign in.", "a session is no login"),
        (
            "GET /private",
            visitor,
            "302 Found",
            vec![("location", "/login"), ("cache-control", "no-store")],
            "",
            "no session",
        ),
        (
            "GET /private",
            ana,
            "200 OK",
            vec![("content-type", html), ("cache-control", "no-store")],
            "<h1>Hello, ana</h1>",
            "the user's page",
        ),
        (
            "GET /getIoConnectionToken",
            visitor,
            "403 Forbidden",
            vec![("content-type", text), ("cache-control", "no-store"), ("content-length", "13")],
            "Access Denied",
            "no session",
        ),
        (
            "GET /getIoConnectionToken",
            ana,
            "200 OK",
            vec![("content-type", "application/json"), ("cache-control", "no-store")],
            "\"eyJ",
            "a JSON string",
        ),
        ("GET /healthz", visitor, "200 OK", vec![("content-type", text)], "ok\n", "alive"),
        ("GET /logout", ana, "405 Method Not Allowed", vec![("allow", "POST")], "", "no link ends a session"),
        ("POST /login", visitor, "405 Method Not Allowed", vec![], "", "the form is the browser's own"),
        ("GET /favicon.ico", visitor, "404 Not Found", vec![], "", "no such page"),
    ] {
        let response = site.send(request, cookie, "").await;
        assert_eq!(response.status, status, "{why}");
        let always = [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")];
        for (name, value) in headers.into_iter().chain(always) {
            assert_eq!(response.header(name), Some(value), "{why}: {name}");
        }
        assert!(response.body.contains(body), "{why}: {}", response.body);
        assert_eq!(response.header("set-cookie"), None, "{why}: no session begins here");
    }
}

#[tokio::test]
async fn a_login_gives_a_session_cookie_that_scripts_cannot_read() {
    let site = Site::start(config(), Limits::default()).await;
    let response = site.send("GET /login", "", &basic("ana", "a:na")).await;
    assert_eq!(response.status, "302 Found");
    assert_eq!(response.header("location"), Some("/private"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let cookie = response.header("set-cookie").unwrap();
    let (id, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/");
    assert_eq!(id.len(), SESSION_COOKIE.len() + "=".len() + 22, "128 bits in base64");
}

#[tokio::test]
async fn wrong_credentials_are_answered_with_a_challenge() {
    let site = Site::start(config(), Limits::default()).await;
    let twice = format!("{}{}", basic("ana", "b"), basic("ana", "a:na"));
    for (authorization, why) in [
        (basic("ana", "wrong"), "a wrong password"),
        (basic("ana", ""), "no password"),
        (basic("nobody", "a:na"), "an unknown name"),
        (basic("", ""), "nothing but a colon"),
        (basic("bob", "a:na"), "another user's password"),
        ("Authorization: Basic %%%\r\n".into(), "no base64"),
        ("Authorization: Basic\r\n".into(), "no credentials"),
        ("Authorization: Bearer YW5hOmE6bmE=\r\n".into(), "another scheme"),
        ("Authorization: Basic \u{e9}\r\n".into(), "no ASCII"),
        (twice, "the first header counts"),
    ] {
        let response = site.send("GET /login", "", &authorization).await;
        assert_eq!(response.status, "401 Please sign in.", "{why}");
        assert_eq!(response.body, "Please sign in.", "{why}");
        assert_eq!(response.header("set-cookie"), None, "{why}");
    }
}

#[tokio::test]
async fn a_token_names_its_user_and_has_the_configured_claims() {
    for (config, more, why) in [
        (config(), json!({}), "by default it never expires"),
        (
            FrontendConfig {
                token_ttl: Some(Duration::from_secs(10)),
                issuer: Some("frontend".into()),
                audience: Some("gate".into()),
                ..config()
            },
            json!({"ttl": 10, "iss": "frontend", "aud": "gate"}),
            "everything configured",
        ),
    ] {
        let site = Site::start(config, Limits::default()).await;
        let before = jsonwebtoken::get_current_timestamp();
        let mut claims = site.claims(&site.login("ana", "a:na").await).await;
        let claims = claims.as_object_mut().unwrap();
        let iat = claims.remove("iat").and_then(|iat| iat.as_u64()).unwrap();
        assert!((before..=jsonwebtoken::get_current_timestamp()).contains(&iat), "{why}");
        if let Some(exp) = claims.remove("exp") {
            claims.insert("ttl".into(), json!(exp.as_u64().unwrap() - iat));
        }
        let mut expected = more;
        expected["user"] = json!({"username": "ana"});
        assert_eq!(Value::Object(claims.clone()), expected, "{why}");
    }
}

#[tokio::test]
async fn two_users_have_separate_sessions() {
    let site = Site::start(config(), Limits::default()).await;
    let (ana, bob) = (site.login("ana", "a:na").await, site.login("bob", "bob").await);
    assert_ne!(ana, bob);
    for (cookie, name) in [(&ana, "ana"), (&bob, "bob"), (&ana, "ana")] {
        assert_eq!(site.claims(cookie).await["user"], json!({"username": name}));
    }
    let left = site.send("POST /logout", &ana, "").await;
    assert_eq!((left.status.as_str(), left.header("location")), ("303 See Other", Some("/")));
    let cookie = left.header("set-cookie").unwrap();
    assert!(cookie.contains("Max-Age=0"), "the browser drops the cookie: {cookie}");
    assert!(!site.is_logged_in(&ana).await, "and the server the session");
    assert!(site.is_logged_in(&bob).await, "of this user only");
}

#[tokio::test]
async fn a_login_changes_the_session_id() {
    let site = Site::start(config(), Limits::default()).await;
    let planted = format!("{SESSION_COOKIE}={}", "A".repeat(22));
    let response = site.send("GET /login", &planted, &basic("ana", "a:na")).await;
    let ana = response.cookie();
    assert_ne!(ana, planted, "an id that the server did not choose is not taken");
    assert!(!site.is_logged_in(&planted).await);
    let response = site.send("GET /login", &ana, &basic("bob", "bob")).await;
    let bob = response.cookie();
    assert_ne!(bob, ana, "a new user has a new id");
    assert!(!site.is_logged_in(&ana).await, "the old session has ended");
    assert_eq!(site.claims(&bob).await["user"], json!({"username": "bob"}));
}

#[tokio::test]
async fn a_session_ends_when_it_was_idle_for_too_long() {
    const IDLE_MAX: Duration = Duration::from_millis(500);
    let limits = Limits { session_idle_max: IDLE_MAX, ..Limits::default() };
    let site = Site::start(config(), limits).await;
    let cookie = site.login("ana", "a:na").await;
    // Asking keeps a session alive, so it is not asked for until it must have ended.
    tokio::time::sleep(IDLE_MAX).await;
    let page = site.send("GET /private", &cookie, "").await;
    assert_eq!((page.status.as_str(), page.header("location")), ("302 Found", Some("/login")));
    let token = site.send("GET /getIoConnectionToken", &cookie, "").await;
    assert_eq!((token.status.as_str(), token.body.as_str()), ("403 Forbidden", "Access Denied"));
}

#[tokio::test]
async fn a_login_beyond_the_session_limit_is_refused() {
    let limits = Limits { sessions_max: 2, ..Limits::default() };
    let site = Site::start(config(), limits).await;
    let (ana, bob) = (site.login("ana", "a:na").await, site.login("bob", "bob").await);
    let third = site.send("GET /login", "", &basic("ana", "a:na")).await;
    assert_eq!(third.status, "503 Service Unavailable");
    assert_eq!(third.header("retry-after"), Some("1"));
    assert_eq!(third.header("set-cookie"), None);
    assert!(site.is_logged_in(&ana).await, "existing sessions stay valid");
    site.send("POST /logout", &bob, "").await;
    site.login("ana", "a:na").await;
}

#[tokio::test]
async fn an_invalid_session_cookie_is_ignored() {
    let site = Site::start(config(), Limits::default()).await;
    for (cookie, why) in [
        (format!("{SESSION_COOKIE}={}", "A".repeat(22)), "an unknown id"),
        (format!("{SESSION_COOKIE}="), "an empty id"),
        (format!("{SESSION_COOKIE}={}", "=".repeat(2000)), "a long one"),
        ("=; ;;=\"".to_owned(), "no cookies at all"),
    ] {
        assert!(!site.is_logged_in(&cookie).await, "{why}");
    }
}

#[tokio::test]
async fn long_and_slow_heads_are_refused() {
    let site = Site::start(config(), Limits::default()).await;
    let head_bytes_max = Limits::default().head_bytes_max;
    let long = format!("X-Long: {}\r\n", "x".repeat(head_bytes_max));
    let response = site.send("GET /", "", &long).await;
    assert_eq!(response.status, "431 Request Header Fields Too Large");
    let limits = Limits { head_timeout: Duration::from_millis(50), ..Limits::default() };
    let site = Site::start(config(), limits).await;
    let mut slow = TcpStream::connect(&site.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"", "an endless head is closed without an answer");
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let site = Site::start(config(), limits).await;
    let first = site.keep_alive().await;
    let second = site.send("GET /healthz", "", "");
    let mut second = std::pin::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut second).await;
    assert!(early.is_err(), "the first still holds the only place");
    drop(first);
    assert_eq!(second.await.status, "200 OK");
}

#[tokio::test]
async fn the_shutdown_closes_idle_connections_and_returns() {
    let site = Site::start(config(), Limits::default()).await;
    let mut idle = site.keep_alive().await;
    site.shutdown.send(()).unwrap();
    site.served.await.unwrap().unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(&site.address).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn the_lookup_address_serves_session_lookups_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lookup_addr = listener.local_addr().unwrap();
    let key = SessionKey::of_secret(testkit::SECRET.as_bytes());
    let authorization = format!("Authorization: {}\r\n", key.authorization());
    let config = FrontendConfig { session_key: Some(key), lookup_listener: Some(listener), ..config() };
    let site = Site::start(config, Limits::default()).await;
    let cookie = site.login("ana", "a:na").await;
    let asked = Site { address: lookup_addr.to_string(), ..site };
    for (request, headers, status, why) in [
        ("GET /getSessionUser", &*authorization, "200 OK", "the gate"),
        ("GET /getSessionUser", "", "403 Forbidden", "somebody else"),
        ("GET /login", "", "404 Not Found", "no place to log in"),
        ("GET /healthz", "", "404 Not Found", "nothing else"),
    ] {
        let answer = asked.send(request, &cookie, headers).await;
        assert_eq!(answer.status, status, "{why}: {request}");
    }
    drop(asked.shutdown);
    soon("the end of both", asked.served).await.unwrap().unwrap();
    assert!(TcpStream::connect(lookup_addr).await.is_err(), "the lookup listener is closed");
}

#[tokio::test]
async fn the_demo_user_logs_in() {
    let demo = FrontendConfig { users: Users::demo(), ..config() };
    let site = Site::start(demo, Limits::default()).await;
    let cookie = site.login(DEMO_NAME, DEMO_PASSWORD).await;
    let user = site.claims(&cookie).await["user"].clone();
    assert_eq!(user, json!({"username": "gonzalo"}));
}
