//! Engine.IO sessions of clients that poll: a GET waits for packets, a POST brings some (engine.io-protocol, "HTTP
//! long-polling").
//!
//! A session lives on one shard, whose number stands in its id, and outlives its connections, which have numbers here.
//! What a POST makes known to a client is answered through another connection, its waiting poll: so answers are
//! collected as [`Delivery`]s, which the shard sends out once per turn.

mod lifecycle;
mod name;
mod table;
#[cfg(test)]
mod tests;

pub use lifecycle::Sessions;
pub use name::{Key, SessionName};
pub use table::{Delivery, Found, Packets, Polled, PollingSessions, WaitingPoll};
