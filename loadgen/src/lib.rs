//! Load tests for services that let sockets in by JSON Web Token.
//!
//! The modules are layers, listed from the lowest to the highest: each may use those above it in this list, none
//! below. ARCHITECTURE.md shows the same order, and a test holds the imports against it.

pub mod ground;
pub mod plan;
pub mod spec;
pub mod speak;
pub mod tokens;
pub mod drive;
pub mod judge;
pub mod run;
pub mod cli;
