//! Loads the keys of a gate, and replaces them while it runs.
//!
//! Each source (the secret, a file, a remote set) provides a part of the ring. When a source changes, a ring with its
//! new keys replaces the old one; when a source fails, its old keys stay in use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::keys::file::KeyFile;
use crate::keys::jwks::{self, FetchOutcome, FetchTrigger, JwksUrl, Pace, Source};
use crate::keys::{Key, KeyCounters, KeyError, Ring, Store};

/// How often key files are checked. The check of an untouched file is one system call.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long a start waits for the first fetch of each remote set. Then the gate starts without the missing sets, and
/// refuses their tokens until they are fetched.
const FIRST_FETCH_WITHIN: Duration = Duration::from_secs(5);

/// The most results of fetches that wait to be applied.
const OUTCOMES_MAX: usize = 4;

/// The sources of a gate's keys and the keys last read from them.
pub struct KeyReloader {
    keys: Keys,
    parts: Parts,
    /// By index of the source: keys that are not in use, because another source has a key of the same name.
    conflicting: BTreeMap<usize, Vec<Arc<Key>>>,
    files: Vec<KeyFile>,
    /// The remote sets, whose parts follow those of the files.
    remotes: Vec<(JwksUrl, Arc<Notify>)>,
    pace: Pace,
}

/// The keys as a gate uses them.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The ring in use.
    pub store: Store,
    /// Requests a fetch for unknown keys; `None` without remote sets.
    pub fetch_trigger: Option<FetchTrigger>,
    /// Counts loads, fetches and swaps.
    pub counters: Arc<KeyCounters>,
}

/// The keys of each source, by its index: the secret, then the files, then the remote sets.
type Parts = Vec<Vec<Arc<Key>>>;

/// Reloads the keys until it is dropped.
#[derive(Debug)]
pub struct Watch {
    _tasks: JoinSet<()>,
}

impl KeyReloader {
    /// Reads the key files. Remote sets are empty until [`KeyReloader::watch`].
    ///
    /// # Errors
    /// What is wrong with a file, or that two keys have one name.
    pub fn new(secret: Option<Key>, files: &[PathBuf], remotes: Vec<JwksUrl>) -> Result<Self, KeyError> {
        let mut parts: Parts = vec![secret.into_iter().map(Arc::new).collect()];
        let mut opened = Vec::with_capacity(files.len());
        for path in files {
            let (file, keys) = KeyFile::open(path)?;
            opened.push(file);
            parts.push(shared(keys));
        }
        parts.extend(remotes.iter().map(|_| Vec::new()));
        let ring = ring(&parts)?;
        for key in ring.keys() {
            tracing::info!(alg = %key.algorithm(), kid = key.kid(), "key loaded");
        }
        let remotes: Vec<_> = remotes.into_iter().map(|url| (url, Arc::new(Notify::new()))).collect();
        let counters = Arc::new(KeyCounters::default());
        counters.set_keys(ring.len());
        let triggers = remotes.iter().map(|(_, requested)| Arc::clone(requested));
        let fetch_trigger = (!remotes.is_empty()).then(|| FetchTrigger::new(triggers));
        Ok(Self {
            keys: Keys { store: Arc::new(ArcSwap::from_pointee(ring)), fetch_trigger, counters },
            parts,
            conflicting: BTreeMap::new(),
            files: opened,
            remotes,
            pace: Pace::default(),
        })
    }

    /// The same reloader with other limits on fetches.
    #[must_use]
    pub fn at_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The keys, which are replaced while [`KeyReloader::watch`] runs.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Starts to reload the keys: files when they change and on SIGHUP, remote sets at the instants of their schedules.
    /// Returns after the first fetch of each remote set, or after `FIRST_FETCH_WITHIN`. Needs a tokio runtime.
    ///
    /// # Errors
    /// When no handler for the signal can be installed.
    pub async fn watch(mut self) -> std::io::Result<Watch> {
        let hangups = signal(SignalKind::hangup())?;
        let mut tasks = JoinSet::new();
        let (sender, outcomes) = mpsc::channel(OUTCOMES_MAX);
        let mut first_fetches = Vec::new();
        let first_index = 1 + self.files.len();
        for (i, (url, requested)) in self.remotes.iter().enumerate() {
            let (first, first_over) = oneshot::channel();
            first_fetches.push(first_over);
            let (url, requested) = (url.clone(), Arc::clone(requested));
            let source = Source { url, pace: self.pace, requested, index: first_index + i };
            tasks.spawn(jwks::follow(source, sender.clone(), first));
        }
        // `started` resolves when the first result of each source is applied.
        let (ready, started) = oneshot::channel();
        tasks.spawn(async move {
            let first_fetches = async {
                for first in first_fetches {
                    // An error means that the task of the source has ended: there is nothing to wait for.
                    let _ = first.await;
                }
            };
            tokio::pin!(first_fetches);
            self.run(hangups, outcomes, first_fetches.as_mut(), Some(ready)).await;
        });
        // After a timeout the gate starts without these keys.
        let _ = tokio::time::timeout(FIRST_FETCH_WITHIN, started).await;
        Ok(Watch { _tasks: tasks })
    }

    async fn run(
        &mut self,
        mut hangups: Signal,
        mut outcomes: mpsc::Receiver<(usize, FetchOutcome)>,
        mut first_fetches: impl Future<Output = ()> + Unpin,
        mut ready: Option<oneshot::Sender<()>>,
    ) {
        let mut checks = tokio::time::interval(CHECK_EVERY);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some((index, outcome)) = outcomes.recv() => self.apply_fetch(index, outcome),
                () = &mut first_fetches, if ready.is_some() => {
                    // The start may have stopped waiting.
                    let _ = ready.take().map(|ready| ready.send(()));
                }
                Some(()) = hangups.recv() => {
                    tracing::info!("SIGHUP: reading the keys again");
                    self.check_files(true);
                    for (_, requested) in &self.remotes {
                        requested.notify_one();
                    }
                }
                _ = checks.tick(), if !self.files.is_empty() => self.check_files(false),
            }
        }
    }

    /// Reads all key files that were touched, or all of them if `force`.
    fn check_files(&mut self, force: bool) {
        for i in 0..self.files.len() {
            let Some(file) = self.files.get_mut(i) else { continue };
            match file.changed_keys(force) {
                Ok(None) => {}
                Ok(Some(keys)) => {
                    let is_usable = self.replace(1 + i, keys);
                    self.keys.counters.count_file(is_usable);
                }
                Err(error) => {
                    tracing::error!(%error, "the old keys stay in use");
                    self.keys.counters.count_file(false);
                }
            }
        }
    }

    /// Applies the result of a fetch.
    fn apply_fetch(&mut self, index: usize, outcome: FetchOutcome) {
        match outcome {
            Ok(None) => self.keys.counters.count_fetch(true),
            Ok(Some(keys)) => {
                let is_usable = self.replace(index, keys);
                self.keys.counters.count_fetch(is_usable);
            }
            Err(error) => {
                let source = self.source(index);
                tracing::warn!(source, %error, "no key set; the old keys stay in use");
                self.keys.counters.count_fetch(false);
            }
        }
    }

    /// Replaces the keys of one source, unless another source has a key of the same name. Returns whether they are in
    /// use.
    fn replace(&mut self, index: usize, keys: Vec<Key>) -> bool {
        let is_usable = self.swap(index, shared(keys));
        if is_usable {
            // Keys with a duplicate name may be usable now.
            for (index, part) in std::mem::take(&mut self.conflicting) {
                self.swap(index, part);
            }
        }
        is_usable
    }

    fn swap(&mut self, index: usize, part: Vec<Arc<Key>>) -> bool {
        let source = self.source(index);
        let mut parts = self.parts.clone();
        if let Some(old) = parts.get_mut(index) {
            old.clone_from(&part);
        }
        match ring(&parts) {
            Ok(ring) => {
                let count = ring.len();
                self.keys.store.store(Arc::new(ring));
                self.parts = parts;
                self.conflicting.remove(&index);
                // Counted after the swap, so that a reader of the counter sees the new ring.
                self.keys.counters.count_swap(count);
                tracing::info!(source, keys = count, "keys changed");
                true
            }
            Err(error) => {
                tracing::error!(source, %error, "the old keys stay in use");
                self.conflicting.insert(index, part);
                false
            }
        }
    }

    /// The name of the source with this index, for the log.
    fn source(&self, index: usize) -> String {
        let files = self.files.iter().map(|file| file.path.display().to_string());
        let mut names = files.chain(self.remotes.iter().map(|(url, _)| url.to_string()));
        index.checked_sub(1).and_then(|i| names.nth(i)).unwrap_or_else(|| "the secret".to_owned())
    }
}

fn ring(parts: &Parts) -> Result<Ring, KeyError> {
    Ring::new(parts.iter().flatten().cloned())
}

fn shared(keys: Vec<Key>) -> Vec<Arc<Key>> {
    keys.into_iter().map(Arc::new).collect()
}
