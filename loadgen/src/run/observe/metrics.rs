//! A server's own word on what it costs: its page of metrics, read before, during and at the end of a load.
//!
//! Whatever goes wrong with it before the load is an error with advice; afterwards it never fails the run, and
//! the result names what is missing.

mod cost;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, redirect};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use wire::prometheus;

use crate::speak::target::client_config;
use crate::spec::{MetricNames, MetricsPlan, TlsPlan};
use crate::tokens::login::error_text;

pub use cost::metrics_cost;

/// A page that takes longer does not show the moment of its request.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// The page of one service; a gateway's page of a whole cluster is not what is looked for.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Between two readings.
const EVERY: Duration = Duration::from_secs(1);

/// Reads a page of metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    client: Client,
    plan: MetricsPlan,
    runtime: Handle,
}

/// The figures of a page at one instant; what was not there is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// When it was asked for.
    pub at: Instant,
    /// Processor time, in seconds since the server began.
    pub cpu_s: Option<f64>,
    /// Resident memory.
    pub rss_bytes: Option<f64>,
    /// Open sockets.
    pub open_sockets: Option<f64>,
}

/// A page that cannot be read before the run.
#[derive(Debug, thiserror::Error)]
#[error("--server-metrics {url}: {problem}")]
pub struct MetricsError {
    url: String,
    problem: String,
}

impl Metrics {
    /// For the page of a plan; requests are made on `runtime`.
    pub fn new(plan: MetricsPlan, tls: &TlsPlan, runtime: Handle) -> Result<Self, MetricsError> {
        let failed = |problem: String| MetricsError { url: plan.shown_url.clone(), problem };
        // Without https no certificate is ever seen, and the machine's authorities need not be read.
        let unseen = TlsPlan { insecure: true, ..TlsPlan::default() };
        let tls = if plan.url.scheme() == "https" { tls } else { &unseen };
        let tls = client_config(tls, &plan.shown_url).map_err(|error| failed(error.to_string()))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(READ_WITHIN)
            .user_agent(concat!("gatecrash/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { client, plan, runtime })
    }

    /// Reads the page before the run: it must be there, and hold at least one of what is looked for.
    pub async fn check(&self) -> Result<Reading, MetricsError> {
        let failed = |problem: String| MetricsError { url: self.plan.shown_url.clone(), problem };
        let reading = self.read().await.map_err(failed)?;
        if absent(&reading, &self.plan.names).len() == NAMES {
            return Err(failed(format!(
                "none of {} is there; name them as the page has them, with --server-metrics-names",
                self.plan.names
            )));
        }
        Ok(reading)
    }

    /// Reads the page, waiting for it, and goes on once a second until the watch ends. Not to be called from the runtime.
    pub fn watch(&self) -> Result<Watch, MetricsError> {
        let first = self.runtime.block_on(self.check())?;
        let seen = Arc::new(Mutex::new(Seen { readings: vec![first], ..Seen::default() }));
        let (metrics, into) = (self.clone(), seen.clone());
        let task = self.runtime.spawn(async move {
            let mut ticks = tokio::time::interval_at((Instant::now() + EVERY).into(), EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let read = metrics.read().await;
                lock(&into).take(read);
            }
        });
        Ok(Watch { metrics: self.clone(), seen, task, end: None })
    }

    async fn read(&self) -> Result<Reading, String> {
        let at = Instant::now();
        let page = self.page().await?;
        // Nothing that is read here can be less than nothing.
        let value = |name: &str| prometheus::value(&page, name).filter(|value| *value >= 0.0);
        let names = &self.plan.names;
        Ok(Reading {
            at,
            cpu_s: value(&names.cpu),
            rss_bytes: value(&names.memory),
            open_sockets: value(&names.sockets),
        })
    }

    async fn page(&self) -> Result<String, String> {
        let mut answer = self
            .client
            .get(self.plan.url.clone())
            .header("accept", "text/plain;version=0.0.4")
            .send()
            .await
            .map_err(error_text)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("HTTP {}; name the page itself", status.as_u16()));
        }
        let mut page = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(error_text)? {
            if page.len() + part.len() > PAGE_BYTES_MAX {
                return Err(format!("the page is longer than {PAGE_BYTES_MAX} bytes; name that of one service"));
            }
            page.extend_from_slice(&part);
        }
        Ok(String::from_utf8_lossy(&page).into_owned())
    }
}

/// A page that is read while a load lasts.
#[derive(Debug)]
pub struct Watch {
    metrics: Metrics,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
    end: Option<Result<Reading, String>>,
}

/// What was read.
#[derive(Debug, Default)]
struct Seen {
    readings: Vec<Reading>,
    failed: usize,
    /// Why the last one that failed did.
    problem: String,
}

/// All that was read of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    /// At T0.
    pub start: Reading,
    /// From T0 to the end of the last handshake, the first and the last included.
    pub all: Vec<Reading>,
    /// At the end of the last handshake, or why there is none.
    pub end: Result<Reading, String>,
    /// Those in between that failed, and why the last of them did.
    pub failed: (usize, String),
    /// What was looked for.
    pub names: MetricNames,
}

impl Watch {
    /// The last handshake has ended: reads the page once more, waiting for it, and then no more.
    pub fn end(&mut self) {
        if self.end.is_none() {
            self.task.abort();
            let metrics = &self.metrics;
            self.end = Some(metrics.runtime.block_on(metrics.read()));
        }
    }

    /// All that was read.
    pub fn finish(mut self) -> Readings {
        self.end();
        let seen = std::mem::take(&mut *lock(&self.seen));
        let mut all = seen.readings;
        let start = all[0];
        let end = self.end.take().unwrap_or_else(|| Err(String::new()));
        all.extend(end.iter().copied());
        Readings { start, all, end, failed: (seen.failed, seen.problem), names: self.metrics.plan.names.clone() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    fn take(&mut self, read: Result<Reading, String>) {
        match read {
            Ok(reading) => self.readings.push(reading),
            Err(problem) => {
                self.failed += 1;
                self.problem = problem;
            }
        }
    }
}

/// How many figures are looked for.
const NAMES: usize = 3;

/// The names of what a page does not have.
fn absent<'a>(reading: &Reading, names: &'a MetricNames) -> Vec<&'a str> {
    let looked_for =
        [(reading.cpu_s, &names.cpu), (reading.rss_bytes, &names.memory), (reading.open_sockets, &names.sockets)];
    let absent = looked_for.into_iter().filter(|(value, _)| value.is_none()).map(|(_, name)| name.as_str());
    absent.collect()
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
