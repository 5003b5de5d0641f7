//! `gatekeeper`: a socket server that lets sockets in by JSON Web Token, and the web frontend that hands
//! its tokens out.
//!
//! Reading order: a [`keys::Ring`] of prepared keys; [`verify::Verifier`], which judges a token by them;
//! the [`gate`], which runs a handshake on a shard; the [`session`] that lives on an accepted socket; the
//! [`frontend`], where a user logs in and fetches a token; [`config`], which turns flags into what a
//! [`server`] runs, under [`tls`] if asked; the [`command`] that verifies tokens without one; [`metrics`], which count what happened.

pub mod keys;
pub mod verify;

pub mod session;

pub mod gate;

pub mod frontend;

pub mod session_key;

pub mod config;
pub mod inherited;
pub mod processes;
pub mod server;
pub mod takeover;
pub mod tls;

pub mod command;

mod process;

mod descriptors;

pub mod metrics;
