//! `GET /getSessionUser`: whose session is it? The gate's question, where sessions and not tokens let sockets in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tower_sessions::Session;

use crate::frontend::{Frontend, login};

/// The user of a session, as a token's `user` claim has it.
#[derive(Serialize)]
struct User {
    username: String,
}

/// Answers the gate with the user of the session whose cookie it passes on, or with `null` where that is nobody's; anybody
/// else with 403 `Access Denied`.
pub(super) async fn user(State(frontend): State<Arc<Frontend>>, headers: HeaderMap, session: Session) -> Response {
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    let shown = headers.get(header::AUTHORIZATION);
    let is_gate = |shown: &header::HeaderValue| {
        let key = frontend.session_key.as_ref();
        key.is_some_and(|key| key.is_shown_by(shown.as_bytes()))
    };
    if !shown.is_some_and(is_gate) {
        return (StatusCode::FORBIDDEN, no_store, "Access Denied").into_response();
    }
    let user = login::user(&session).await;
    (no_store, Json(user.map(|username| User { username }))).into_response()
}
