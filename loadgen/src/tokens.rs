//! Where the engine gets its tokens: all of them before T0, or each when its arrival is due.
//!
//! The engine's shards are bare threads that must never wait, so a token that is not ready is asked for by a
//! [`Ticket`] over a bounded queue, made by a task of the runtime, and handed back through the shard's own channel,
//! with a wake-up. Nothing here knows about sockets or schedules.

pub mod login;

mod error;
mod expiry;
mod invalid;
mod kept;
mod prepare;
mod relay;
mod requests;
mod supply;
mod ticket;

pub use error::TokenError;
pub use expiry::expires_at;
pub use invalid::{INVALID_USERS_MAX, InvalidTokens};
pub use kept::Kept;
pub use prepare::prepare;
pub use relay::{Relay, relay};
pub use requests::{QueueFull, Requests};
pub use supply::{Prepared, Supply};
pub use ticket::{Answer, Ticket};
