//! What a process of the generator is told to do: the part of a scenario that its shards need, and nothing else.
//!
//! A boundary type: converted by hand, field by field, from the settled scenario and back. It holds tokens, so it
//! travels over a pipe alone and is never shown.

mod parts;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::ground::outcome::TokenKind;
use crate::speak::target::{Target, TargetError};
use crate::spec::{
    AnsweredBy, Close, Echo, Pin, Scenario, SourceIps, TargetChoice, Targets, TlsPlan, TokenPer, TokenPlan,
    TokenSource, Transport, WeightedTarget,
};
use crate::tokens::{BadTokens, Prepared, Supply};

use parts::{HoldPart, LoadPart, MixPart, RefreshPart, SharesPart, TlsPart};

/// The part of a run that one process has.
#[derive(Clone, Serialize, Deserialize)]
pub struct Job {
    /// Which process, below `processes`.
    pub process: usize,
    /// How many there are.
    pub processes: usize,
    /// For each of its shards, the processor to run on, if any.
    pub cpus: Vec<Option<usize>>,
    protocol: u8,
    transport: Transport,
    namespace: String,
    path: String,
    headers: Vec<(String, String)>,
    load: LoadPart,
    connections: Option<u64>,
    duration: Option<Duration>,
    hold: HoldPart,
    close: Close,
    echo: EchoPart,
    timeout: Duration,
    connect_timeout: Duration,
    auth_grace: Duration,
    mix: MixPart,
    token_in: String,
    source_ips: String,
    tls: TlsPart,
    seed: u64,
    refresh: RefreshPart,
    close_at_exp: Option<Duration>,
    targets: Vec<TargetPart>,
    /// How several targets share the arrivals.
    shares: Option<SharesPart>,
    supply: SupplyPart,
    /// By kind.
    bad: Vec<(String, Vec<String>)>,
}

#[derive(Clone, Serialize, Deserialize)]
struct EchoPart {
    count: u32,
    rate_per_s: Option<parts::Exact>,
    bytes: usize,
    event: String,
    answered_by: AnsweredBy,
}

#[derive(Clone, Serialize, Deserialize)]
struct TargetPart {
    url: String,
    addrs: Vec<SocketAddr>,
    path: String,
    headers: Vec<(String, String)>,
}

/// Where valid tokens come from.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SupplyPart {
    /// All of them are here.
    Ready(Vec<String>),
    /// Each is asked for.
    OnDemand,
    /// One for each user is here, and new ones are asked for.
    Kept(Vec<String>),
}

/// What is the same for every process of a run.
#[derive(Clone, Copy)]
pub struct Common<'a> {
    /// What was asked, settled.
    pub scenario: &'a Scenario,
    /// Where the targets are, by their place in the scenario.
    pub urls: &'a [Url],
    /// The same, looked up.
    pub targets: &'a [Arc<Target>],
    /// The tokens.
    pub prepared: &'a Prepared,
}

/// A job that was understood.
pub struct Understood {
    /// What was asked, as far as shards look at it.
    pub scenario: Scenario,
    /// Where sockets go.
    pub targets: Vec<Arc<Target>>,
    /// Tokens that are there from the beginning; for [`Supply::Kept`] one of each user.
    pub tokens: Vec<Arc<str>>,
    /// Whether further ones are asked for.
    pub asks: bool,
    /// What is shown in place of a valid token.
    pub bad: BadTokens,
}

/// A job that makes no sense here.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A part of it cannot be meant.
    #[error("the job's {0} cannot be understood")]
    Part(&'static str),
    /// TLS towards the target cannot be had here.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl Job {
    /// The job of each process, `cpu` saying where a shard runs.
    pub fn all(common: Common<'_>, cpu: impl Fn(usize) -> Option<usize>) -> Vec<Self> {
        let scenario = common.scenario;
        let of = scenario.processes;
        let job = |process| Self {
            process,
            processes: of,
            cpus: (0..scenario.workers).map(|worker| cpu(shard_index(process, worker, of))).collect(),
            ..Self::of(common)
        };
        (0..of).map(job).collect()
    }

    fn of(common: Common<'_>) -> Self {
        let Common { scenario, urls, targets, prepared } = common;
        let addressed = urls.iter().zip(targets).enumerate();
        Self {
            process: 0,
            processes: 1,
            cpus: Vec::new(),
            protocol: parts::protocol_number(scenario.protocol),
            transport: scenario.transport,
            namespace: scenario.namespace.clone(),
            path: scenario.path.clone(),
            headers: scenario.headers.clone(),
            load: LoadPart::from(&scenario.load),
            connections: scenario.connections,
            duration: scenario.duration,
            hold: HoldPart::from(scenario.hold),
            close: scenario.close,
            echo: EchoPart {
                count: scenario.echo.count,
                rate_per_s: scenario.echo.rate_per_s.map(parts::Exact),
                bytes: scenario.echo.bytes,
                event: scenario.echo.event.clone(),
                answered_by: scenario.echo.answered_by,
            },
            timeout: scenario.timeout,
            connect_timeout: scenario.connect_timeout,
            auth_grace: scenario.auth_grace,
            mix: MixPart::from(&scenario.mix),
            token_in: scenario.token_in.to_string(),
            source_ips: scenario.source_ips.to_string(),
            tls: TlsPart::from(&scenario.tls),
            seed: scenario.seed,
            refresh: RefreshPart::from(scenario.tokens.refresh),
            close_at_exp: scenario.tokens.close_at_exp,
            targets: addressed
                .map(|(place, (url, target))| {
                    let (path, headers) = scenario.request_to(place);
                    TargetPart {
                        url: url.to_string(),
                        addrs: target.addrs.clone(),
                        path: path.to_owned(),
                        headers: headers.to_vec(),
                    }
                })
                .collect(),
            shares: match &scenario.target {
                TargetChoice::Several(several) => Some(SharesPart::from(several.shares())),
                TargetChoice::Embedded(_) | TargetChoice::Url(_) => None,
            },
            supply: match &prepared.supply {
                Supply::Ready(tokens) => SupplyPart::Ready(texts(tokens)),
                Supply::OnDemand(_) => SupplyPart::OnDemand,
                Supply::Kept(kept, _) => SupplyPart::Kept(texts(&kept.tokens())),
            },
            bad: prepared.bad.kinds().map(|(kind, tokens)| (kind.as_str().to_owned(), texts(tokens))).collect(),
        }
    }

    /// What it says, as shards take it.
    pub fn understand(self) -> Result<Understood, JobError> {
        let tls = TlsPlan::try_from(self.tls)?;
        let source_ips = match self.source_ips.as_str() {
            "" => SourceIps::default(),
            text => text.parse().map_err(|_| JobError::Part("source_ips"))?,
        };
        let urls = self.targets.iter().map(|part| part.url.parse());
        let urls: Vec<Url> = urls.collect::<Result<_, _>>().map_err(|_| JobError::Part("targets"))?;
        let target = |(part, url): (&TargetPart, &Url)| {
            Target::known(url, part.addrs.clone(), &tls, source_ips.clone()).map(Arc::new)
        };
        let targets = self.targets.iter().zip(&urls).map(target);
        let targets = targets.collect::<Result<_, TargetError>>()?;
        let (tokens, asks) = match self.supply {
            SupplyPart::Ready(tokens) => (tokens, false),
            SupplyPart::OnDemand => (Vec::new(), true),
            SupplyPart::Kept(tokens) => (tokens, true),
        };
        let bad = self.bad.into_iter().map(|(kind, tokens)| {
            let kind = TokenKind::named(&kind).ok_or(JobError::Part("bad tokens"))?;
            Ok((kind, tokens.into_iter().map(Arc::from).collect()))
        });
        let bad: Vec<(TokenKind, Vec<Arc<str>>)> = bad.collect::<Result<_, JobError>>()?;
        let first = urls.first().ok_or(JobError::Part("targets"))?;
        let target = match self.shares {
            None => TargetChoice::Url(first.clone()),
            Some(shares) => {
                let list = self.targets.iter().zip(&urls).map(|(part, url)| WeightedTarget {
                    name: part.url.clone(),
                    url: url.clone(),
                    // The shares say it.
                    weight: 1.0,
                    path: part.path.clone(),
                    headers: part.headers.clone(),
                });
                TargetChoice::Several(Targets::of_shares(list.collect(), shares.try_into()?).into())
            }
        };
        let scenario = Scenario {
            target,
            protocol: parts::protocol(self.protocol)?,
            transport: self.transport,
            namespace: self.namespace,
            path: self.path,
            headers: self.headers,
            load: self.load.try_into()?,
            connections: self.connections,
            duration: self.duration,
            hold: self.hold.into(),
            close: self.close,
            echo: Echo {
                count: self.echo.count,
                rate_per_s: self.echo.rate_per_s.map(|rate| rate.0),
                bytes: self.echo.bytes,
                event: self.echo.event,
                answered_by: self.echo.answered_by,
            },
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            auth_grace: self.auth_grace,
            mix: self.mix.try_into()?,
            token_in: self.token_in.parse().map_err(|_| JobError::Part("token_in"))?,
            source_ips,
            tls,
            seed: self.seed,
            tokens: TokenPlan {
                source: TokenSource::Given,
                per: TokenPer::Connection,
                key: Default::default(),
                refresh: self.refresh.into(),
                close_at_exp: self.close_at_exp,
            },
            workers: self.cpus.len(),
            processes: self.processes,
            // What follows is the parent's business.
            warmup: Duration::ZERO,
            users: Vec::new(),
            thresholds: Vec::new(),
            pin: Pin::None,
            out: PathBuf::new(),
            quiet: true,
            tui: false,
            server_pid: None,
            server_metrics: None,
            prometheus: None,
        };
        Ok(Understood {
            scenario,
            targets,
            tokens: tokens.into_iter().map(Arc::from).collect(),
            asks,
            bad: BadTokens::of_kinds(bad),
        })
    }
}

/// The place of a process's shard among all: arrival `j` belongs to process `j % processes`, whatever its workers.
pub fn shard_index(process: usize, worker: usize, processes: usize) -> usize {
    worker * processes + process
}

fn texts(tokens: &[Arc<str>]) -> Vec<String> {
    tokens.iter().map(|token| token.to_string()).collect()
}

#[cfg(test)]
mod tests;
