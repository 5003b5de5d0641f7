//! A raw WebSocket server on tokio-tungstenite: a task per socket.

use std::sync::Arc;

use futures_util::StreamExt;
use rivals::{READ_BUFFER_BYTES, Tokens, User, run};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

fn main() -> anyhow::Result<()> {
    run(serve)
}

async fn serve(listener: TcpListener, tokens: Tokens) -> anyhow::Result<()> {
    let tokens = Arc::new(tokens);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(welcome(stream, Arc::clone(&tokens)));
    }
}

async fn welcome(stream: TcpStream, tokens: Arc<Tokens>) {
    let mut user: Option<User> = None;
    // The error is tungstenite's own type.
    #[expect(clippy::result_large_err)]
    let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        user = tokens.user(request.uri().query());
        if user.is_some() {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::UNAUTHORIZED;
        Err(refusal)
    };
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let Ok(mut socket) = accept_hdr_async_with_config(stream, check, Some(config)).await else {
        return;
    };
    while let Some(Ok(_)) = socket.next().await {}
    drop(user);
}
