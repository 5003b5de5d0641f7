//! The bytes sent and received over a socket: the upgrade, and Engine.IO 4 with Socket.IO 5 above it.

use clap::ValueEnum;

/// The protocol of the sockets.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Raw WebSocket: authenticated by the 101
    Websocket,
    /// Socket.IO: authenticated by the answer to its connect packet
    Socketio,
}

/// What a socket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The TCP connection.
    Connecting,
    /// The 101.
    Switching,
    /// Engine.IO's open packet.
    Opening,
    /// Socket.IO's answer to the connect packet.
    Joining,
    /// It is authenticated.
    Open,
    /// The server's close, after our close frame.
    Closing,
}

/// A close frame with 1000. The masking key of this and of all frames is zero, which leaves them as they are.
pub const CLOSE_FRAME: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Longer than any expected answer to an upgrade.
const HEAD_BYTES_MAX: usize = 16 * 1024;

impl Protocol {
    /// The request to upgrade, with `name` and `token` in its query. The key is the one of RFC 6455 section 1.3.
    pub fn request(self, host: &str, path: Option<&str>, name: &str, token: &str) -> Vec<u8> {
        let path = match (path, self) {
            (Some(path), _) => path,
            (None, Self::Websocket) => "/ws",
            (None, Self::Socketio) => "/socket.io/",
        };
        let query = match self {
            Self::Websocket => "",
            Self::Socketio => "EIO=4&transport=websocket&",
        };
        format!(
            "GET {path}?{query}{name}={token} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        .into_bytes()
    }

    /// Handles the message at the front of `input` and appends the answer to `out`. Returns how many bytes it used, 0 while
    /// more are needed.
    ///
    /// Fails with the reason when the server refuses or closes.
    pub fn receive(
        self,
        stage: &mut Stage,
        input: &[u8],
        heartbeats: &mut u64,
        out: &mut Vec<u8>,
    ) -> Result<usize, String> {
        if *stage == Stage::Switching {
            return self.switch(stage, input);
        }
        let Some(frame) = Frame::read(input) else {
            return Ok(0);
        };
        match (frame.opcode, frame.payload, *stage) {
            (CLOSE, _, Stage::Closing) => {}
            (CLOSE, code, _) => return Err(format!("the server closed: {code:02x?}")),
            (PING, payload, _) => {
                write(out, PONG, payload);
                *heartbeats += 1;
            }
            (TEXT, b"2", _) if self == Self::Socketio => {
                write(out, TEXT, b"3");
                *heartbeats += 1;
            }
            (TEXT, [b'0', ..], Stage::Opening) => {
                write(out, TEXT, b"40");
                *stage = Stage::Joining;
            }
            (TEXT, [b'4', b'0', ..], Stage::Joining) => *stage = Stage::Open,
            (TEXT, [b'4', b'4', why @ ..], Stage::Joining) => {
                return Err(String::from_utf8_lossy(why).into_owned());
            }
            // Events that a server sends to its users.
            _ => {}
        }
        Ok(frame.bytes)
    }

    fn switch(self, stage: &mut Stage, input: &[u8]) -> Result<usize, String> {
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
            return match input.len() {
                0..HEAD_BYTES_MAX => Ok(0),
                _ => Err("the answer to the upgrade has no end".into()),
            };
        };
        if !input.starts_with(b"HTTP/1.1 101 ") {
            let line = input.split(|byte| *byte == b'\r').next();
            return Err(String::from_utf8_lossy(line.unwrap_or_default()).into_owned());
        }
        *stage = match self {
            Self::Websocket => Stage::Open,
            Self::Socketio => Stage::Opening,
        };
        Ok(end + 4)
    }
}

/// A frame from the server, which masks none (RFC 6455 section 5.1).
struct Frame<'i> {
    opcode: u8,
    payload: &'i [u8],
    /// Head and payload.
    bytes: usize,
}

impl<'i> Frame<'i> {
    /// The frame at the front of `input`, once it is whole.
    fn read(input: &'i [u8]) -> Option<Self> {
        let (&[first, second], rest) = input.split_first_chunk()?;
        let (head_bytes, payload_bytes) = match second & 0x7f {
            126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*rest.first_chunk()?).try_into().ok()?),
            bytes => (2, usize::from(bytes)),
        };
        let bytes = payload_bytes.checked_add(head_bytes)?;
        Some(Self { opcode: first & 0x0f, payload: input.get(head_bytes..bytes)?, bytes })
    }
}

/// Writes a frame of at most 125 bytes, as all frames of this client are.
fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    let payload = &payload[..payload.len().min(125)];
    out.extend_from_slice(&[0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(protocol: Protocol, stage: Stage, input: &[u8], next: Stage, out: &[u8], why: &str) {
        let (mut now, mut sent, mut heartbeats) = (stage, Vec::new(), 0);
        let used = protocol.receive(&mut now, input, &mut heartbeats, &mut sent);
        assert_eq!(used, Ok(input.len()), "{why}");
        assert_eq!((now, sent.as_slice()), (next, out), "{why}");
        for end in 0..input.len() {
            let used = protocol.receive(&mut stage.clone(), &input[..end], &mut 0, &mut sent);
            assert_eq!(used, Ok(0), "{why}: {end} bytes of it");
        }
    }

    #[test]
    fn socket_passes_its_stages_in_order() {
        use Protocol::{Socketio, Websocket};
        let switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        let connect = b"\x81\x82\0\0\0\x0040";
        let pong = b"\x8a\x81\0\0\0\0x";
        for (protocol, stage, input, next, out, why) in [
            (Websocket, Stage::Switching, &switching[..], Stage::Open, &b""[..], "authenticated"),
            (Websocket, Stage::Open, b"\x89\x01x", Stage::Open, pong, "a heartbeat"),
            (Websocket, Stage::Open, b"\x81\x012", Stage::Open, b"", "a message"),
            (Websocket, Stage::Closing, b"\x88\x02\x03\xe8", Stage::Closing, b"", "the answer to our close frame"),
            (Socketio, Stage::Switching, switching, Stage::Opening, b"", "not authenticated yet"),
            (Socketio, Stage::Opening, b"\x81\x030{}", Stage::Joining, connect, "connect"),
            (Socketio, Stage::Joining, b"\x81\x0440{}", Stage::Open, b"", "authenticated"),
            (Socketio, Stage::Open, b"\x81\x012", Stage::Open, b"\x81\x81\0\0\0\x003", "a heartbeat"),
            (Socketio, Stage::Open, b"\x81\x7e\x00\x0242", Stage::Open, b"", "a longer length"),
        ] {
            check(protocol, stage, input, next, out, why);
        }
    }

    #[test]
    fn refusal_has_the_servers_reason() {
        for (stage, input, why) in [
            (Stage::Switching, &b"HTTP/1.1 401 Unauthorized\r\n\r\n"[..], "HTTP/1.1 401 Unauthorized"),
            (Stage::Joining, b"\x81\x0444{}", "{}"),
            (Stage::Open, b"\x88\x02\x03\xe9", "the server closed: [03, e9]"),
        ] {
            let refused = Protocol::Socketio.receive(&mut stage.clone(), input, &mut 0, &mut Vec::new());
            assert_eq!(refused, Err(why.into()));
        }
    }
}
