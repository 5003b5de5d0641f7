//! Scripted servers: each behaves in one way, with a thread for each connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use wire::frame::{Decoder, Message, OpCode, Side, write_close, write_frame};
use wire::http::{RequestHead, write_switching_protocols};

/// Engine.IO's open packet.
pub const OPEN: &str = r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;

/// Calls `behave` for each connection, for as long as the process lives.
pub fn serve(behave: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let behave = Arc::new(behave);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let behave = behave.clone();
            thread::spawn(move || behave(stream));
        }
    });
    addr
}

/// Accepts each WebSocket, calls `behave`, then reads until the client ends the connection.
pub fn serve_websocket(behave: impl Fn(&mut WebSocket<TcpStream>) + Send + Sync + 'static) -> SocketAddr {
    serve(move |stream| {
        if let Some(mut socket) = WebSocket::accept(stream) {
            behave(&mut socket);
            socket.receive_all();
        }
    })
}

/// Reads the head of the request, answers with these bytes and closes.
pub fn answering(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes = bytes.into();
    serve(move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(&bytes);
    })
}

/// An address where nothing listens.
pub fn unused_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Reads up to the end of a head, or up to the end of the connection.
pub fn read_head(stream: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    head
}

/// The server side of a WebSocket.
pub struct WebSocket<S> {
    stream: S,
    input: Vec<u8>,
    decoder: Decoder,
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A text message.
    Text(String),
    /// A close frame, with its code.
    Close(Option<u16>),
    /// The end of the TCP stream (FIN).
    End,
    /// A TCP reset (RST).
    Reset,
}

impl<S: Read + Write> WebSocket<S> {
    /// Reads the request and accepts the upgrade. `None`: the connection ended, or the request is no upgrade.
    pub fn accept(mut stream: S) -> Option<Self> {
        let head = read_head(&mut stream);
        Self::upgrade(stream, &head)
    }

    /// Accepts the upgrade that `head` requests.
    pub fn upgrade(mut stream: S, head: &[u8]) -> Option<Self> {
        let key = RequestHead::parse(head).ok()??.header("sec-websocket-key")?.to_owned();
        let mut answer = Vec::new();
        write_switching_protocols(&mut answer, &key, None);
        stream.write_all(&answer).ok()?;
        Some(Self { stream, input: Vec::new(), decoder: Decoder::new(Side::Client, 1_000_000) })
    }

    /// Sends a text message.
    pub fn send_text(&mut self, text: &str) {
        let mut frame = Vec::new();
        write_frame(&mut frame, OpCode::Text, text.as_bytes(), None);
        let _ = self.stream.write_all(&frame);
    }

    /// Sends these bytes, whatever they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends a close frame.
    pub fn close(&mut self, code: u16, reason: &str) {
        let mut frame = Vec::new();
        write_close(&mut frame, code, reason, None);
        let _ = self.stream.write_all(&frame);
    }

    /// Waits for the next message of the client; answers a close frame.
    pub fn receive(&mut self) -> Received {
        loop {
            if let Some(step) = self.decoder.next(&mut self.input).expect("the client follows RFC 6455") {
                let received = match step.message {
                    Some(Message::Text(text)) => Some(Received::Text(text.into_owned())),
                    Some(Message::Close { code, .. }) => Some(Received::Close(code)),
                    _ => None,
                };
                let used = step.used;
                self.input.drain(..used);
                if let Some(Received::Close(code)) = received {
                    self.close(code.unwrap_or(1000), "");
                }
                if let Some(received) = received {
                    return received;
                }
                continue;
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(read @ 1..) => self.input.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Received::Reset,
                _ => return Received::End,
            }
        }
    }

    /// Receives until the client closes, resets or ends the connection. The end is not among the results.
    pub fn receive_all(&mut self) -> Vec<Received> {
        let mut all = Vec::new();
        loop {
            match self.receive() {
                Received::End => return all,
                text @ Received::Text(_) => all.push(text),
                last => {
                    all.push(last);
                    return all;
                }
            }
        }
    }
}

/// Accepts a Socket.IO 4 session over a WebSocket: sends the open packet and answers the connect packet.
pub fn accept_socketio(stream: TcpStream) -> Option<WebSocket<TcpStream>> {
    let mut socket = WebSocket::accept(stream)?;
    socket.send_text(OPEN);
    match socket.receive() {
        Received::Text(text) if text.starts_with("40") => socket.send_text(r#"40{"sid":"x"}"#),
        _ => return None,
    }
    Some(socket)
}

/// A server that records, for each connection, what the client sent.
pub fn recording(
    accept: impl Fn(TcpStream) -> Option<WebSocket<TcpStream>> + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<Vec<Received>>>>) {
    let record = Arc::new(Mutex::new(Vec::new()));
    let by_connection = record.clone();
    let addr = serve(move |stream| {
        if let Some(mut socket) = accept(stream) {
            let received = socket.receive_all();
            by_connection.lock().unwrap().push(received);
        }
    });
    (addr, record)
}

/// Counts up and down, keeps the maximum, and lets threads wait for it.
#[derive(Clone, Default)]
pub struct Gauge(Arc<(Mutex<Count>, Condvar)>);

#[derive(Default)]
struct Count {
    now: u64,
    max: u64,
}

impl Gauge {
    /// Adds one.
    pub fn up(&self) {
        let mut count = self.0.0.lock().unwrap();
        count.now += 1;
        count.max = count.max.max(count.now);
        self.0.1.notify_all();
    }

    /// Subtracts one.
    pub fn down(&self) {
        self.0.0.lock().unwrap().now -= 1;
    }

    /// Waits until the maximum is at least `count`.
    pub fn wait_for(&self, count: u64) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |reached| reached.max < count).unwrap());
    }

    /// The maximum so far.
    pub fn max(&self) -> u64 {
        self.0.0.lock().unwrap().max
    }
}
