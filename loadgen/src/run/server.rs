//! The server that a run is against: the embedded one, watched while it runs, or one that somebody else started.

use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use crate::run::embedded::Embedded;
use crate::run::observe::{Metrics, Observer, ProcessSample};
use crate::run::{Rig, RunError};
use crate::spec::{EmbeddedPlan, Scenario, TargetChoice};

/// Where a run's sockets go, and whose processes are read.
pub struct Server {
    /// At least one.
    urls: Vec<Url>,
    observer: Observer,
    metrics: Option<Metrics>,
    /// How an embedded server ended, if it did before it was told to.
    died: Arc<OnceLock<String>>,
    embedded: Option<Keeper>,
}

/// Keeps an embedded server: waits for its end, wanted or not.
struct Keeper {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts the embedded server where none was named, and settles what the scenario could not know before.
    pub async fn start(rig: &Rig, scenario: &mut Scenario) -> Result<Self, RunError> {
        match scenario.target.clone() {
            TargetChoice::Embedded(plan) => Self::embedded(rig, scenario, &plan).await,
            TargetChoice::Url(url) => Self::named(rig, scenario, vec![url]).await,
            TargetChoice::Several(targets) => {
                let urls = targets.list().iter().map(|target| target.url.clone());
                Self::named(rig, scenario, urls.collect()).await
            }
        }
    }

    /// Where the sockets go, in the scenario's order; at least one.
    pub fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// Reads the server's processes.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// The schema's word for where the server's figures come from.
    pub fn source(&self) -> &'static str {
        if self.embedded.is_some() { "embedded" } else { "pid" }
    }

    /// Where it tells its own cost, if it is asked.
    pub fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref()
    }

    /// How it ended, if it did before it was told to.
    pub fn died(&self) -> Option<&String> {
        self.died.get()
    }

    /// Ends an embedded server in order.
    pub async fn stop(self) {
        if let Some(keeper) = self.embedded {
            // Where the keeper is gone, so is the server.
            let _gone = keeper.stop.send(());
            let _panicked = keeper.task.await;
        }
    }

    async fn embedded(rig: &Rig, scenario: &mut Scenario, plan: &EmbeddedPlan) -> Result<Self, RunError> {
        rig.progress.step("starting the embedded server");
        let program = std::env::current_exe().map_err(RunError::Start)?;
        let embedded = Embedded::start(&program, plan, scenario, &rig.share).await?;
        embedded.settle(scenario);
        let url = embedded.gate_url().clone();
        let observer = Observer {
            server: embedded.gate_pids().to_vec(),
            frontend: Some(embedded.frontend_pid()),
            generator: Vec::new(),
        };
        let died = Arc::new(OnceLock::new());
        let keeper = keep(rig, embedded, died.clone());
        Ok(Self { urls: vec![url], observer, metrics: None, died, embedded: Some(keeper) })
    }

    async fn named(rig: &Rig, scenario: &Scenario, urls: Vec<Url>) -> Result<Self, RunError> {
        let pid = scenario.server_pid;
        if let Some(pid) = pid {
            ProcessSample::read(pid).map_err(|error| RunError::ServerPid { pid, error })?;
        }
        let runtime = rig.runtime.handle();
        let plan = scenario.server_metrics.clone();
        let metrics = plan.map(|plan| Metrics::new(plan, &scenario.tls, runtime.clone()));
        let metrics = metrics.transpose()?;
        if let Some(metrics) = &metrics {
            metrics.check().await?;
        }
        Ok(Self {
            urls,
            metrics,
            observer: Observer { server: pid.into_iter().collect(), frontend: None, generator: Vec::new() },
            died: Arc::default(),
            embedded: None,
        })
    }
}

fn keep(rig: &Rig, mut embedded: Embedded, died: Arc<OnceLock<String>>) -> Keeper {
    let (stop, stopped) = oneshot::channel();
    let control = rig.control.clone();
    let task = rig.runtime.spawn(async move {
        tokio::select! {
            how = embedded.watch() => {
                // Set once, by this task alone.
                let _set_before = died.set(how);
                control.stop();
            }
            _ = stopped => {}
        }
        embedded.stop().await;
    });
    Keeper { stop, task }
}
