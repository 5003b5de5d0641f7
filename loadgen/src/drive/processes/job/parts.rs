//! The parts of a job that are types of their own in a scenario.

use std::sync::Arc;
use std::time::Duration;

use base64_simd::STANDARD;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use wire::engineio::Version;

use crate::drive::processes::job::JobError;
use crate::ground::outcome::{Expected, TokenKind};
use crate::plan::arrival::{Arrivals, RateProfile, Stage};
use crate::spec::{Hold, Lifetime, Load, Mix, Protocol, Refresh, Shares, TlsPlan};

/// A number that arrives as it was sent: JSON's readers may round its last bit, and a rate's last bit moves arrivals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exact(pub f64);

impl Serialize for Exact {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.to_bits())
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|bits| Self(f64::from_bits(bits)))
    }
}

/// 0 for a raw WebSocket, else the version of Engine.IO.
pub fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::WebSocket => 0,
        Protocol::SocketIo(version) => version.number(),
    }
}

/// The other way round.
pub fn protocol(number: u8) -> Result<Protocol, JobError> {
    match number {
        0 => Ok(Protocol::WebSocket),
        3 => Ok(Protocol::SocketIo(Version::V3)),
        4 => Ok(Protocol::SocketIo(Version::V4)),
        _ => Err(JobError::Part("protocol")),
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadPart {
    Open { rate_per_s: Exact, poisson: bool },
    Staged { stages: Vec<(Duration, Exact, Exact)>, poisson: bool },
    Listed { instants_ns: Vec<u64> },
    Closed { concurrency: u32 },
}

impl From<&Load> for LoadPart {
    fn from(load: &Load) -> Self {
        match load {
            Load::Open { rate_per_s, arrivals } => {
                Self::Open { rate_per_s: Exact(*rate_per_s), poisson: *arrivals == Arrivals::Poisson }
            }
            Load::Staged { profile, arrivals } => {
                let stages = profile.stages().iter().map(Stage::parts);
                Self::Staged {
                    stages: stages.map(|(time, from, to)| (time, Exact(from), Exact(to))).collect(),
                    poisson: *arrivals == Arrivals::Poisson,
                }
            }
            Load::Listed(instants) => Self::Listed { instants_ns: instants.to_vec() },
            Load::Closed { concurrency } => Self::Closed { concurrency: *concurrency },
        }
    }
}

impl TryFrom<LoadPart> for Load {
    type Error = JobError;

    fn try_from(part: LoadPart) -> Result<Self, JobError> {
        let gaps = |poisson| match poisson {
            true => Arrivals::Poisson,
            false => Arrivals::Uniform,
        };
        Ok(match part {
            LoadPart::Open { rate_per_s: Exact(rate_per_s), poisson } => {
                Self::Open { rate_per_s, arrivals: gaps(poisson) }
            }
            LoadPart::Staged { stages, poisson } => {
                let stage = |(time, Exact(from), Exact(to))| Stage::new(time, from, to);
                let stages: Option<Vec<Stage>> = stages.into_iter().map(stage).collect();
                let profile = stages.and_then(RateProfile::new);
                Self::Staged { profile: Arc::new(profile.ok_or(JobError::Part("load"))?), arrivals: gaps(poisson) }
            }
            LoadPart::Listed { instants_ns } => Self::Listed(instants_ns.into()),
            LoadPart::Closed { concurrency } => Self::Closed { concurrency },
        })
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldPart {
    For(Duration),
    Uniform(Duration, Duration),
    Exponential(Duration),
    LogNormal(Duration, Exact),
    UntilEnd,
}

impl From<Hold> for HoldPart {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::For(time) => Self::For(time),
            Hold::Drawn(Lifetime::Uniform { min, max }) => Self::Uniform(min, max),
            Hold::Drawn(Lifetime::Exponential { mean }) => Self::Exponential(mean),
            Hold::Drawn(Lifetime::LogNormal { median, sigma }) => Self::LogNormal(median, Exact(sigma)),
            Hold::UntilEnd => Self::UntilEnd,
        }
    }
}

impl From<HoldPart> for Hold {
    fn from(part: HoldPart) -> Self {
        match part {
            HoldPart::For(time) => Self::For(time),
            HoldPart::Uniform(min, max) => Self::Drawn(Lifetime::Uniform { min, max }),
            HoldPart::Exponential(mean) => Self::Drawn(Lifetime::Exponential { mean }),
            HoldPart::LogNormal(median, Exact(sigma)) => Self::Drawn(Lifetime::LogNormal { median, sigma }),
            HoldPart::UntilEnd => Self::UntilEnd,
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshPart {
    Never,
    Ahead(Duration),
    OnRefusal,
}

impl From<Refresh> for RefreshPart {
    fn from(refresh: Refresh) -> Self {
        match refresh {
            Refresh::Never => Self::Never,
            Refresh::Ahead(time) => Self::Ahead(time),
            Refresh::OnRefusal => Self::OnRefusal,
        }
    }
}

impl From<RefreshPart> for Refresh {
    fn from(part: RefreshPart) -> Self {
        match part {
            RefreshPart::Never => Self::Never,
            RefreshPart::Ahead(time) => Self::Ahead(time),
            RefreshPart::OnRefusal => Self::OnRefusal,
        }
    }
}

/// [`Shares`] by their parts, so that they are the same to the last arrival.
#[derive(Clone, Serialize, Deserialize)]
pub struct SharesPart {
    ends: Vec<u64>,
    start: u64,
    step: u64,
}

impl From<&Shares> for SharesPart {
    fn from(shares: &Shares) -> Self {
        let (ends, start, step) = shares.parts();
        Self { ends: ends.to_vec(), start, step }
    }
}

impl TryFrom<SharesPart> for Shares {
    type Error = JobError;

    fn try_from(part: SharesPart) -> Result<Self, JobError> {
        Self::of_parts(part.ends, part.start, part.step).ok_or(JobError::Part("shares"))
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub struct MixPart {
    /// Kinds with their weights.
    weights: Vec<(String, Exact)>,
    shares: SharesPart,
    /// Kinds that should be let in.
    accepted: Vec<String>,
}

impl From<&Mix> for MixPart {
    fn from(mix: &Mix) -> Self {
        let accepted = TokenKind::ALL.into_iter().filter(|kind| mix.expected(*kind) == Expected::Accept);
        let weights = mix.weights().iter();
        Self {
            weights: weights.map(|(kind, weight)| (kind.as_str().to_owned(), Exact(*weight))).collect(),
            shares: mix.shares().into(),
            accepted: accepted.map(|kind| kind.as_str().to_owned()).collect(),
        }
    }
}

impl TryFrom<MixPart> for Mix {
    type Error = JobError;

    fn try_from(part: MixPart) -> Result<Self, JobError> {
        let weights = part.weights.into_iter().map(|(kind, Exact(weight))| {
            let kind = TokenKind::named(&kind).ok_or(JobError::Part("mix"))?;
            Ok((kind, weight))
        });
        let accepts = |kind: TokenKind| part.accepted.iter().any(|name| name == kind.as_str());
        let expected = TokenKind::ALL.map(|kind| match accepts(kind) {
            true => Expected::Accept,
            false => Expected::Refuse,
        });
        let weights = weights.collect::<Result<_, JobError>>()?;
        Ok(Self::of_shares(weights, part.shares.try_into()?, expected))
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub struct TlsPart {
    insecure: bool,
    /// DER, in base64.
    authorities: Vec<String>,
    resumption: bool,
}

impl From<&TlsPlan> for TlsPart {
    fn from(plan: &TlsPlan) -> Self {
        let authorities = plan.authorities.iter();
        Self {
            insecure: plan.insecure,
            authorities: authorities.map(|der| STANDARD.encode_to_string(der)).collect(),
            resumption: plan.resumption,
        }
    }
}

impl TryFrom<TlsPart> for TlsPlan {
    type Error = JobError;

    fn try_from(part: TlsPart) -> Result<Self, JobError> {
        let authorities = part.authorities.iter().map(|text| {
            let der = STANDARD.decode_to_vec(text);
            der.map(CertificateDer::from).map_err(|_| JobError::Part("authorities"))
        });
        Ok(Self {
            insecure: part.insecure,
            authorities: authorities.collect::<Result<_, _>>()?,
            cacert: None,
            resumption: part.resumption,
        })
    }
}
