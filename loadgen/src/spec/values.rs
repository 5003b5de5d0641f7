//! Values that flags and files name: each with an error that names what is allowed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::ground::values::{Period, ValueError};
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

/// How a socket is closed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// Socket.IO: the namespace's disconnect packet, then a close frame, as its own client does.
    Disconnect,
    /// A close frame with 1000 (RFC 6455 section 7.1.2), as a browser does.
    Frame,
    /// TCP's FIN without a close frame, as a killed process does.
    Fin,
    /// TCP's RST, as a restarted machine does.
    Reset,
}

/// Messages that an established socket sends.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Echo {
    /// Messages per socket; zero: none.
    pub count: u32,
    /// Planned messages per second and socket; `None`: the next follows the answer.
    pub rate_per_s: Option<f64>,
    /// Length of a payload, from [`MESSAGE_BYTES_MIN`] to [`MESSAGE_BYTES_MAX`].
    pub bytes: usize,
    /// The Socket.IO event.
    pub event: String,
    /// What answers a message; with [`AnsweredBy::None`] there is a rate.
    pub answered_by: AnsweredBy,
}

impl Echo {
    /// Whether messages are sent whose answers are waited for.
    pub fn awaits_answers(&self) -> bool {
        self.count > 0 && self.answered_by != AnsweredBy::None
    }
}

/// A payload begins with its message's number, a `u64` in hexadecimal, by which the answer is recognised.
pub const MESSAGE_BYTES_MIN: usize = 16;
/// Servers take messages of a megabyte at most unless configured otherwise (Engine.IO's `maxPayload`); the rest is framing.
pub const MESSAGE_BYTES_MAX: usize = 900_000;

/// What answers a message.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AnsweredBy {
    /// The same message sent back, or Socket.IO's acknowledgement, whichever comes first.
    Any,
    /// The same message sent back; no acknowledgement is asked for.
    Echo,
    /// Socket.IO's acknowledgement alone.
    Ack,
    /// Nothing: messages go one way.
    None,
}

impl AnsweredBy {
    /// Whether messages ask for an acknowledgement.
    pub fn asks_for_ack(self) -> bool {
        matches!(self, Self::Any | Self::Ack)
    }
}

/// When a token is renewed. Written `never`, `on-refusal` or `ahead:5s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// Never: the token is used for the whole run.
    #[default]
    Never,
    /// For the user's next socket, once the token's remaining lifetime is below this.
    Ahead(Duration),
    /// After the target refuses the token: the arrival gets another one and tries once more.
    OnRefusal,
}

impl FromStr for Refresh {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once(':') {
            None if text == "never" => Ok(Self::Never),
            None if text == "on-refusal" => Ok(Self::OnRefusal),
            Some(("ahead", time)) => Ok(Self::Ahead(time.parse::<Period>()?.0)),
            _ => Err(ValueError::new(
                text,
                "time to refresh a token",
                "write never, on-refusal, or ahead:5s for as long before its exp",
            )),
        }
    }
}

impl fmt::Display for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::OnRefusal => f.write_str("on-refusal"),
            Self::Ahead(time) => write!(f, "ahead:{time:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_refresh_are_read() {
        let ahead = |s| Ok(Refresh::Ahead(Duration::from_secs(s)));
        for (text, expected) in [
            ("never", Ok(Refresh::Never)),
            ("on-refusal", Ok(Refresh::OnRefusal)),
            ("ahead:5s", ahead(5)),
            ("ahead:1m30s", ahead(90)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in ["", "ahead", "ahead:", "ahead:5", "always", "never:1s"] {
            let error = text.parse::<Refresh>().unwrap_err().to_string();
            assert!(error.contains("write "), "{text}: {error}");
        }
        assert_eq!(Refresh::Ahead(Duration::from_secs(5)).to_string(), "ahead:5s");
    }
}
