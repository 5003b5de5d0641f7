//! When a token is renewed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::ground::values::{Period, ValueError};

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
