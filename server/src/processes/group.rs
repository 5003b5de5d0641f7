//! What the processes of a gate share.

use std::net::TcpListener;

use crate::{frontend::FrontendAddrs, tls::Tls};

/// What the processes are to be.
pub struct Group {
    /// The gate's listeners, at least one.
    pub listeners: Vec<TcpListener>,
    /// How many processes, at least one.
    pub processes: u16,
    /// How many shards each has, at least one.
    pub shards: usize,
    /// Where the parent's frontend is, if it has one.
    pub frontend: Option<FrontendAddrs>,
    /// What they share for TLS, if they speak it.
    pub tls: Option<Tls>,
}
