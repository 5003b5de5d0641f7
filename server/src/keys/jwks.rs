//! Key sets that others publish (RFC 7517 section 5), fetched periodically.
//!
//! A source may be slow, broken or hostile, and tokens may name unknown keys. Both have limited cost: each source has
//! [one fetch at a time](follow), at the instants of a [`Schedule`], with limits on time and size. The keys of the last
//! valid set stay in use until a fetch succeeds.

mod fetch;
mod schedule;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::keys::{Key, KeyError, jwk};
use fetch::{FetchError, Fetched, Fetcher};
use schedule::Schedule;

pub(crate) use fetch::root_cause;
pub use fetch::{JWKS_BYTES_MAX, JwksUrl, JwksUrlError};
pub use schedule::Pace;

/// Requests a fetch of every key set after a token names an unknown key. Each source is fetched as soon as its schedule
/// allows. A clone for each shard takes no lock.
#[derive(Clone, Debug)]
pub struct FetchTrigger {
    sources: Arc<[Arc<Notify>]>,
}

impl FetchTrigger {
    pub(crate) fn new(sources: impl IntoIterator<Item = Arc<Notify>>) -> Self {
        Self { sources: sources.into_iter().collect() }
    }

    /// Requests a fetch of every source.
    pub fn request(&self) {
        for source in self.sources.iter() {
            source.notify_one();
        }
    }
}

/// Why a set was not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// The result of a fetch: the keys of a set that changed, `None` for one that did not.
pub(super) type FetchOutcome = Result<Option<Vec<Key>>, SetError>;

/// A source that is fetched periodically.
pub(super) struct Source {
    pub url: JwksUrl,
    pub pace: Pace,
    /// Notified by a [`FetchTrigger`].
    pub requested: Arc<Notify>,
    /// The index of the source, which is sent with each result.
    pub index: usize,
}

/// Fetches the set of `source` at the instants of its schedule until the receiver of `outcomes` is dropped, and sends
/// each result. Notifies `first` after the first attempt.
pub(super) async fn follow(source: Source, outcomes: mpsc::Sender<(usize, FetchOutcome)>, first: oneshot::Sender<()>) {
    let mut first = Some(first);
    let mut schedule = Schedule::new(source.pace, Instant::now());
    let mut known = String::new();
    let fetcher = Fetcher::new(&source.url);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(schedule.due.into()) => {}
            () = source.requested.notified() => {
                schedule.requested(Instant::now());
                continue;
            }
        }
        schedule.started(Instant::now());
        let fetched = match &fetcher {
            Ok(fetcher) => fetcher.fetch().await.map_err(SetError::Fetch),
            Err(error) => Err(SetError::Fetch(error.clone())),
        };
        let outcome = fetched.and_then(|fetched| keys_if_changed(fetched, &mut known, &mut schedule));
        if outcome.is_err() {
            schedule.failed(Instant::now());
        }
        if outcomes.send((source.index, outcome)).await.is_err() {
            // The receiver is gone.
            return;
        }
        if let Some(first) = first.take() {
            // The reloader may have stopped waiting.
            let _ = first.send(());
        }
    }
}

fn keys_if_changed(fetched: Fetched, known: &mut String, schedule: &mut Schedule) -> FetchOutcome {
    let keys = if fetched.text == *known { None } else { Some(jwk::remote_keys(&fetched.text)?) };
    *known = fetched.text;
    schedule.fetched(Instant::now(), fetched.lifetime);
    Ok(keys)
}

#[cfg(test)]
mod tests;
