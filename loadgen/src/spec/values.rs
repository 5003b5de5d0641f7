//! The small values of flags and files: durations, rates, carriers, each with the words that say what is allowed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::plan::arrival::{Arrivals, RATE_PER_S_MAX};
use crate::spec::TokenIn;

/// A value that could not be understood: what was given, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no {what}: {allowed}")]
pub struct ValueError {
    given: String,
    what: &'static str,
    allowed: &'static str,
}

impl ValueError {
    pub(crate) fn new(given: &str, what: &'static str, allowed: &'static str) -> Self {
        Self { given: given.to_owned(), what, allowed }
    }
}

/// A duration as people write it: `500ms`, `10s`, `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

/// A day is longer than any run; beyond it a number is a slip of the finger.
const PERIOD_S_MAX: f64 = 86_400.0;

impl FromStr for Period {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || {
            ValueError::new(
                text,
                "duration",
                "write numbers with a unit (us, ms, s, m, h), up to 24h, such as 500ms, 10s, 1m30s or 1h",
            )
        };
        let mut rest = text.trim();
        let mut total_s = 0.0;
        if rest.is_empty() {
            return Err(error());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
            let (number, after) = rest.split_at(digits);
            let unit = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit);
            let unit_s = match unit {
                "us" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(error()),
            };
            total_s += number.parse::<f64>().map_err(|_| error())? * unit_s;
            rest = after;
        }
        if total_s > PERIOD_S_MAX {
            return Err(error());
        }
        Ok(Self(Duration::from_nanos((total_s * 1e9).round() as u64)))
    }
}

/// Events per second: finite, above zero and at most [`RATE_PER_S_MAX`]. Written `500` or `500/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerSecond(f64);

impl PerSecond {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for PerSecond {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let number = text.trim();
        let number = number.strip_suffix("/s").unwrap_or(number).trim_end();
        match number.parse::<f64>() {
            Ok(per_s) if per_s > 0.0 && per_s <= RATE_PER_S_MAX => Ok(Self(per_s)),
            _ => Err(ValueError::new(text, "rate", "write a number above 0 and at most 1e9, by itself or as 500/s")),
        }
    }
}

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

impl FromStr for TokenIn {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (carrier, name) = match text.split_once(':') {
            Some((carrier, name)) => (carrier, Some(name)),
            None => (text, None),
        };
        let named = name.unwrap_or("token");
        let is_token = !named.is_empty() && named.bytes().all(is_token_byte);
        match (carrier, name) {
            ("query", _) if is_token => Ok(Self::Query(named.to_owned())),
            ("cookie", _) if is_token => Ok(Self::Cookie(named.to_owned())),
            ("auth", _) if is_token => Ok(Self::Auth(named.to_owned())),
            ("header", None) => Ok(Self::Header),
            ("subprotocol", None) => Ok(Self::Subprotocol),
            _ => Err(ValueError::new(
                text,
                "place for a token",
                "write query:NAME, header, subprotocol, cookie:NAME or auth:NAME, NAME of letters, digits, - _ and .",
            )),
        }
    }
}

impl fmt::Display for TokenIn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(name) => write!(out, "query:{name}"),
            Self::Header => out.write_str("header"),
            Self::Subprotocol => out.write_str("subprotocol"),
            Self::Cookie(name) => write!(out, "cookie:{name}"),
            Self::Auth(name) => write!(out, "auth:{name}"),
        }
    }
}

/// Which source of tokens was named.
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

/// A byte of a token: RFC 9110 section 5.6.2, less those that mean something in a query.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// Which protocol was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProtocolName {
    /// RFC 6455 alone.
    #[value(name = "websocket")]
    WebSocket,
    /// Socket.IO over Engine.IO.
    #[value(name = "socketio")]
    SocketIo,
}

/// A version of Engine.IO, as `--eio` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineIo(pub wire::engineio::Version);

impl FromStr for EngineIo {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        wire::engineio::Version::from_query(text).map(Self).ok_or_else(|| {
            ValueError::new(text, "version of Engine.IO", "write 4 (Socket.IO 3 and 4) or 3 (Socket.IO 1 and 2)")
        })
    }
}

/// How credentials travel at login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoginMethod {
    /// GET with `Authorization: Basic` (RFC 7617).
    Basic,
    /// POST of a form with the fields `username` and `password`.
    Form,
    /// POST of a JSON object with those fields.
    Json,
}

impl LoginMethod {
    /// As the flag takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Form => "form",
            Self::Json => "json",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T>(table: &[(&str, Option<T>, &str)])
    where
        T: FromStr<Err: fmt::Display + fmt::Debug> + PartialEq + fmt::Debug,
    {
        for (text, expected, why) in table {
            assert_eq!(text.parse::<T>().ok().as_ref(), expected.as_ref(), "{text:?}: {why}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let ms = |ms| Some(Period(Duration::from_millis(ms)));
        check(&[
            ("500ms", ms(500), "milliseconds"),
            ("10s", ms(10_000), "seconds"),
            ("2m", ms(120_000), "minutes"),
            ("1h", ms(3_600_000), "hours"),
            ("1m30s", ms(90_000), "as k6 writes them"),
            ("1.5s", ms(1_500), "fractions"),
            ("0s", ms(0), "nothing is a time too"),
            ("10", None, "ten what?"),
            ("", None, "nothing was said"),
            ("s", None, "how many?"),
            ("1.2.3s", None, "no number"),
            ("-1s", None, "time goes forward"),
            ("10 s", None, "one word"),
            ("25h", None, "longer than a day"),
            ("10x", None, "no such unit"),
        ]);
    }

    #[test]
    fn rates_are_above_zero() {
        for (text, expected) in [
            ("500", Some(500.0)),
            ("500/s", Some(500.0)),
            ("0.5/s", Some(0.5)),
            ("0", None),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("2e9", None),
            ("5/m", None),
        ] {
            assert_eq!(text.parse().ok().map(PerSecond::get), expected, "{text}");
        }
    }

    #[test]
    fn carriers_are_named() {
        check(&[
            ("query:token", Some(TokenIn::Query("token".into())), "as the original has it"),
            ("query", Some(TokenIn::Query("token".into())), "the usual name"),
            ("cookie:jwt", Some(TokenIn::Cookie("jwt".into())), "a cookie"),
            ("auth:token", Some(TokenIn::Auth("token".into())), "Socket.IO's payload"),
            ("header", Some(TokenIn::Header), "RFC 6750"),
            ("subprotocol", Some(TokenIn::Subprotocol), "what browsers can set"),
            ("header:X-Token", None, "the header is Authorization"),
            ("query:a&b", None, "would end the parameter"),
            ("query:", None, "a parameter has a name"),
            ("body", None, "a GET has none"),
        ]);
    }
}
