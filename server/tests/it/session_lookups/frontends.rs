//! Stub frontends that answer lookups wrongly, late, or never.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// How a stub frontend answers lookups.
#[derive(Clone, Copy)]
pub enum Behaviour {
    /// Nothing listens.
    Gone,
    /// Answers each lookup with this status and body.
    Answers(&'static str, &'static str),
    /// Reads lookups and never answers.
    Silent,
    /// Holds all lookups until `release`, then answers with this body.
    Held(&'static str),
}

/// A running stub frontend; it stops when this is dropped.
pub struct Stub {
    pub url: String,
    connections: Arc<AtomicUsize>,
    released: watch::Sender<bool>,
}

impl Stub {
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/getSessionUser", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let (released, is_released) = watch::channel(false);
        let counted = Arc::clone(&connections);
        if !matches!(behaviour, Behaviour::Gone) {
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    counted.fetch_add(1, SeqCst);
                    tokio::spawn(serve(stream, behaviour, is_released.clone()));
                }
            });
        }
        Self { url, connections, released }
    }

    /// Number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Answers the held lookups and all later ones.
    pub fn release(&self) {
        self.released.send_replace(true);
    }
}

/// Answers the lookups of one connection in order, until it breaks.
async fn serve(mut stream: TcpStream, behaviour: Behaviour, mut is_released: watch::Receiver<bool>) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let (status, body) = match behaviour {
            Behaviour::Answers(status, body) => (status, body),
            Behaviour::Held(body) => {
                is_released.wait_for(|&it| it).await.ok()?;
                ("200 OK", body)
            }
            Behaviour::Gone | Behaviour::Silent => std::future::pending().await,
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}
