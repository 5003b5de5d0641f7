//! The job of a generator process: the load, the part of it that the process makes, and the tokens.
//!
//! Tokens are a separate message, which is sent over a pipe and never shown.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::ground::outcome::TokenKind;
use crate::speak::target::{Target, TargetError};
use crate::spec::LoadSpec;
use crate::tokens::{InvalidTokens, Prepared, Supply};

/// The part of a load that one process makes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Job {
    /// The load of the whole run.
    pub load: LoadSpec,
    /// The addresses of the load's targets, in the load's order.
    pub addresses: Vec<Address>,
    /// Which process this is, below the load's `processes`.
    pub process: usize,
    /// The processor of each shard; `None`: the kernel decides.
    pub cpus: Vec<Option<usize>>,
}

/// The address of a target. The run resolves it once, for all processes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Address {
    url: String,
    addrs: Vec<SocketAddr>,
}

/// The tokens that a run has before T0.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tokens {
    /// Valid tokens; where shards request further ones, none or one of each user.
    valid: Vec<String>,
    /// Whether shards request further tokens.
    asks: bool,
    /// The invalid tokens, by kind.
    invalid: Vec<(TokenKind, Vec<String>)>,
}

/// Why a job cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Targets and their addresses do not match.
    #[error("the load has {targets} targets, the job {addresses} addresses; both need the same number, at least one")]
    Targets {
        /// Of the load.
        targets: usize,
        /// Of the job.
        addresses: usize,
    },
    /// The address of a target is no URL. The text is not shown, because its query may be secret.
    #[error("the address of a target is no URL")]
    Url,
    /// TLS towards the target cannot be set up.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl Job {
    /// The job of each process. `cpu` gives the processor of a shard; `urls` and `targets` are the load's targets.
    pub fn all(
        load: &LoadSpec,
        urls: &[Url],
        targets: &[Arc<Target>],
        cpu: impl Fn(usize) -> Option<usize>,
    ) -> Vec<Self> {
        let found = urls.iter().zip(targets);
        let addresses: Vec<Address> =
            found.map(|(url, target)| Address { url: url.to_string(), addrs: target.addrs.clone() }).collect();
        let job = |process| Self {
            load: load.clone(),
            addresses: addresses.clone(),
            process,
            cpus: (0..load.workers).map(|worker| cpu(shard_index(process, worker, load.processes))).collect(),
        };
        (0..load.processes).map(job).collect()
    }

    /// The load's targets at their addresses.
    pub fn targets(&self) -> Result<Vec<Arc<Target>>, JobError> {
        let (targets, addresses) = (self.load.targets.list().len(), self.addresses.len());
        if targets != addresses || targets == 0 {
            return Err(JobError::Targets { targets, addresses });
        }
        let target = |at: &Address| {
            let url = at.url.parse().map_err(|_| JobError::Url)?;
            let target = Target::known(&url, at.addrs.clone(), &self.load.tls, self.load.source_ips.clone())?;
            Ok(Arc::new(target))
        };
        self.addresses.iter().map(target).collect()
    }
}

impl Tokens {
    /// The tokens that were prepared before T0.
    pub fn of(prepared: &Prepared) -> Self {
        let (valid, asks) = match &prepared.supply {
            Supply::Ready(tokens) => (texts(tokens), false),
            Supply::OnDemand(_) => (Vec::new(), true),
            Supply::Kept(kept, _) => (texts(&kept.tokens()), true),
        };
        Self { valid, asks, invalid: prepared.invalid.kinds().map(|(kind, tokens)| (kind, texts(tokens))).collect() }
    }

    /// The valid tokens, whether shards request further ones, and the invalid tokens.
    pub fn into_parts(self) -> (Vec<Arc<str>>, bool, InvalidTokens) {
        let arcs = |texts: Vec<String>| texts.into_iter().map(Arc::from).collect::<Vec<Arc<str>>>();
        let invalid = self.invalid.into_iter().map(|(kind, tokens)| (kind, arcs(tokens)));
        (arcs(self.valid), self.asks, InvalidTokens::of_kinds(invalid))
    }
}

/// The index of a process's shard among all shards: arrival `j` belongs to process `j % processes`, whatever its workers.
pub fn shard_index(process: usize, worker: usize, processes: usize) -> usize {
    worker * processes + process
}

fn texts(tokens: &[Arc<str>]) -> Vec<String> {
    tokens.iter().map(|token| token.to_string()).collect()
}

#[cfg(test)]
mod tests;
