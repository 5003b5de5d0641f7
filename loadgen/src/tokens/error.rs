//! Why no arrival can have a token.

use crate::spec::SigningError;
use crate::tokens::invalid::CannotMakeInvalid;
use crate::tokens::login::{ClientError, LoginError};

/// Why no arrival can have a token: what was asked for cannot be done, and the run does not begin.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A user's session or token was not to be had.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// There is no client to ask with.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A login's task ended by itself: this program's own fault.
    #[error("a login was lost: {0}")]
    Task(#[source] tokio::task::JoinError),
    /// A key does not sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// An invalid kind of the mix cannot be made.
    #[error(transparent)]
    Invalid(#[from] CannotMakeInvalid),
    /// A file of tokens does not give any.
    #[error("tokens from {path}: {problem}", path = .path.display())]
    File {
        /// As it was named.
        path: std::path::PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}
