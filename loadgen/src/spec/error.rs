//! Why a run cannot be done as asked, and whose fault that is.

use crate::ground::values::InputError;

/// Why a run cannot be done as asked.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Flags contradict each other, or a value is out of its range.
    #[error("{0}")]
    Flags(String),
    /// Something is missing for which there is no default.
    #[error("{0}")]
    Missing(&'static str),
    /// A file, a secret or a key that the flags name cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
}

impl SpecError {
    /// 2 where the command line contradicts itself, 104 where what it names is at fault.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Flags(_) => 2,
            Self::Missing(_) | Self::Input(_) => 104,
        }
    }
}

/// The value, if it is from `min` to `max`.
pub fn in_range<T>(flag: &str, given: T, min: T, max: T) -> Result<T, SpecError>
where
    T: PartialOrd + std::fmt::Display,
{
    if given >= min && given <= max {
        return Ok(given);
    }
    Err(out_of_range(flag, given, &format!("{min} to {max}")))
}

/// The error of a value that a flag does not take.
pub fn out_of_range(flag: &str, given: impl std::fmt::Display, allowed: &str) -> SpecError {
    SpecError::Flags(format!("{flag} {given} is not allowed: {allowed}"))
}

/// The error of flags that exclude each other.
pub fn conflict(asked: &str, why: &str) -> SpecError {
    SpecError::Flags(format!("{asked}: {why}"))
}
