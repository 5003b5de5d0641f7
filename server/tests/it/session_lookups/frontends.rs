//! Frontends that misbehave.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What a frontend does with questions.
#[derive(Clone, Copy)]
pub enum Behaviour {
    /// It is not there.
    Gone,
    /// It answers each with this status and body.
    Answers(&'static str, &'static str),
    /// It reads and answers nothing.
    Silent,
    /// It answers with this body, all of them once it is released.
    Held(&'static str),
}

/// A running one, as long as this lives.
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

    /// How many connections it was given.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Has it answer from now on.
    pub fn release(&self) {
        self.released.send_replace(true);
    }
}

/// Answers one lookup after the other; a fault ends it.
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
