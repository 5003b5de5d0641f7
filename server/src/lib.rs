//! `gatekeeper`: a socket server that authenticates by JSON Web Token, and the web frontend that issues
//! the tokens.
//!
//! The modules stand in the order of their layers: each may use those above it in this file, none below it.

mod closed_set;
mod process;
mod descriptors;
pub mod session_key;
pub mod keys;
pub mod verify;
pub mod tls;
pub mod metrics;
pub mod session;
pub mod gate;
pub mod frontend;
mod processes;
mod takeover;
mod inherited;
pub mod config;
pub mod server;
pub mod command;
