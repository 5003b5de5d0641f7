//! A run while it lasts: its figures once a second, for the terminal and for Prometheus.
//!
//! Each second the run makes a [`Now`] of the merged recorders and gives it to `run/progress.rs`. It is plain data:
//! [`screen`] draws it, [`exposition`] writes it for Prometheus. Shards know nothing of it.

pub mod exposition;
mod now;
pub mod screen;
mod serve;
mod terminal;

pub use now::{Buckets, GeneratorNow, LastSecond, Left, Now, PhaseNow};
pub use serve::{Page, PageError};
pub use terminal::{Key, View, restore};
