//! Responses that several routes give.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A redirect that must not be cached, because its target depends on the session.
pub(super) fn redirect(status: StatusCode, to: &'static str) -> Response {
    let headers = [(header::LOCATION, to), (header::CACHE_CONTROL, "no-store")];
    (status, headers).into_response()
}

/// 503 for an overloaded server; the client may retry after a second.
pub(super) fn busy() -> Response {
    let headers = [(header::RETRY_AFTER, "1"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, "Too busy, please try again.").into_response()
}

/// 403 for a client without the session or the key that a route needs.
pub(super) fn access_denied() -> Response {
    (StatusCode::FORBIDDEN, [(header::CACHE_CONTROL, "no-store")], "Access Denied").into_response()
}
