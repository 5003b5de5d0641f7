//! Everything of `gatecrash` that needs real sockets, in one binary.

mod allocation;
mod engine;
mod engine_driver;
mod engine_failures;
mod engine_latency;
mod engine_polling;
mod engine_servers;
mod engine_sockets;
mod engine_tls;
mod engine_tokens;
mod errors;
mod peers;
mod run;
mod scenario_docs;
mod scenarios;
