//! Clients that share no code with the gate: tokio-tungstenite, and plain TCP.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        handshake::client::Response,
        http::{HeaderName, HeaderValue},
        protocol::CloseFrame,
    },
};

pub use testkit::{exchange, get, rest};

use super::servers::soon;

/// How a request carries its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Query,
    Header,
    Subprotocol,
    Cookie,
}

impl Carrier {
    pub const ALL: [Self; 4] = [Self::Query, Self::Header, Self::Subprotocol, Self::Cookie];

    /// The query part and the headers that carry `token`; `origin` is sent with the cookie.
    pub fn carry(self, token: &str, origin: &str) -> (String, Vec<(&'static str, String)>) {
        let header = |name, value: String| (String::new(), vec![(name, value)]);
        match self {
            Self::Query => (format!("token={token}"), Vec::new()),
            Self::Header => header("authorization", format!("Bearer {token}")),
            Self::Subprotocol => header("sec-websocket-protocol", format!("gatecrash, bearer.{token}")),
            Self::Cookie => (String::new(), vec![("cookie", format!("token={token}")), ("origin", origin.to_owned())]),
        }
    }
}

/// A connected WebSocket.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub upgrade: Response,
}

/// An answer to an upgrade that is not a 101.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub challenge: Option<String>,
    pub body: String,
}

impl Client {
    /// Opens `path` (with its query) at `addr`, with `headers`.
    pub async fn open(addr: SocketAddr, path: &str, headers: &[(&'static str, String)]) -> Result<Self, Refused> {
        let mut request = format!("ws://{addr}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
        match soon(path, tokio_tungstenite::connect_async(request)).await {
            Ok((socket, upgrade)) => Ok(Self { socket, upgrade }),
            Err(tungstenite::Error::Http(response)) => {
                let header = |name| response.headers().get(name);
                let challenge = header("www-authenticate").map(|v| v.to_str().unwrap().to_owned());
                let body = response.body().clone().unwrap_or_default();
                Err(Refused { status: response.status().as_u16(), challenge, body: String::from_utf8(body).unwrap() })
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// A raw WebSocket with `token` in the query.
    pub async fn raw(addr: SocketAddr, token: &str) -> Self {
        let opened = Self::open(addr, &format!("/ws?token={token}"), &[]).await;
        opened.unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// A connected Socket.IO client of version 5, its open and connect packets read.
    pub async fn socketio(addr: SocketAddr, token: &str) -> Self {
        let path = format!("/socket.io/?EIO=4&transport=websocket&token={token}");
        let mut client = Self::open(addr, &path, &[]).await.unwrap();
        assert!(client.text().await.starts_with("0{"));
        client.send("40").await;
        assert!(client.text().await.starts_with("40{"));
        client
    }

    pub async fn send(&mut self, message: impl Into<Message>) {
        soon("a send", self.socket.send(message.into())).await.unwrap();
    }

    /// The next message; `None` when the stream has ended or failed.
    pub async fn next(&mut self) -> Option<Message> {
        soon("a message", self.socket.next()).await?.ok()
    }

    pub async fn text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("{other:?} in place of a text"),
        }
    }

    /// Reads to the end of the stream; returns the close frame.
    pub async fn closed(&mut self) -> Option<CloseFrame> {
        let mut frame = None;
        while let Some(message) = self.next().await {
            if let Message::Close(close) = message {
                frame = close;
            }
        }
        frame
    }

    /// The close code; panics without a close frame.
    pub async fn close_code(&mut self) -> u16 {
        self.closed().await.expect("a close frame").code.into()
    }
}
