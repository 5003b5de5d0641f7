//! The gate and the frontend over real sockets, with an independent client.

mod frontend;

mod clients;
mod conformance;
mod http;
mod lifecycle;
mod limits;
mod peers;
mod polling;
mod refusals;
mod servers;
mod sessions;
mod tokens;
