//! The requests of sessions that poll, their answers, and the actions that one connection leaves for another.

mod actions;
mod answers;
mod requests;

pub use actions::run_deferred;
pub use answers::{receive_poll_answers, receive_post_answers, receive_probe};
pub use requests::start_later_connection;
