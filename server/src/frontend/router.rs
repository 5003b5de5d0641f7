//! The frontend's routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_sessions::cookie::SameSite;
use tower_sessions::{Expiry, SessionManagerLayer};

use crate::frontend::login::{self, PasswordChecker};
use crate::frontend::pages::{self, Pages};
use crate::frontend::sessions::Sessions;
use crate::frontend::token::{self, Minter};
use crate::frontend::{FrontendConfig, Limits, SESSION_COOKIE, SESSION_PATH, response, session};

/// The routes of a frontend. [`serve`](crate::frontend::serve) limits the connections.
pub(super) fn router(config: FrontendConfig, limits: &Limits) -> Router {
    let passwords = Arc::new(PasswordChecker::new(config.users, limits.logins_waiting_max));
    let mut minter = Minter::new(&config.secret, config.unix_s);
    (minter.ttl, minter.issuer, minter.audience) = (config.token_ttl, config.issuer, config.audience);
    let pages = Arc::new(Pages::new(&config.gate_url, config.socketio_client, config.session_key.is_some()));
    let lookups = match config.session_key {
        Some(key) => Router::new().route(SESSION_PATH, get(session::user).with_state(Arc::new(key))),
        None => Router::new(),
    };
    // The cookie is kept until the browser closes; the store ends the session.
    let sessions = Sessions::new(limits.sessions_max, limits.session_idle_max);
    let sessions = SessionManagerLayer::new(sessions)
        .with_name(SESSION_COOKIE)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        // A browser does not send a Secure cookie back over plain HTTP.
        .with_secure(config.tls.is_some())
        .with_expiry(Expiry::OnSessionEnd);
    Router::new()
        .route("/login", get(login::login).with_state(passwords))
        .route("/logout", post(login::logout))
        .route("/private", get(pages::private).with_state(Arc::clone(&pages)))
        .route("/getIoConnectionToken", get(token::token).with_state(Arc::new(minter)))
        .merge(lookups)
        .layer(sessions)
        .route("/", get(pages::home).with_state(pages))
        .route("/healthz", get(healthz))
        .layer(middleware::from_fn_with_state(limits.request_timeout, limit_time))
        .layer(middleware::map_response(add_headers))
}

/// Serves session lookups by `router`, and answers all other requests with 404.
pub(super) fn lookups_only(router: Router) -> Router {
    router.layer(middleware::from_fn(async |request: Request, next: Next| match request.uri().path() {
        SESSION_PATH => next.run(request).await,
        _ => StatusCode::NOT_FOUND.into_response(),
    }))
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn limit_time(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => response::busy(),
    }
}

/// Adds the headers of every response: browsers must not guess content types, nor send the URL, which may have a token,
/// to other sites.
async fn add_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
