//! The load engine: one shard's arrivals, from their planned instant to their outcome, and the sockets they become.
//!
//! [`Engine`] is a [`reactor::Service`], so all of it runs on the shard's one thread. It passes each callback to the part
//! that owns the data. Bytes go to the [`Connection`](crate::speak::connection::Connection), which knows the protocol
//! only; the events that it returns get their time from the reactor's clock.
//!
//! ```text
//! planned -> (token requested -> answered) -> connect -> TLS -> upgrade -> open -> joined -> outcome -> held -> closed
//!            arrivals.rs                      handshakes.rs                                  held.rs
//! ```
//!
//! Each planned arrival gets exactly one outcome, wherever it ends. The connections of a polling session share a
//! `Session`; work of one connection on another is a `DeferredAction` of the next turn. Nothing here knows about files,
//! thresholds or the terminal.
//!
//! The modules, from the lowest to the highest:

mod expiry;
mod fault;
mod flight;
mod reporter;
mod settings;
mod starts;
mod targets;
mod waiting;

mod socket;

mod sessions;

mod common;

mod held;

mod handshakes;

mod turn;

mod arrivals;
mod polling;

mod service;

pub use service::Engine;
pub use waiting::WAITING_MAX;
