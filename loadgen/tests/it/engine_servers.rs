//! Servers that are written down: each behaves in one way, on a thread per connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use wire::frame::{Decoder, Message, OpCode, Side, write_close, write_frame};
use wire::http::{RequestHead, write_switching_protocols};

/// Engine.IO's open packet.
pub const OPEN: &str = r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;

/// Serves each connection by `behave`, for as long as the process lives.
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

/// Reads the request's head, answers with these bytes and closes.
pub fn answering(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes = bytes.into();
    serve(move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(&bytes);
    })
}

/// An address where nothing listens.
pub fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Reads up to the end of a head; what a client that leaves has sent, else.
pub fn read_head(stream: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    head
}

/// A server's end of a WebSocket.
pub struct WebSocket<S> {
    stream: S,
    held: Vec<u8>,
    decoder: Decoder,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A text message.
    Text(String),
    /// A close frame, with its code.
    Close(Option<u16>),
    /// The end of TCP.
    Gone,
    /// The same by RST.
    Reset,
}

impl<S: Read + Write> WebSocket<S> {
    /// Reads the request and grants the upgrade. `None`: the client has left, or asked for something else.
    pub fn accept(mut stream: S) -> Option<Self> {
        let head = read_head(&mut stream);
        Self::grant(stream, &head)
    }

    /// Grants the upgrade that `head` asks for.
    pub fn grant(mut stream: S, head: &[u8]) -> Option<Self> {
        let key = RequestHead::parse(head).ok()??.header("sec-websocket-key")?.to_owned();
        let mut answer = Vec::new();
        write_switching_protocols(&mut answer, &key, None);
        stream.write_all(&answer).ok()?;
        Some(Self { stream, held: Vec::new(), decoder: Decoder::new(Side::Client, 1_000_000) })
    }

    /// Sends a text message.
    pub fn say(&mut self, text: &str) {
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

    /// Waits for the client's next word; a close is answered.
    pub fn hear(&mut self) -> Said {
        loop {
            let step = self.decoder.next(&mut self.held).expect("our client keeps the rules");
            let (used, said) = match step {
                Some(step) => {
                    let said = match step.message {
                        Some(Message::Text(text)) => Some(Said::Text(text.into_owned())),
                        Some(Message::Close { code, .. }) => Some(Said::Close(code)),
                        _ => None,
                    };
                    (step.used, said)
                }
                None => (0, None),
            };
            self.held.drain(..used);
            match said {
                Some(Said::Close(code)) => {
                    self.close(code.unwrap_or(1000), "");
                    return Said::Close(code);
                }
                Some(said) => return said,
                None if used > 0 => {}
                None => {
                    let mut bytes = [0; 4096];
                    match self.stream.read(&mut bytes) {
                        Ok(read @ 1..) => self.held.extend_from_slice(&bytes[..read]),
                        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                            return Said::Reset;
                        }
                        _ => return Said::Gone,
                    }
                }
            }
        }
    }

    /// Listens until the client has closed or left; answers all that it said.
    pub fn hear_all(&mut self) -> Vec<Said> {
        let mut all = Vec::new();
        loop {
            match self.hear() {
                Said::Gone => return all,
                last @ (Said::Close(_) | Said::Reset) => {
                    all.push(last);
                    return all;
                }
                said => all.push(said),
            }
        }
    }
}

/// A WebSocket of version 4 that is let in: open packet, then the client's connect packet answered.
pub fn accept_socketio(stream: TcpStream) -> Option<WebSocket<TcpStream>> {
    let mut socket = WebSocket::accept(stream)?;
    socket.say(OPEN);
    match socket.hear() {
        Said::Text(text) if text.starts_with("40") => socket.say(r#"40{"sid":"x"}"#),
        _ => return None,
    }
    Some(socket)
}

/// A server whose connections each tell what they heard.
pub fn listening(
    accept: impl Fn(TcpStream) -> Option<WebSocket<TcpStream>> + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<Vec<Said>>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = heard.clone();
    let addr = serve(move |stream| {
        if let Some(mut socket) = accept(stream) {
            let said = socket.hear_all();
            all.lock().unwrap().push(said);
        }
    });
    (addr, heard)
}

/// Counts, and lets threads wait for a count.
#[derive(Clone, Default)]
pub struct Gauge(Arc<(Mutex<Count>, Condvar)>);

#[derive(Default)]
struct Count {
    now: u64,
    most: u64,
}

impl Gauge {
    /// One more.
    pub fn up(&self) {
        let mut count = self.0.0.lock().unwrap();
        count.now += 1;
        count.most = count.most.max(count.now);
        self.0.1.notify_all();
    }

    /// One less.
    pub fn down(&self) {
        self.0.0.lock().unwrap().now -= 1;
    }

    /// Waits until the count has been `count` at once.
    pub fn wait_for(&self, count: u64) {
        let mut held = self.0.0.lock().unwrap();
        while held.most < count {
            held = self.0.1.wait(held).unwrap();
        }
    }

    /// The most at once.
    pub fn most(&self) -> u64 {
        self.0.0.lock().unwrap().most
    }
}
