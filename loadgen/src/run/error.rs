//! What keeps a run from its result, and its exit code.

use std::io;

use reports::store::StoreError;

use crate::drive::processes::GroupError;
use crate::ground::environment::{TooFewDescriptors, TooFewPorts, TooLittleMemory};
use crate::judge::verdict;
use crate::run::embedded::EmbeddedError;
use crate::run::live::PageError;
use crate::run::observe::MetricsError;
use crate::speak::target::TargetError;
use crate::spec::SpecError;
use crate::tokens::TokenError;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What was asked cannot be meant.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The machine allows too little.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// The machine has too few ports.
    #[error(transparent)]
    Ports(#[from] TooFewPorts),
    /// The machine has too little memory.
    #[error(transparent)]
    Memory(#[from] TooLittleMemory),
    /// The generator's processes do not start.
    #[error(transparent)]
    Processes(#[from] GroupError),
    /// The output folder cannot be written.
    #[error("{0}; choose another folder with --out")]
    Store(#[from] StoreError),
    /// The embedded server does not start.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The target cannot be reached.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Nobody has a token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The process to observe is not there.
    #[error("--server-pid {pid}: {error}; name a process that runs on this machine")]
    ServerPid {
        /// As it was named.
        pid: u32,
        /// What the system says.
        error: io::Error,
    },
    /// The server's metrics cannot be read.
    #[error(transparent)]
    ServerMetrics(#[from] MetricsError),
    /// The run's figures cannot be served.
    #[error(transparent)]
    Prometheus(#[from] PageError),
    /// A signal came first.
    #[error("stopped by a signal before the first arrival: nothing was measured")]
    StoppedBeforeStart,
    /// A thread, a runtime or a signal handler could not be made.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}

impl RunError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spec(error) => error.exit_code(),
            Self::StoppedBeforeStart => verdict::STOPPED,
            Self::Start(_) | Self::Processes(_) => verdict::INTERNAL,
            Self::Descriptors(_)
            | Self::Ports(_)
            | Self::Memory(_)
            | Self::Store(_)
            | Self::Embedded(_)
            | Self::Target(_)
            | Self::Token(_)
            | Self::ServerMetrics(_)
            | Self::Prometheus(_)
            | Self::ServerPid { .. } => verdict::CONFIGURATION,
        }
    }
}
