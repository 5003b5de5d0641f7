//! Shared parts of several crates' tests: peers in Node and Python, certificates, bare HTTP clients, and waiting with a
//! limit.
//!
//! Failures panic instead of returning errors, because a failed helper is a failed test.

mod http;
mod peers;
mod pki;
mod wait;

pub use http::{exchange, fetch, get, metric, rest};
pub use peers::{PeerServer, Peers, on_path, ready_line};
pub use pki::{Pki, TlsClient};
pub use wait::{LOOK_EVERY, PATIENCE, soon, until};

/// The HS256 secret of the tests' tokens, as long as RFC 7518 requires.
pub const SECRET: &str = "a secret of at least 32 bytes, as RFC 7518 asks";
