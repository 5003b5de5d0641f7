//! A run while it lasts: its figures once a second, for the terminal and for Prometheus.
//!
//! Whoever merges what the shards deliver makes a [`Now`] of it each second, and hands it to
//! [`Progress`](crate::run::progress::Progress). From there on it is data: [`screen`] draws it, [`exposition`] writes it down, and
//! neither knows where it comes from. Nothing of this is seen by a shard.

pub mod exposition;
mod now;
pub mod screen;
mod serve;
mod terminal;

pub use now::{Buckets, GeneratorNow, LastSecond, Left, Now, PhaseNow};
pub use serve::{Page, PageError};
pub use terminal::{Key, View, give_back};
