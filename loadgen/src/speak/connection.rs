//! One connection as a state machine: bytes in, bytes out, events.
//!
//! Nothing here knows about sockets, clocks or counts: the engine reads and writes, adds the time to events, and decides
//! about deadlines and outcomes. What all connections to a target have in common is in its [`Profile`], the buffers that they
//! reuse in [`Scratch`], so that an idle connection is a few bytes.
//!
//! ```text
//! raw WebSocket   Upgrading -101-> Grace ------------------------ first message, or end_grace() -> Open
//! Socket.IO       Upgrading -101-> Opening -open packet-> Joining ------------- connect packet -> Open
//! by polling                       Opening -open packet-> Joining ------------- connect packet -> Open
//! probe           Upgrading -101-> Probing -3probe-> the polling session moves to this WebSocket
//! ```
//!
//! A session that polls writes no frames: what it writes is the payload of its next POST, for which the engine writes
//! the request.

mod closing;
mod engineio;
mod machine;
mod payload;
mod polling;
mod profile;
mod random;
mod refusal;
mod socketio;
mod state;
#[cfg(test)]
mod tests;
mod websocket;
mod writer;

pub use polling::{PollAnswer, PollContent, parse_poll_answer};
pub use profile::{PollRequest, Profile, SUBPROTOCOL, SUBPROTOCOL_TOKEN_PREFIX};
pub use random::Random;
pub use state::{ANSWER_BYTES_MAX, Awaited, Connection, Credentials, Event, HEARTBEAT_MS_MIN, Step};
pub use writer::{Scratch, Writer};
