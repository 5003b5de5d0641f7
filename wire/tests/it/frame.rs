//! Frames against tungstenite, an independent implementation, in both directions and under every cut of the input.

use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode as TheirOpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message as TheirMessage, Utf8Bytes};
use wire::frame::{Decoder, HEAD_BYTES_MAX, Message, OpCode, ProtocolError, Side, write_close, write_frame};

/// Long enough for every length encoding, short enough that generated lengths exceed it.
const LIMIT: u32 = 70_000;

/// A message or control frame, apart from any buffer.
#[derive(Clone, Debug, PartialEq)]
enum Sent {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<Message<'_>> for Sent {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Sent::Text(text.into_owned()),
            Message::Binary(bytes) => Sent::Binary(bytes.into_owned()),
            Message::Ping(bytes) => Sent::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Sent::Pong(bytes.to_vec()),
            Message::Close { code, reason } => Sent::Close(code, reason.to_owned()),
        }
    }
}

impl From<TheirMessage> for Sent {
    fn from(message: TheirMessage) -> Self {
        match message {
            TheirMessage::Text(text) => Sent::Text(text.to_string()),
            TheirMessage::Binary(bytes) => Sent::Binary(bytes.to_vec()),
            TheirMessage::Ping(bytes) => Sent::Ping(bytes.to_vec()),
            TheirMessage::Pong(bytes) => Sent::Pong(bytes.to_vec()),
            TheirMessage::Close(None) => Sent::Close(None, String::new()),
            TheirMessage::Close(Some(frame)) => Sent::Close(Some(frame.code.into()), frame.reason.to_string()),
            TheirMessage::Frame(_) => unreachable!("tungstenite never reads a bare frame"),
        }
    }
}

/// What tungstenite reads from and writes to; the end of the input is no end of the connection.
struct Pipe {
    input: Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buf)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(from: Side, input: Vec<u8>) -> WebSocket<Pipe> {
    let reader = match from {
        Side::Client => Role::Server,
        Side::Server => Role::Client,
    };
    let limit = Some(LIMIT as usize);
    let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
    let pipe = Pipe { input: Cursor::new(input), output: Vec::new() };
    WebSocket::from_raw_socket(pipe, reader, Some(config))
}

/// What tungstenite reads up to a close, an error (`false`) or the end.
fn read_theirs(from: Side, bytes: &[u8]) -> (Vec<Sent>, bool) {
    let mut socket = theirs(from, bytes.to_vec());
    let mut seen = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => seen.push(message.into()),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (seen, true);
            }
            Err(_) => return (seen, false),
        }
        if let Some(Sent::Close(..)) = seen.last() {
            return (seen, true);
        }
    }
}

/// The same through our decoder, fed in pieces of these sizes (the last one over and over).
fn read_ours(from: Side, bytes: &[u8], pieces: &[usize]) -> (Vec<Sent>, Result<usize, ProtocolError>) {
    let mut decoder = Decoder::new(from, LIMIT);
    let mut pieces = pieces.iter().copied().chain(std::iter::repeat(*pieces.last().unwrap()));
    let (mut seen, mut buf, mut fed) = (Vec::new(), Vec::new(), 0);
    loop {
        match decoder.next(&mut buf) {
            Err(error) => return (seen, Err(error)),
            Ok(Some(step)) => {
                seen.extend(step.message.map(Sent::from));
                let used = step.used;
                buf.drain(..used);
                if let Some(Sent::Close(..)) = seen.last() {
                    return (seen, Ok(buf.len()));
                }
            }
            Ok(None) if fed == bytes.len() => return (seen, Ok(buf.len())),
            Ok(None) => {
                assert!(buf.len() < LIMIT as usize + HEAD_BYTES_MAX, "the buffer that is promised");
                let piece = pieces.next().unwrap().min(bytes.len() - fed);
                buf.extend_from_slice(&bytes[fed..fed + piece]);
                fed += piece;
            }
        }
    }
}

fn side() -> impl Strategy<Value = Side> {
    prop::sample::select(vec![Side::Client, Side::Server])
}

fn short() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=125)
}

/// Lengths around each change of the length's encoding are likely.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        4 => 0..40_usize,
        1 => 124..128_usize,
        1 => 65_534..65_538_usize,
    ];
    (length, any::<u8>())
        .prop_map(|(length, seed)| (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect())
}

fn message() -> impl Strategy<Value = Sent> {
    prop_oneof![
        any::<String>().prop_map(Sent::Text),
        payload().prop_map(Sent::Binary),
        short().prop_map(Sent::Ping),
        short().prop_map(Sent::Pong),
    ]
}

fn close() -> impl Strategy<Value = Sent> {
    let code = prop::sample::select(vec![1000, 1001, 1003, 1007, 1011, 1013, 3000, 4999]);
    prop_oneof![
        Just(Sent::Close(None, String::new())),
        (code, "[a-z€]{0,40}").prop_map(|(code, reason)| Sent::Close(Some(code), reason)),
    ]
}

fn messages() -> impl Strategy<Value = Vec<Sent>> {
    (prop::collection::vec(message(), 0..6), prop::option::of(close())).prop_map(|(mut messages, close)| {
        messages.extend(close);
        messages
    })
}

fn write_ours(messages: &[Sent], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        match message {
            Sent::Text(text) => write_frame(&mut out, OpCode::Text, text.as_bytes(), mask),
            Sent::Binary(bytes) => write_frame(&mut out, OpCode::Binary, bytes, mask),
            Sent::Ping(bytes) => write_frame(&mut out, OpCode::Ping, bytes, mask),
            Sent::Pong(bytes) => write_frame(&mut out, OpCode::Pong, bytes, mask),
            Sent::Close(None, _) => write_frame(&mut out, OpCode::Close, &[], mask),
            Sent::Close(Some(code), reason) => write_close(&mut out, *code, reason, mask),
        }
    }
    out
}

/// Lets tungstenite write the messages, those of data in fragments of `fragment` bytes.
fn write_theirs(from: Side, messages: &[Sent], fragment: usize) -> Vec<u8> {
    let writer = match from {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    };
    let mut socket = theirs(writer, Vec::new());
    for message in messages {
        let (opcode, payload) = match message {
            Sent::Text(text) => (Data::Text, text.as_bytes()),
            Sent::Binary(bytes) => (Data::Binary, bytes.as_slice()),
            control => {
                socket.send(their_control(control)).unwrap();
                continue;
            }
        };
        let mut opcode = TheirOpCode::Data(opcode);
        let mut rest = payload;
        loop {
            let (part, after) = rest.split_at(fragment.min(rest.len()));
            let frame = Frame::message(part.to_vec(), opcode, after.is_empty());
            socket.send(TheirMessage::Frame(frame)).unwrap();
            if after.is_empty() {
                break;
            }
            socket.send(TheirMessage::Ping(b"between"[..].into())).unwrap();
            (rest, opcode) = (after, TheirOpCode::Data(Data::Continue));
        }
    }
    socket.get_ref().output.clone()
}

fn their_control(message: &Sent) -> TheirMessage {
    match message {
        Sent::Ping(bytes) => TheirMessage::Ping(bytes.clone().into()),
        Sent::Pong(bytes) => TheirMessage::Pong(bytes.clone().into()),
        Sent::Close(code, reason) => TheirMessage::Close(
            code.map(|code| CloseFrame { code: code.into(), reason: Utf8Bytes::from(reason.as_str()) }),
        ),
        Sent::Text(_) | Sent::Binary(_) => unreachable!("data goes out in fragments"),
    }
}

/// Frames that are nearly right: any first byte, any claim of a length, often the right one.
fn hostile_frame(from: Side) -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        "[a-z€]{0,6}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..6),
        Just(vec![0x03, 0xe8]),
        Just(vec![b'a'; 126]),
        (900..5_100_u16).prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    let wrong = prop::bool::weighted(0.05);
    (first, payload, any::<[u8; 4]>(), wrong, prop::option::weighted(0.05, any::<u64>())).prop_map(
        move |(first, mut payload, mask, wrong, claim)| {
            let masked = (from == Side::Client) != wrong;
            let bit = if masked { 0x80 } else { 0 };
            let mut frame = vec![first];
            match (claim, payload.len()) {
                (Some(claim), _) => {
                    frame.push(bit | 127);
                    frame.extend_from_slice(&claim.to_be_bytes());
                }
                (None, length @ ..126) => frame.push(bit | length as u8),
                (None, length) => {
                    frame.extend_from_slice(&[bit | 126, (length >> 8) as u8, length as u8]);
                }
            }
            if masked {
                frame.extend_from_slice(&mask);
                for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
                    *byte ^= key;
                }
            }
            frame.extend(payload);
            frame
        },
    )
}

fn hostile() -> impl Strategy<Value = (Side, Vec<u8>)> {
    side().prop_flat_map(|from| {
        let frames = prop::collection::vec(hostile_frame(from), 0..8);
        (Just(from), frames.prop_map(|frames| frames.concat()))
    })
}

proptest! {
    #[test]
    fn tungstenite_reads_our_frames(from in side(), messages in messages(), mask in any::<[u8; 4]>()) {
        let bytes = write_ours(&messages, (from == Side::Client).then_some(mask));
        prop_assert_eq!(read_theirs(from, &bytes), (messages.clone(), true));
        prop_assert_eq!(read_ours(from, &bytes, &[bytes.len().max(1)]), (messages, Ok(0)));
    }

    #[test]
    fn we_read_the_frames_of_tungstenite(
        from in side(),
        messages in messages(),
        fragment in prop_oneof![1..5_usize, 30_000..80_000_usize],
        pieces in prop::collection::vec(prop_oneof![1..20_usize, 1..70_000_usize], 1..20),
    ) {
        // Fragments of a few bytes are for short messages.
        let longest = messages.iter().map(|sent| match sent {
            Sent::Binary(bytes) => bytes.len(),
            _ => 0,
        }).max();
        let fragment = fragment.max(longest.unwrap_or_default() / 50);
        let bytes = write_theirs(from, &messages, fragment);
        let (seen, rest) = read_ours(from, &bytes, &pieces);
        let between = Sent::Ping(b"between".to_vec());
        let seen: Vec<_> = seen.into_iter().filter(|message| *message != between).collect();
        prop_assert_eq!((seen, rest), (messages, Ok(0)));
    }

    /// Where both accept, they agree; only one rule is ours alone.
    #[test]
    fn both_decode_hostile_frames_alike((from, bytes) in hostile()) {
        let (theirs, they_accept) = read_theirs(from, &bytes);
        let (ours, result) = read_ours(from, &bytes, &[bytes.len().max(1)]);
        match result {
            Ok(_) => {
                prop_assert!(they_accept, "{:?} is accepted by us alone", ours);
                prop_assert_eq!(ours, theirs);
            }
            Err(ProtocolError::LengthNotMinimal) => prop_assert!(theirs.starts_with(&ours)),
            Err(ProtocolError::BadClose(_)) if they_accept => {
                // tungstenite reports such a close to its user, with a code of its own.
                prop_assert!(matches!(theirs.last(), Some(Sent::Close(Some(1002), _))));
            }
            Err(ProtocolError::TooLong { .. } | ProtocolError::NotUtf8) => {
                // They notice at the end of a frame or message, which may never come.
                prop_assert_eq!(ours, theirs);
            }
            Err(error) => {
                prop_assert!(!they_accept, "{} is refused by us alone", error);
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    /// Two pieces, cut at every byte; then byte by byte.
    #[test]
    fn frames_do_not_depend_on_the_cut((from, bytes) in hostile()) {
        let whole = read_ours(from, &bytes, &[bytes.len().max(1)]);
        for cut in 1..bytes.len() {
            let cut_in_two = read_ours(from, &bytes, &[cut, bytes.len()]);
            prop_assert_eq!(&cut_in_two.0, &whole.0, "cut at {}", cut);
            prop_assert_eq!(cut_in_two.1.err(), whole.1.err(), "cut at {}", cut);
        }
        let single = read_ours(from, &bytes, &[1]);
        prop_assert_eq!((single.0, single.1.err()), (whole.0, whole.1.err()));
    }

    #[test]
    fn any_bytes_give_a_result(from in side(), bytes in any::<Vec<u8>>(), piece in 1..9_usize) {
        let _ = read_ours(from, &bytes, &[piece]);
    }
}
