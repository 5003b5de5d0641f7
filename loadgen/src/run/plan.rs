//! A load as it is planned, and what came of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reports::schema::Control;

use crate::drive::shard::ShardReport;
use crate::ground::recorder::Recorder;
use crate::judge::collect::Collected;
use crate::run::observe::{Readings, Snapshot};
use crate::run::server::Server;
use crate::speak::target::Target;
use crate::spec::{LoadSpec, RunSpec};
use crate::tokens::Prepared;

/// Everything that must be known before a load starts.
pub struct LoadPlan<'a> {
    /// The whole run.
    pub spec: &'a RunSpec,
    /// Its load, or the warm-up before it.
    pub load: Arc<LoadSpec>,
    /// Where the sockets go, in the order of the load's targets.
    pub targets: Vec<Arc<Target>>,
    /// The tokens, and what getting them took.
    pub prepared: Prepared,
    /// Whose processes are read.
    pub server: &'a Server,
    /// Its figures are thrown away.
    pub warming_up: bool,
}

impl LoadPlan<'_> {
    /// The same plan for a warm-up by another load; what was recorded before T0 stays with this one.
    pub fn with(&self, load: LoadSpec) -> Self {
        Self {
            spec: self.spec,
            load: Arc::new(load),
            targets: self.targets.clone(),
            prepared: Prepared {
                supply: self.prepared.supply.clone(),
                invalid: self.prepared.invalid.clone(),
                recorder: Recorder::new(),
                steps: self.prepared.steps.clone(),
            },
            server: self.server,
            warming_up: true,
        }
    }
}

/// What the load came to.
pub struct Loaded {
    /// What was recorded.
    pub collected: Collected,
    /// Each shard's own report, by index, and the processor it was pinned to.
    pub shards: Vec<(ShardReport, Option<usize>)>,
    /// Shards whose loop broke, each with what the kernel said.
    pub broken: Vec<String>,
    /// T0.
    pub started_at: SystemTime,
    /// From T0 to the end of the last socket.
    pub duration: Duration,
    /// The processes at T0.
    pub start: Snapshot,
    /// When every handshake had ended.
    pub end: Snapshot,
    /// When the most sockets were held, and how many that were.
    pub peak: (Snapshot, u64),
    /// After false accepts: handshakes without any token.
    pub control: Option<Control>,
    /// What the server's own metrics said, where they were asked for.
    pub metrics: Option<Readings>,
}
