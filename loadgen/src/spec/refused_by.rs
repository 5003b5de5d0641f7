//! Close codes that refuse a token.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ground::values::ValueError;

/// Close codes that refuse the token where they come within the grace, as `--refused-by` takes them.
///
/// ```text
/// list = part *( "," part )        part = code | first "-" last
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RefusedBy(Vec<RangeInclusive<u16>>);

/// The codes that a peer may send (RFC 6455 section 7.4.2).
const CODES: RangeInclusive<u16> = 1000..=4999;

impl RefusedBy {
    /// Whether a close with this code refuses the token.
    pub fn contains(&self, code: u16) -> bool {
        self.0.iter().any(|codes| codes.contains(&code))
    }
}

impl Default for RefusedBy {
    /// 1008 is "policy violation" (RFC 6455 section 7.4.1); 3000 and 3003 are registered as Unauthorized and Forbidden
    /// (IANA, WebSocket Close Code Number Registry). Private codes from 4000 to 4499 are applications' own words for a
    /// refusal: 4001 and 4003 of Channels and Pusher, or 4000 plus an HTTP status, of which 4408 and 4429 are about time
    /// and load.
    fn default() -> Self {
        Self(vec![1008..=1008, 3000..=3000, 3003..=3003, 4000..=4407, 4409..=4428, 4430..=4499])
    }
}

impl fmt::Display for RefusedBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, codes) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            match (codes.start(), codes.end()) {
                (first, last) if first == last => write!(out, "{comma}{first}")?,
                (first, last) => write!(out, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for RefusedBy {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || {
            ValueError::new(
                text,
                "list of close codes",
                "write codes from 1000 to 4999 and ranges of them, as in 1008,4000-4499",
            )
        };
        let part = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let code = |text: &str| text.trim().parse().ok().filter(|code| CODES.contains(code));
            let (first, last) = (code(first)?, code(last)?);
            (first <= last).then_some(first..=last)
        };
        text.split(',').map(|text| part(text).ok_or_else(error)).collect::<Result<_, _>>().map(Self)
    }
}

impl From<RefusedBy> for String {
    fn from(codes: RefusedBy) -> Self {
        codes.to_string()
    }
}

impl TryFrom<String> for RefusedBy {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_about_the_token_are_refusals_and_closes_about_load_are_not() {
        for (code, refuses, why) in [
            (1000, false, "normal"),
            (1008, true, "policy violation"),
            (1011, false, "the server's own error"),
            (1013, false, "try again later"),
            (3000, true, "unauthorized"),
            (3003, true, "forbidden"),
            (4000, true, "the first private code"),
            (4001, true, "Channels, Pusher"),
            (4003, true, "FastAPI's own words"),
            (4401, true, "401"),
            (4408, false, "request timeout"),
            (4429, false, "too many requests"),
            (4500, false, "internal error"),
        ] {
            assert_eq!(RefusedBy::default().contains(code), refuses, "{code}: {why}");
        }
    }

    #[test]
    fn lists_are_read_and_written_alike() {
        for (text, read) in [
            ("4100", Some("4100")),
            ("1008, 4000-4499", Some("1008,4000-4499")),
            ("4002-4002", Some("4002")),
            ("", None),
            ("999", None),
            ("5000", None),
            ("4499-4000", None),
            ("4000-", None),
            ("4000,,4001", None),
        ] {
            let seen: Option<String> = text.parse::<RefusedBy>().ok().map(|codes| codes.to_string());
            assert_eq!(seen.as_deref(), read, "{text}");
        }
        let default = RefusedBy::default();
        assert_eq!(default.to_string().parse(), Ok(default));
    }
}
