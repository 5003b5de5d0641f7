//! The web frontend. A user logs in; the page that opens the socket requests a token from it.
//!
//! ```text
//! GET  /                       a home page with a link to log in
//! GET  /login                  HTTP Basic: a session cookie and 302 to /private, or 401
//! GET  /private                the page that opens the socket; without a session 302 to /login
//! GET  /getIoConnectionToken   the token as a JSON string; without a session 403
//! GET  /getSessionUser         for the gate with --auth session: {"username":...} or null; else 403
//! POST /logout                 ends the session, 303 to /
//! GET  /healthz                200 while the frontend serves
//! ```
//!
//! No route reads a body. Nothing here knows about the gate except its URL. Frontend and gate share the secret of
//! tokens, or the key with which the gate looks up sessions.

mod config;
mod login;
mod pages;
mod response;
mod router;
mod serve;
mod session;
mod sessions;
mod token;
pub mod users;

pub use crate::session_key::{SESSION_COOKIE, SESSION_PATH};
pub use config::{FrontendAddrs, FrontendConfig, Limits};
pub use serve::{serve, serve_within};
