//! The gate and the frontend over real sockets, with an independent client.

mod frontend;

mod clients;
mod conformance;
mod deaths;
mod descriptors;
mod expiry;
mod http;
mod jwks;
mod lifecycle;
mod limits;
mod oracle;
mod peers;
mod polling;
mod processes;
mod refusals;
mod restarts;
mod rotation;
mod seeds;
mod servers;
mod session_lookups;
mod sessions;
mod tls;
mod tokens;
mod verify_command;
