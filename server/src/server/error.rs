//! Why a server did not start, or ended.

use std::{io, net::SocketAddr};

use crate::config::ConfigError;
use crate::gate::ShardFailed;
use crate::inherited::InheritError;
use crate::processes::ProcessFailed;
use crate::takeover::TakeoverError;

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The flags, or what they name.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address could not be listened on.
    #[error("listen on {addr}: {}; choose another with {flag}", listen_fault(error))]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The flag that names it.
        flag: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// The process could not be kept to its cpus.
    #[error("--pin: these cpus cannot be used: {0}")]
    Pin(io::Error),
    /// A thread, an epoll set or a signal handler could not be made.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    /// Listeners that were handed over cannot be used.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// Nothing can be taken over, or handed over.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// A process of the gate did not start, or ended by itself.
    #[error(transparent)]
    Process(#[from] ProcessFailed),
    /// A shard of the gate ended by itself.
    #[error(transparent)]
    Shard(#[from] ShardFailed),
    /// The frontend ended by itself.
    #[error("the frontend failed: {0}")]
    Frontend(io::Error),
}

impl ServeError {
    /// The exit code: 104 for an invalid configuration, 1 for an internal error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Listen { .. } | Self::Pin(_) | Self::Inherit(_) | Self::Takeover(_) => 104,
            Self::Process(failed) => failed.exit_code(),
            Self::Start(_) | Self::Shard(_) | Self::Frontend(_) => 1,
        }
    }
}

fn listen_fault(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".into(),
        _ => error.to_string(),
    }
}
