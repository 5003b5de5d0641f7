//! A Socket.IO server on socketioxide and axum.

use std::sync::Arc;

use axum::Router;
use axum::serve::{ListenerExt, serve};
use rivals::run;
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::handler::ConnectHandler;

/// The error for an invalid token.
#[derive(Debug)]
struct NotValidToken;

impl std::fmt::Display for NotValidToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not valid token")
    }
}

fn main() -> anyhow::Result<()> {
    run(async |listener, tokens| {
        let tokens = Arc::new(tokens);
        let (layer, io) = SocketIo::new_layer();
        let check = move |socket: SocketRef| {
            let user = tokens.user(socket.req_parts().uri.query());
            let verdict = user.map(|user| drop(socket.extensions.insert(user)));
            std::future::ready(verdict.ok_or(NotValidToken))
        };
        io.ns("/", welcome.with(check));
        let listener = listener.tap_io(|stream| {
            // Should it fail, answers are a little later.
            let _ = stream.set_nodelay(true);
        });
        Ok(serve(listener, Router::new().layer(layer)).await?)
    })
}

async fn welcome(_socket: SocketRef) {}
