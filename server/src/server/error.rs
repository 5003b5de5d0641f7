use std::{io, net::SocketAddr};

use crate::config::ConfigError;
use crate::gate::ShardFailed;
use crate::inherited::InheritError;
use crate::processes::ProcessFailed;
use crate::takeover::TakeoverError;

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The flags, or the files that they name, are invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server cannot listen on this address, which the flag names.
    #[error("listen on {0}: {fault}; choose another with {1}", fault = listen_fault(.2))]
    Listen(SocketAddr, &'static str, io::Error),
    /// The process could not be pinned to its cpus.
    #[error("--pin: these cpus cannot be used: {0}")]
    Pin(io::Error),
    /// A thread, an epoll set or a signal handler could not be created.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    /// Listeners that were handed over cannot be used.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// No takeover is possible.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// A process of the gate did not start, or ended before the drain.
    #[error(transparent)]
    Process(#[from] ProcessFailed),
    /// A shard of the gate ended before the drain.
    #[error(transparent)]
    Shard(#[from] ShardFailed),
    /// The frontend ended before the drain.
    #[error("the frontend failed: {0}")]
    Frontend(io::Error),
}

impl ServeError {
    /// The exit code: 104 for an invalid configuration, 1 for an internal error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Listen(..) | Self::Pin(_) | Self::Inherit(_) | Self::Takeover(_) => 104,
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
