//! Values that flags and files name: each with an error that names what is allowed.

use std::path::PathBuf;
use std::str::FromStr;

use crate::ground::values::ValueError;
use crate::plan::model::Arrivals;

/// When arrivals come, as `--arrivals` takes it: `uniform`, `poisson`, or a file of instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArrivalsText {
    /// By a rate.
    Gaps(Arrivals),
    /// As a file lists them.
    File(PathBuf),
}

impl FromStr for ArrivalsText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "uniform" => Self::Gaps(Arrivals::Uniform),
            "poisson" => Self::Gaps(Arrivals::Poisson),
            path => Self::File(PathBuf::from(path)),
        })
    }
}

/// The source of tokens, as `--token-source` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSourceName {
    /// `login`
    Login,
    /// `mint`
    Mint,
    /// `file:PATH`
    File(PathBuf),
}

impl FromStr for TokenSourceName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match (text, text.strip_prefix("file:")) {
            ("login", _) => Ok(Self::Login),
            ("mint", _) => Ok(Self::Mint),
            (_, Some(path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            _ => Err(ValueError::new(text, "source of tokens", "write login, mint or file:PATH")),
        }
    }
}

/// How often a token is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenPer {
    /// One for each arrival.
    Connection,
    /// One for each user, before the first planned instant.
    User,
}

/// Whether generator and server keep to processors of their own.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// Separate processors, where there are two or more.
    Auto,
    /// The kernel decides.
    None,
}

/// The name of a value, as its flag takes it.
pub fn flag_name(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |named| named.get_name().to_owned())
}
