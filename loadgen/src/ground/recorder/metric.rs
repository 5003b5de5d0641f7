//! The names of what is timed.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ground::outcome::Phase;

/// A part of a duration with a planned instant: `response = service + lag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// From the planned instant to the end.
    Response,
    /// From the actual start to the end.
    Service,
    /// From the planned instant to the actual start.
    Lag,
}

/// Something whose durations are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// A phase within an arrival: its duration alone.
    Phase(Phase),
    /// The whole handshake, less what login and token took.
    Handshake(Part),
    /// A message and its answer.
    Echo(Part),
    /// From a token's `exp` until the target closed the socket that it had accepted.
    CloseAtExp,
}

impl Metric {
    /// Every metric, in the order of [`index`](Self::index).
    pub const ALL: [Self; 15] = [
        Self::Phase(Phase::Login),
        Self::Phase(Phase::Token),
        Self::Phase(Phase::Connect),
        Self::Phase(Phase::Tls),
        Self::Phase(Phase::Upgrade),
        Self::Phase(Phase::Open),
        Self::Phase(Phase::Poll),
        Self::Phase(Phase::Auth),
        Self::Handshake(Part::Response),
        Self::Handshake(Part::Service),
        Self::Handshake(Part::Lag),
        Self::Echo(Part::Response),
        Self::Echo(Part::Service),
        Self::Echo(Part::Lag),
        Self::CloseAtExp,
    ];

    /// The index in [`ALL`](Self::ALL).
    pub fn index(self) -> usize {
        match self {
            Self::Phase(phase) => phase as usize,
            Self::Handshake(part) => Phase::ALL.len() + part as usize,
            Self::Echo(part) => Phase::ALL.len() + 3 + part as usize,
            Self::CloseAtExp => Phase::ALL.len() + 6,
        }
    }

    /// The tag in `run.hlog`; the format allows neither commas nor spaces.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Phase(phase) => phase.as_str(),
            Self::Handshake(Part::Response) => "handshake.response",
            Self::Handshake(Part::Service) => "handshake.service",
            Self::Handshake(Part::Lag) => "handshake.lag",
            Self::Echo(Part::Response) => "echo.response",
            Self::Echo(Part::Service) => "echo.service",
            Self::Echo(Part::Lag) => "echo.lag",
            Self::CloseAtExp => "close_at_exp",
        }
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.tag())
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let tag = String::deserialize(from)?;
        let found = Self::ALL.into_iter().find(|metric| metric.tag() == tag);
        found.ok_or_else(|| de::Error::custom(format_args!("{tag:?} is not the tag of any metric")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_stands_at_its_index() {
        for (place, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric.index(), place, "{metric:?}");
        }
    }
}
