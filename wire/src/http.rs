//! HTTP/1.1 heads (RFC 9112) and the WebSocket upgrade (RFC 6455 section 4), for both sides.
//!
//! Heads are parsed in place: a parsed head is offsets into the buffer, some 600 bytes on the stack, without an
//! allocation. The body of a response is read when it has arrived completely ([`Body`]), a request's piece by piece
//! ([`Chunked`]).
//!
//! ```
//! use wire::http::{RequestHead, UpgradeRequest, write_switching_protocols};
//!
//! let received = b"GET /ws?token=a.b.c HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
//!     Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
//! let head = RequestHead::parse(received)?.expect("the head is whole");
//! assert_eq!(head.query_value("token"), Some("a.b.c"));
//!
//! let mut answer = Vec::new();
//! write_switching_protocols(&mut answer, UpgradeRequest::from_head(&head)?.key, None);
//! assert!(answer.starts_with(b"HTTP/1.1 101 "));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chunked;
mod request;
mod response;
mod body;
mod upgrade;
mod fields;

pub use crate::error::{ChunkError, HeadError, UpgradeError, UpgradeRefused};
pub use crate::limits::HEADERS_MAX;
pub use body::Body;
pub use chunked::Chunked;
pub use fields::HEAD_BYTES_MAX;
pub use request::{RequestHead, percent_decode, write_request};
pub use response::{ResponseHead, write_response};
pub use upgrade::{UpgradeRequest, accept_key, client_key, write_switching_protocols, write_upgrade_request};
