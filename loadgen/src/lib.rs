//! Load tests for services that let sockets in by JSON Web Token.

pub mod cli;
pub mod scenario;

pub mod arrival;
pub mod expression;

pub mod login;
pub mod target;
pub mod tokens;

pub mod embedded;
pub mod environment;
pub mod live;
pub mod observe;
pub mod progress;

pub mod outcome;
pub mod recorder;

pub mod connection;
pub mod engine;
pub mod shard;

pub mod collect;
pub mod result;
pub mod validity;
pub mod verdict;

pub mod run;
