//! The server that a run is against: the embedded one, watched while it runs, or one that was already running.

use std::sync::{Arc, OnceLock};

use reactor::descriptor_limit;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use crate::ground::environment::gate_processes;
use crate::run::context::RunContext;
use crate::run::embedded::Embedded;
use crate::run::error::RunError;
use crate::run::observe::{Metrics, Observer, ProcessSample};
use crate::spec::{EmbeddedPlan, LoadSpec, Observed, RunSpec, ServerSpec, TlsPlan, TokenPlan, TokenSource, User};

/// Where a run's sockets go, and whose processes are read.
pub struct Server {
    /// At least one.
    urls: Vec<Url>,
    observer: Observer,
    metrics: Option<Metrics>,
    /// How an embedded server ended, if it did by itself.
    died: Arc<OnceLock<String>>,
    embedded: Option<Keeper>,
}

/// Keeps an embedded server: waits for its end, wanted or not.
struct Keeper {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts the embedded server where none was named. Returns whose tokens are shown to it as well.
    pub async fn start(context: &RunContext, spec: &RunSpec) -> Result<(Self, TokenPlan), RunError> {
        match &spec.server {
            ServerSpec::Embedded { plan, tokens } => {
                let embedded = start_embedded(context, plan, &tokens.users, &spec.load).await?;
                let tokens = TokenPlan {
                    users: embedded.users(),
                    source: tokens.source.clone().unwrap_or_else(|| TokenSource::Login(embedded.login())),
                    per: tokens.per,
                    key: tokens.key.clone(),
                };
                Ok((Self::embedded(context, embedded), tokens))
            }
            ServerSpec::Named { urls, tokens, observed } => {
                Ok((Self::named(context, urls, observed, &spec.load.tls).await?, tokens.clone()))
            }
        }
    }

    /// Where the sockets go, in the order of the load's targets; at least one.
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

    /// The page of its metrics, if that is read.
    pub fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref()
    }

    /// How it ended, if it did by itself.
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

    fn embedded(context: &RunContext, embedded: Embedded) -> Self {
        let urls = vec![embedded.gate_url().clone()];
        let observer = Observer {
            server: embedded.gate_pids().to_vec(),
            frontend: Some(embedded.frontend_pid()),
            generator: Vec::new(),
        };
        let died = Arc::new(OnceLock::new());
        let keeper = keep(context, embedded, died.clone());
        Self { urls, observer, metrics: None, died, embedded: Some(keeper) }
    }

    async fn named(context: &RunContext, urls: &[Url], observed: &Observed, tls: &TlsPlan) -> Result<Self, RunError> {
        let pid = observed.pid;
        if let Some(pid) = pid {
            ProcessSample::read(pid).map_err(|error| RunError::ServerPid { pid, error })?;
        }
        let runtime = context.runtime.handle();
        let metrics = observed.metrics.clone().map(|plan| Metrics::new(plan, tls, runtime.clone()));
        let metrics = metrics.transpose()?;
        if let Some(metrics) = &metrics {
            metrics.check().await?;
        }
        Ok(Self {
            urls: urls.to_vec(),
            metrics,
            observer: Observer { server: pid.into_iter().collect(), frontend: None, generator: Vec::new() },
            died: Arc::default(),
            embedded: None,
        })
    }
}

async fn start_embedded(
    context: &RunContext,
    plan: &EmbeddedPlan,
    users: &Arc<[User]>,
    load: &LoadSpec,
) -> Result<Embedded, RunError> {
    context.progress.step("starting the embedded server");
    let program = std::env::current_exe().map_err(RunError::Start)?;
    // The gate has the same limit on descriptors as each process of the load.
    let gate_processes = gate_processes(load.sockets_at_once(), descriptor_limit());
    Ok(Embedded::start(&program, plan, users, gate_processes, &context.share).await?)
}

fn keep(context: &RunContext, mut embedded: Embedded, died: Arc<OnceLock<String>>) -> Keeper {
    let (stop, stopped) = oneshot::channel();
    let control = context.control.clone();
    let task = context.runtime.spawn(async move {
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
