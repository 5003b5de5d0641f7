//! Sessions with one key, tokens for it, and frames of clients, for tests.

use std::{sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};

use crate::keys::{self, Algorithm, Ring};
use crate::session::app::App;
use crate::session::polling::PollingSessions;
use crate::session::{Auth, Host, OnExpiry, Sessions, Settings};
use crate::verify::{Policy, Verifier};
use wire::frame::{Decoder, Message, OpCode, Side};

pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
pub const NOW_S: u64 = 1_700_000_000;

pub fn host(app: App) -> Host {
    let key = keys::load::secret(SECRET, Algorithm::HS256).unwrap();
    let store = keys::Store::new(arc_swap::ArcSwap::from_pointee(Ring::new(vec![key]).unwrap()));
    let verifier = Verifier::new(store, Arc::new(Policy::default()));
    let settings = Settings {
        auth: Auth::Token,
        on_expiry: OnExpiry::Close,
        app,
        message_bytes_max: 1000,
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
    };
    let mut host = Host::new(settings.into(), verifier, Arc::default(), StdRng::seed_from_u64(7));
    host.unix_ns = NOW_S * 1_000_000_000;
    host
}

/// The sessions of a shard, at most 9 of which may poll.
pub fn sessions(app: App) -> Sessions {
    Sessions { host: host(app), polls: PollingSessions::new(0, 9, 9, usize::MAX) }
}

pub fn token(user: &str, expires_at_s: Option<u64>) -> String {
    let mut claims = serde_json::json!({"user": {"username": user}});
    if let Some(expires_at_s) = expires_at_s {
        claims["exp"] = expires_at_s.into();
    }
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

/// A masked frame, as clients send it.
pub fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::frame::write_frame(&mut out, opcode, payload, Some([1, 2, 3, 4]));
    out
}

/// The server's frames as text: `T:` text, `B:` binary, `P:` ping, `Q:` pong, `C:` close.
pub fn sent_frames(mut out: Vec<u8>) -> Vec<String> {
    let mut frames = Decoder::new(Side::Server, 1 << 20);
    let mut frames_sent = Vec::new();
    let mut at = 0;
    while let Some(step) = frames.next(&mut out[at..]).unwrap() {
        at += step.used;
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        frames_sent.extend(step.message.map(|message| match message {
            Message::Text(text) => format!("T:{text}"),
            Message::Binary(bytes) => format!("B:{}", lossy(&bytes)),
            Message::Ping(bytes) => format!("P:{}", lossy(bytes)),
            Message::Pong(bytes) => format!("Q:{}", lossy(bytes)),
            Message::Close { code, .. } => format!("C:{}", code.unwrap_or(0)),
        }));
    }
    assert_eq!(at, out.len(), "the gate sends whole frames");
    frames_sent
}
