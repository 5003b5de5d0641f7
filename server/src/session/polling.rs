//! Engine.IO sessions of clients that poll: a GET waits for packets, a POST brings some (engine.io-protocol, "HTTP
//! long-polling").
//!
//! A session lives on one shard, whose number is part of its id. It outlives its connections, which have numbers here.
//! The answer to the packets of a POST goes through another connection, the waiting poll. So answers are
//! collected as [`Delivery`]s, which the shard sends out once per turn.

mod lifecycle;
mod name;
mod table;
#[cfg(test)]
mod tests;

pub use lifecycle::Sessions;
pub use name::{Key, SessionName};
pub use table::{Delivery, Found, Packets, Polled, PollingSessions, WaitingPoll};
