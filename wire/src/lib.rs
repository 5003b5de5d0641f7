//! The protocol of a token-authenticated socket, without any input or output.
//!
//! Bytes in, bytes out: nothing here knows about sockets, tasks, clocks or randomness, so the gate, the load
//! generator and their tests all use the same codecs. The signatures show what a caller must bring
//! (mask keys, handshake nonces, size limits).
//!
//! | module | speaks | source |
//! |---|---|---|
//! | [`http`] | HTTP/1.1 heads and the WebSocket upgrade, both sides | RFC 9112, RFC 6455 section 4 |
//! | [`frame`] | WebSocket frames and messages | RFC 6455 sections 5 to 7 |
//! | [`engineio`] | Engine.IO packets, versions 3 and 4 | engine.io-protocol |
//! | [`socketio`] | Socket.IO packets, versions 4 and 5 | socket.io-protocol |
//! | [`prometheus`] | pages of metrics: written, read, merged | text exposition format 0.0.4 |
//!
//! Three rules hold everywhere:
//!
//! - Decoders borrow from the caller's buffer, encoders append to the caller's `Vec`; the exceptions (a fragmented
//!   message, an escaped event name) are named where they are.
//! - "More bytes are needed" is `Ok(None)`, never an error.
//! - Every error names what the peer did wrong; no input, however hostile, panics.

// The modules in the order of their layers, lowest first: each uses those before it and none after it.

pub mod decimal;
mod limits;
pub mod error;
pub mod http;
pub mod frame;
pub mod engineio;
pub mod socketio;
pub mod prometheus;
