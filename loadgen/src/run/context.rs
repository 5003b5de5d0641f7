//! What every step of a run needs.

use std::sync::Arc;

use reports::schema::Environment;
use tokio::runtime::Runtime;

use crate::drive::control::Control;
use crate::ground::environment::CoreShare;
use crate::run::error::RunError;
use crate::run::interrupt::Interrupt;
use crate::run::progress::Progress;

/// What every step of a run needs.
pub struct RunContext {
    /// Runs logins, token requests, signals and child processes.
    pub runtime: Runtime,
    /// Steers all shards.
    pub control: Arc<Control>,
    /// Whether a signal has come.
    pub interrupt: Interrupt,
    /// Shows the run while it lasts.
    pub progress: Progress,
    /// This machine.
    pub environment: Environment,
    /// How its processors are shared between generator and embedded server.
    pub share: CoreShare,
}

impl RunContext {
    /// Waits for a step before T0, unless a signal comes first: then nothing was measured.
    pub fn interruptible<T>(&self, step: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
        self.runtime.block_on(async {
            tokio::select! {
                done = step => done,
                () = self.interrupt.came() => Err(RunError::StoppedBeforeStart),
            }
        })
    }
}
