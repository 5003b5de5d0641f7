//! The client's side of the protocols: connections as state machines without I/O, and where they connect to.

pub mod connection;
pub mod target;
