//! `GET /getSessionUser`: the gate looks up the user of a session, if sockets are authenticated by session.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tower_sessions::Session;

use crate::frontend::login;
use crate::frontend::response::access_denied;
use crate::session_key::SessionKey;

/// The user of a session, in the form of a token's `user` claim.
#[derive(Serialize)]
struct User {
    username: String,
}

/// Answers the gate with the user of the session whose cookie it forwards, or with `null` if nobody is logged in. Any
/// other client gets 403 `Access Denied`.
pub(super) async fn user(State(key): State<Arc<SessionKey>>, headers: HeaderMap, session: Session) -> Response {
    let authorization = headers.get(header::AUTHORIZATION);
    if !authorization.is_some_and(|shown| key.accepts(shown.as_bytes())) {
        return access_denied();
    }
    let user = login::user(&session).await.map(|username| User { username });
    ([(header::CACHE_CONTROL, "no-store")], Json(user)).into_response()
}
