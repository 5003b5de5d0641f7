//! A run, resolved.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::ground::expression::Expression;
use crate::spec::load::LoadSpec;
use crate::spec::server::ServerSpec;

/// A run, resolved: every field is valid.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// Where the sockets go, whose tokens they show, and whose processes are observed.
    pub server: ServerSpec,
    /// What every shard is given.
    pub load: LoadSpec,
    /// What is reported, and where.
    pub report: ReportSpec,
}

/// What is reported of a run, and where.
#[derive(Clone, Debug)]
pub struct ReportSpec {
    /// What the result must fulfil.
    pub thresholds: Vec<Expression>,
    /// Where the result goes.
    pub out: PathBuf,
    /// Nothing is printed while it runs.
    pub quiet: bool,
    /// Whether the live view may have the terminal.
    pub tui: bool,
    /// Where the run's figures are served while it lasts.
    pub prometheus: Option<SocketAddr>,
}
