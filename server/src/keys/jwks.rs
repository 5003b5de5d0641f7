//! Key sets that others publish (RFC 7517 section 5), fetched again and again.
//!
//! A source may be slow, broken or hostile, and tokens may name keys that nobody has; neither may cost more than a
//! fetch now and then. So there is [one fetch at a time](follow), at the instants that a [`Schedule`] allows, within
//! limits on time and size; and the keys of the last good set stay until there is a better one.

mod fetch;
mod schedule;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::keys::{Key, KeyError, jwk};
use fetch::{FetchError, Fetched, Fetcher};
use schedule::Schedule;

pub(crate) use fetch::deepest;
pub use fetch::{JWKS_BYTES_MAX, JwksUrl, JwksUrlError};
pub use schedule::Pace;

/// Asks for keys that are not there: every source is fetched anew as soon as its schedule allows.
///
/// Shards keep one each, and it takes no lock.
#[derive(Clone, Debug)]
pub struct Wanted {
    sources: Arc<[Arc<Notify>]>,
}

impl Wanted {
    pub(crate) fn new(sources: impl IntoIterator<Item = Arc<Notify>>) -> Self {
        Self { sources: sources.into_iter().collect() }
    }

    /// A token named a key that is not on the ring.
    pub fn ask(&self) {
        for source in self.sources.iter() {
            source.notify_one();
        }
    }
}

/// Why a set was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// What became of a fetch: the keys of a set that changed, none where it did not.
pub(super) type News = Result<Option<Vec<Key>>, SetError>;

/// A source that is followed.
pub(super) struct Source {
    pub url: JwksUrl,
    pub pace: Pace,
    /// Somebody wants keys that are not there.
    pub wanted: Arc<Notify>,
    /// The place of the source, which goes with its news.
    pub place: usize,
}

/// Fetches the set of `source` for ever, at the pace of its schedule, and tells what came of it. `first` is told when
/// the first attempt is over.
pub(super) async fn follow(source: Source, news: mpsc::Sender<(usize, News)>, first: oneshot::Sender<()>) {
    let mut first = Some(first);
    let mut schedule = Schedule::new(source.pace, Instant::now());
    let mut known = String::new();
    let fetcher = Fetcher::new(&source.url);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(schedule.due().into()) => {}
            () = source.wanted.notified() => {
                schedule.wanted(Instant::now());
                continue;
            }
        }
        schedule.begun(Instant::now());
        let fetched = match &fetcher {
            Ok(fetcher) => fetcher.fetch().await.map_err(SetError::Fetch),
            Err(error) => Err(SetError::Fetch(error.clone())),
        };
        let outcome = fetched.and_then(|fetched| take(fetched, &mut known, &mut schedule));
        if outcome.is_err() {
            schedule.failed(Instant::now());
        }
        if news.send((source.place, outcome)).await.is_err() {
            // Nobody listens any more.
            return;
        }
        if let Some(first) = first.take() {
            // The keeper may have stopped waiting.
            let _ = first.send(());
        }
    }
}

fn take(fetched: Fetched, known: &mut String, schedule: &mut Schedule) -> News {
    let keys = match fetched.text == *known {
        true => None,
        false => Some(jwk::remote_keys(&fetched.text)?),
    };
    *known = fetched.text;
    schedule.fetched(Instant::now(), fetched.lifetime);
    Ok(keys)
}

#[cfg(test)]
mod tests;
