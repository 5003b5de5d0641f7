use std::net::TcpListener;

use crate::{frontend::FrontendAddrs, tls::Tls};

/// The settings of all processes of a gate.
pub struct Group {
    /// The gate's listeners, at least one.
    pub listeners: Vec<TcpListener>,
    /// The number of processes, at least one.
    pub processes: u16,
    /// The number of shards of each process, at least one.
    pub shards: usize,
    /// The addresses of the parent's frontend, if it has one.
    pub frontend: Option<FrontendAddrs>,
    pub tls: Option<Tls>,
}
