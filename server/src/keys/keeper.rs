//! Where the keys of a gate come from, and what puts new ones into use while it runs.
//!
//! Each source has a part of the ring: the secret, a file, a remote set. A source that changes gets its part replaced
//! and the ring swapped whole; one that fails keeps the part it has.

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
use crate::keys::jwks::{self, JwksUrl, News, Pace, Source, Wanted};
use crate::keys::{Key, KeyError, KeyTally, Ring, Store};

/// How often key files are looked at; a look at an untouched one is one system call.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a start waits for the first answers of remote sets. Without them the gate starts as well, and refuses
/// their tokens until they come.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// What a source may have waiting to be taken over.
const NEWS_MAX: usize = 4;

/// The sources of a gate's keys, read once.
pub struct Keeper {
    keys: Keys,
    parts: Parts,
    /// What the source of a place brought last, where it did not go with the keys of the others.
    waiting: BTreeMap<usize, Vec<Arc<Key>>>,
    files: Vec<KeyFile>,
    /// The remote sets, whose parts follow those of the files.
    remotes: Vec<(JwksUrl, Arc<Notify>)>,
    pace: Pace,
}

/// What a gate sees of its keys.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The ring in use.
    pub store: Store,
    /// What asks for keys that are not there; none where nothing could bring them.
    pub wanted: Option<Wanted>,
    /// What happened to them.
    pub tally: Arc<KeyTally>,
}

/// The keys by source: the secret first, then the files, then the remote sets.
#[derive(Clone, Debug)]
struct Parts(Vec<Vec<Arc<Key>>>);

/// Keeps the keys fresh until it is dropped.
#[derive(Debug)]
pub struct Watch {
    _tasks: JoinSet<()>,
}

impl Keeper {
    /// Reads the key files. Remote sets are empty until [`Keeper::watch`].
    ///
    /// # Errors
    /// What is wrong with a file, or two keys of one name.
    pub fn new(secret: Option<Key>, files: &[PathBuf], remotes: Vec<JwksUrl>) -> Result<Self, KeyError> {
        let mut parts = vec![secret.into_iter().map(Arc::new).collect()];
        let mut opened = Vec::with_capacity(files.len());
        for path in files {
            let (file, keys) = KeyFile::open(path)?;
            opened.push(file);
            parts.push(shared(keys));
        }
        parts.extend(remotes.iter().map(|_| Vec::new()));
        let parts = Parts(parts);
        let ring = parts.ring()?;
        for key in ring.keys() {
            tracing::info!(alg = %key.algorithm(), kid = key.kid(), "key loaded");
        }
        let remotes: Vec<_> = remotes.into_iter().map(|url| (url, Arc::new(Notify::new()))).collect();
        let tally = Arc::new(KeyTally::default());
        tally.starts_with(ring.len());
        let wanted = (!remotes.is_empty()).then(|| Wanted::new(remotes.iter().map(|(_, notify)| Arc::clone(notify))));
        Ok(Self {
            keys: Keys { store: Arc::new(ArcSwap::from_pointee(ring)), wanted, tally },
            parts,
            waiting: BTreeMap::new(),
            files: opened,
            remotes,
            pace: Pace::default(),
        })
    }

    /// The same, fetching remote sets at another pace.
    #[must_use]
    pub fn at_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The keys, which change once they are watched.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Starts to keep the keys fresh: files when they change and on SIGHUP, remote sets by their schedules. Comes back
    /// once each remote set was asked for, or a few seconds have passed. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the signal cannot be had.
    pub async fn watch(mut self) -> std::io::Result<Watch> {
        let hangups = signal(SignalKind::hangup())?;
        let mut tasks = JoinSet::new();
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let mut firsts = Vec::new();
        let first_place = 1 + self.files.len();
        for (i, (url, wanted)) in self.remotes.iter().enumerate() {
            let (first, over) = oneshot::channel();
            firsts.push(over);
            let source =
                Source { url: url.clone(), pace: self.pace, wanted: Arc::clone(wanted), place: first_place + i };
            tasks.spawn(jwks::follow(source, sender.clone(), first));
        }
        // The keeper takes the news over one by one; behind the first of each source the gate may start.
        let (ready, started) = oneshot::channel();
        tasks.spawn(async move {
            let mut ready = Some(ready);
            let firsts = async {
                for first in firsts {
                    // A source that ended has nothing to wait for.
                    let _ = first.await;
                }
            };
            tokio::pin!(firsts);
            self.keep(hangups, news, firsts.as_mut(), &mut ready).await;
        });
        // Neither is a fault: the one that waits goes on without.
        let _ = tokio::time::timeout(FIRST_WITHIN, started).await;
        Ok(Watch { _tasks: tasks })
    }

    async fn keep(
        &mut self,
        mut hangups: Signal,
        mut news: mpsc::Receiver<(usize, News)>,
        mut firsts: impl Future<Output = ()> + Unpin,
        ready: &mut Option<oneshot::Sender<()>>,
    ) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some((place, news)) = news.recv() => self.take(place, news),
                () = &mut firsts, if ready.is_some() => {
                    // Nobody may wait any more.
                    let _ = ready.take().map(|ready| ready.send(()));
                }
                Some(()) = hangups.recv() => {
                    tracing::info!("SIGHUP: reading the keys again");
                    self.look(true);
                    for (_, wanted) in &self.remotes {
                        wanted.notify_one();
                    }
                }
                _ = looks.tick(), if !self.files.is_empty() => self.look(false),
            }
        }
    }

    /// Looks at all key files; `anyway`: even at those that seem untouched.
    fn look(&mut self, anyway: bool) {
        for i in 0..self.files.len() {
            let Some(file) = self.files.get_mut(i) else {
                continue;
            };
            match file.look(anyway) {
                Ok(None) => {}
                Ok(Some(keys)) => {
                    let is_good = self.replace(1 + i, keys);
                    self.keys.tally.file(is_good);
                }
                Err(error) => {
                    tracing::error!(%error, "the old keys stay in use");
                    self.keys.tally.file(false);
                }
            }
        }
    }

    /// Takes over what a remote source brought.
    fn take(&mut self, place: usize, news: News) {
        match news {
            Ok(None) => self.keys.tally.fetch(true),
            Ok(Some(keys)) => {
                let is_good = self.replace(place, keys);
                self.keys.tally.fetch(is_good);
            }
            Err(error) => {
                let source = self.source(place);
                tracing::warn!(source, %error, "no key set; the old keys stay in use");
                self.keys.tally.fetch(false);
            }
        }
    }

    /// Puts a ring with the new keys of one source into use, unless they do not go with the others.
    fn replace(&mut self, place: usize, keys: Vec<Key>) -> bool {
        let is_good = self.swap(place, shared(keys));
        if is_good {
            // Whoever waited may go with these.
            for (place, part) in std::mem::take(&mut self.waiting) {
                self.swap(place, part);
            }
        }
        is_good
    }

    fn swap(&mut self, place: usize, part: Vec<Arc<Key>>) -> bool {
        let source = self.source(place);
        let mut parts = self.parts.clone();
        if let Some(old) = parts.0.get_mut(place) {
            old.clone_from(&part);
        }
        match parts.ring() {
            Ok(ring) => {
                let count = ring.len();
                self.keys.store.store(Arc::new(ring));
                self.parts = parts;
                self.waiting.remove(&place);
                // Counted once it is so.
                self.keys.tally.swapped(count);
                tracing::info!(source, keys = count, "keys changed");
                true
            }
            Err(error) => {
                tracing::error!(source, %error, "the old keys stay in use");
                self.waiting.insert(place, part);
                false
            }
        }
    }

    /// The source of a place, for the log.
    fn source(&self, place: usize) -> String {
        let remote = place.checked_sub(1 + self.files.len());
        let (file, remote) = match remote {
            Some(i) => (None, self.remotes.get(i)),
            None => (place.checked_sub(1).and_then(|i| self.files.get(i)), None),
        };
        match (file, remote) {
            (Some(file), _) => file.path().display().to_string(),
            (_, Some((url, _))) => url.to_string(),
            _ => "the secret".to_owned(),
        }
    }
}

impl Parts {
    fn ring(&self) -> Result<Ring, KeyError> {
        Ring::new(self.0.iter().flatten().cloned())
    }
}

fn shared(keys: Vec<Key>) -> Vec<Arc<Key>> {
    keys.into_iter().map(Arc::new).collect()
}
