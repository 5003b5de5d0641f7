//! The whole program: `gatecrash run` as a script runs it, against servers that are real or written down.

pub mod process;
pub mod program;
pub mod services;

mod broken;
mod carriers;
mod embedded;
mod first_contact;
mod metrics;
mod mixes;
mod models;
mod processes;
mod schedules;
mod sources;
mod starved;
pub mod steps;
mod stopping;
mod targets;
mod terminal;
mod tls;
mod token_life;
mod transports;
mod verdicts;
