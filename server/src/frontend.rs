//! The web frontend: a user logs in, and the page that opens the socket asks it for a token.
//!
//! ```text
//! GET  /                       a home page with a link to log in
//! GET  /login                  HTTP Basic; right: a session cookie and 302 to /private; else 401
//! GET  /private                the page that opens the socket; without a session 302 to /login
//! GET  /getIoConnectionToken   the token as a JSON string; without a session 403
//! GET  /getSessionUser         where sessions let sockets in: {"username":...} or null, to the gate alone; else 403
//! POST /logout                 ends the session, 303 to /
//! GET  /healthz                200 while it serves
//! ```
//!
//! No route reads a body. Nothing here knows about the gate but its URL: a token is all they share, or the key by which
//! the gate asks.

mod login;
mod pages;
mod serve;
mod session;
mod sessions;
mod token;
pub mod users;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tower_sessions::cookie::SameSite;
use tower_sessions::{Expiry, SessionManagerLayer};

use self::login::Doorman;
use self::pages::Pages;
use self::sessions::Sessions;
use self::token::Minter;
use self::users::Users;
use crate::session_key::{SESSION_PATH, SessionKey};

pub use self::serve::{serve, serve_within};
pub use crate::session_key::SESSION_COOKIE;

/// What a frontend is made of.
pub struct FrontendConfig {
    /// Who may log in.
    pub users: Users,
    /// The HS256 secret that tokens are signed with; the gate's verifier has the same.
    pub secret: Vec<u8>,
    /// How long a token is valid; `None`: it never expires.
    pub token_ttl: Option<Duration>,
    /// Where browsers find the gate: `http://` or `https://`, host and port, such as
    /// `http://127.0.0.1:3000`. With anything else the page says that it is disconnected.
    pub gate_url: String,
    /// Does the gate serve the Socket.IO client at `/socket.io/socket.io.js`? The page uses it then, and
    /// speaks the protocol by itself otherwise.
    pub socketio_client: bool,
    /// The `iss` of every token.
    pub issuer: Option<String>,
    /// The `aud` of every token.
    pub audience: Option<String>,
    /// By what the gate may ask whose a session is, where sessions let sockets in. The page shows no token then.
    pub session_key: Option<SessionKey>,
    /// TLS from the first byte on, if any.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Where the gate may ask whose a session is without TLS, and nothing else is answered.
    pub asked_at: Option<TcpListener>,
}

/// Where a frontend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// For browsers.
    pub addr: SocketAddr,
    /// For the gate of the same server that asks whose a session is, without TLS.
    pub asked_at: SocketAddr,
}

/// What a frontend spends at most on those who come; each default has its reason.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions held at once. 100,000, about 50 MB: beyond any list of users to load a gate with.
    pub sessions_max: usize,
    /// How long a session lives without being used. An hour: a page that is open asks for a token at
    /// each reconnect, and a load test fetches tokens all along.
    pub session_idle_max: Duration,
    /// Logins that wait for a core to hash on. 256: at 20 ms each the last one waits some seconds, less
    /// than the time for a request.
    pub logins_waiting_max: usize,
    /// Open connections; further ones wait in the listener's queue. 8,192: a descriptor and some tens
    /// of KiB each.
    pub connections_max: usize,
    /// The bytes of a request's head; a longer one is answered with 431. 16 KiB, as other servers have.
    pub head_bytes_max: usize,
    /// The time for a head to arrive, and how long a connection may stay idle between requests. 30 s.
    pub head_timeout: Duration,
    /// The time for an answer, 503 after it. 15 s: only a login can take long.
    pub request_timeout: Duration,
    /// How long answers under way may take after the shutdown was asked for. 5 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 100_000,
            session_idle_max: Duration::from_secs(3600),
            logins_waiting_max: 256,
            connections_max: 8192,
            head_bytes_max: 16 * 1024,
            head_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// The frontend's routes, within the default [`Limits`]. Those of connections are [`serve`]'s.
pub fn router(config: FrontendConfig) -> Router {
    router_within(config, &Limits::default())
}

/// The frontend's routes.
pub fn router_within(config: FrontendConfig, limits: &Limits) -> Router {
    let frontend = Arc::new(Frontend {
        doorman: Doorman::new(config.users, limits.logins_waiting_max),
        minter: Minter::new(&config.secret, config.token_ttl, config.issuer, config.audience),
        pages: Pages::new(&config.gate_url, config.socketio_client, config.session_key.is_some()),
        session_key: config.session_key,
    });
    let asks = match frontend.session_key {
        Some(_) => Router::new().route(SESSION_PATH, get(session::user)),
        None => Router::new(),
    };
    // The cookie lasts as long as the browser; it is the store that ends a session.
    let sessions = Sessions::new(limits.sessions_max, limits.session_idle_max);
    let sessions = SessionManagerLayer::new(sessions)
        .with_name(SESSION_COOKIE)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        // Over plain HTTP a browser would not send a Secure cookie back.
        .with_secure(config.tls.is_some())
        .with_expiry(Expiry::OnSessionEnd);
    let request_timeout = limits.request_timeout;
    Router::new()
        .route("/login", get(login::login))
        .route("/logout", post(login::logout))
        .route("/private", get(pages::private))
        .route("/getIoConnectionToken", get(token::token))
        .merge(asks)
        .layer(sessions)
        .route("/", get(pages::home))
        .route("/healthz", get(healthz))
        .with_state(frontend)
        .layer(middleware::from_fn_with_state(request_timeout, in_time))
        .layer(middleware::map_response(guarded))
}

/// Of `router`'s routes the one by which the gate asks.
fn asked_only(router: Router) -> Router {
    router.layer(middleware::from_fn(async |request: Request, next: Next| match request.uri().path() {
        SESSION_PATH => next.run(request).await,
        _ => StatusCode::NOT_FOUND.into_response(),
    }))
}

/// What the routes share.
struct Frontend {
    doorman: Doorman,
    minter: Minter,
    pages: Pages,
    session_key: Option<SessionKey>,
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn in_time(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => busy(),
    }
}

/// Adds what every answer has: no guessed types, and no address (it may hold a token) to other sites.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let no_referrer = HeaderValue::from_static("no-referrer");
    headers.insert(header::REFERRER_POLICY, no_referrer);
    response
}

/// The server's fault, and over soon.
fn busy() -> Response {
    let headers = [(header::RETRY_AFTER, "1"), (header::CACHE_CONTROL, "no-store")];
    let status = StatusCode::SERVICE_UNAVAILABLE;
    (status, headers, "Too busy, please try again.").into_response()
}
