//! A raw WebSocket server on axum.

use std::sync::Arc;

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Router, serve::serve};
use rivals::{READ_BUFFER_BYTES, Tokens, User, run};

fn main() -> anyhow::Result<()> {
    run(async |listener, tokens| {
        let router = Router::new().route("/ws", get(upgrade)).with_state(Arc::new(tokens));
        let listener = listener.tap_io(|stream| {
            // Should it fail, answers are a little later.
            let _ = stream.set_nodelay(true);
        });
        Ok(serve(listener, router).await?)
    })
}

async fn upgrade(State(tokens): State<Arc<Tokens>>, RawQuery(query): RawQuery, upgrade: WebSocketUpgrade) -> Response {
    match tokens.user(query.as_deref()) {
        Some(user) => upgrade.read_buffer_size(READ_BUFFER_BYTES).on_upgrade(|socket| keep(socket, user)),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn keep(mut socket: WebSocket, user: User) {
    while let Some(Ok(_)) = socket.recv().await {}
    drop(user);
}
