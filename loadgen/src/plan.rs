//! What is decided before a run starts, as pure functions: when arrivals are due.

pub mod arrival;
