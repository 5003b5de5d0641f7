//! What is decided before a run starts, as pure functions: when arrivals are due, which token and target each has, and
//! how long its socket stays.

pub mod shares;
pub mod stages;

pub mod arrival;
pub mod hold;
pub mod instants;
pub mod mix;
pub mod model;
