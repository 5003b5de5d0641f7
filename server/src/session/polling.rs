//! Engine.IO sessions of clients that poll: a GET waits for packets, a POST sends packets (engine.io-protocol, "HTTP
//! long-polling").
//!
//! A session lives on one shard, whose number is part of the session's id. It outlives its connections, which are known by
//! their numbers. The answers to the packets of a POST are sent on another connection, the waiting poll. They are
//! collected as [`Delivery`]s, which the shard sends once per turn.

mod lifecycle;
mod name;
mod table;
#[cfg(test)]
mod tests;

pub use lifecycle::Sessions;
pub use name::{Key, SessionName};
pub use table::{Delivery, Found, Packets, Polled, PollingSessions, WaitingPoll};
