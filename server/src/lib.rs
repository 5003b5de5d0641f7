//! `gatekeeper`: a socket server that authenticates by JSON Web Token, and the web frontend that issues
//! the tokens.
//!
//! The modules stand in the order of their layers: each may use those above it in this file, none below it.

pub mod command;
pub mod config;
mod descriptors;
pub mod frontend;
pub mod gate;
pub mod inherited;
pub mod keys;
pub mod metrics;
mod process;
pub mod processes;
pub mod server;
pub mod session;
pub mod session_key;
pub mod takeover;
pub mod tls;
pub mod verify;
