//! Why there is no embedded server.

use crate::run::embedded::child::ChildError;

/// Why there is no embedded server.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// One of its processes did not come up.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// Its users cannot be written for it.
    #[error("cannot write the embedded server's users: {0}")]
    Users(#[from] std::io::Error),
    /// A user's name cannot be put into a users file.
    #[error("the user {0:?} cannot be one of the embedded server's: a name may hold no comma, quote or line end")]
    Name(String),
}
