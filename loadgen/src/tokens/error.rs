//! Why no arrival can have a token.

use crate::ground::values::InputError;
use crate::tokens::login::{ClientError, LoginError};

/// Why no arrival can have a token, so that the run does not begin.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A login or a token request of a user failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The task of a login panicked: an internal error.
    #[error("a login was lost: {0}")]
    Task(#[source] tokio::task::JoinError),
    /// A key, the mix or a file of tokens cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
}
