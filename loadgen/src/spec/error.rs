//! Why a run cannot be done as asked, and whose fault that is.

use crate::ground::outcome::TokenKind;
use crate::plan::instants::InstantsError;
use crate::spec::file::FileError;
use crate::spec::secret::SecretError;
use crate::spec::signing::SigningError;
use crate::spec::steps::StepsError;
use crate::spec::tls::CacertError;
use crate::spec::users::UsersError;

/// Why a run cannot be done as asked.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Two things were asked that exclude each other.
    #[error("{asked}: {why}")]
    Conflict {
        /// The flags.
        asked: String,
        /// Why they cannot both be.
        why: &'static str,
    },
    /// A value is outside of what it may be.
    #[error("{flag} {given} is not allowed: {allowed}")]
    OutOfRange {
        /// The flag.
        flag: &'static str,
        /// What was given.
        given: String,
        /// What may be given.
        allowed: String,
    },
    /// Something is missing that nothing can stand in for.
    #[error("{0}")]
    Missing(&'static str),
    /// The scenario file is at fault.
    #[error(transparent)]
    File(#[from] FileError),
    /// A secret could not be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A key does not sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// An invalid token of the mix cannot be made from what was given.
    #[error("--mix {}: {why}", .kind.as_str())]
    CannotMakeInvalid {
        /// Which.
        kind: TokenKind,
        /// What is missing.
        why: &'static str,
    },
    /// The instants of the arrivals could not be had.
    #[error(transparent)]
    Instants(#[from] InstantsError),
    /// The certificate authorities could not be had.
    #[error(transparent)]
    Cacert(#[from] CacertError),
    /// A step of a login is at fault.
    #[error(transparent)]
    Steps(#[from] StepsError),
    /// The users could not be had.
    #[error(transparent)]
    Users(#[from] UsersError),
}

impl SpecError {
    /// 2 where the command line contradicts itself, 104 where what it names is at fault.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Conflict { .. } | Self::OutOfRange { .. } => 2,
            _ => 104,
        }
    }
}

/// The value, if it is from `min` to `max`.
pub fn in_range<T>(flag: &'static str, given: T, min: T, max: T) -> Result<T, SpecError>
where
    T: PartialOrd + std::fmt::Display,
{
    if given >= min && given <= max {
        return Ok(given);
    }
    Err(SpecError::OutOfRange { flag, given: given.to_string(), allowed: format!("{min} to {max}") })
}

/// Two things that exclude each other.
pub fn conflict(asked: &str, why: &'static str) -> SpecError {
    SpecError::Conflict { asked: asked.to_owned(), why }
}
