//! Session lookups: the design that tokens replaced. The gate asks the frontend over HTTP, for each connection, for the
//!
//! ```text
//! GET <url>                              200 {"username":"gonzalo"}    the session's user
//! Cookie: gatekeeper_session=<id>        200 null                      no such session: unknown, ended, logged out
//! Authorization: Bearer <key>            anything else                 no answer
//! ```
//!
//! Shards never block: the tasks here wait for the answers, at most [`CONNECTIONS_MAX`] at once and each over a
//! kept connection. An answer goes into the queue of the shard that asked.

use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect};
use serde::Deserialize;
use tokio::sync::{Mutex, mpsc};

use crate::gate::shard_queue::ShardQueue;
use crate::keys::{JwksUrl, root_cause};
use crate::metrics::Unanswered;
use crate::process::LogThrottle;
use crate::session_key::{SESSION_COOKIE, SESSION_PATH, SessionKey};

/// Lookups under way at once, each over a kept connection of its own: those of one process do not fill
/// the frontend's 8,192 places, and at a millisecond each they are 32,000 answers a second.
pub const CONNECTIONS_MAX: usize = 32;

/// Lookups that wait for their turn. At 5,000 answers a second the last one waits a fifth of a second; further
/// connections are answered with 503.
pub const WAITING_MAX: usize = 1024;

/// For a lookup, from its start to the last byte of its answer; half of what a handshake's step may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// For the connection to the frontend.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// An idle connection is closed before the frontend closes it, which takes 30 s.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// The longest answer: a name and the JSON around it.
const ANSWER_BYTES_MAX: usize = 4096;

/// The frontend that a gate asks, and the key that allows it to.
#[derive(Clone, Debug)]
pub struct SessionSource {
    /// `None`: the frontend that belongs to the gate.
    pub url: Option<JwksUrl>,
    /// Derived from the secret that both have.
    pub key: SessionKey,
}

impl SessionSource {
    /// The same, with the frontend at `frontend`, without TLS, where no URL is given.
    #[must_use]
    pub fn or_at(self, frontend: Option<std::net::SocketAddr>) -> Self {
        let own = || JwksUrl::of_own(frontend?, SESSION_PATH);
        Self { url: self.url.or_else(own), key: self.key }
    }
}

/// The frontend's answer: the session's user, or `None` for an unknown session; or why there is none.
pub(super) type LookupResult = Result<Option<String>, Unanswered>;

/// A lookup that has ended.
pub(super) struct FinishedLookup {
    /// The number of the connection that it is about, in its shard.
    pub(super) connection: u64,
    pub(super) result: LookupResult,
    /// From its start to its end.
    pub(super) took: Duration,
}

/// As many lookups wait as may.
#[derive(Debug)]
pub(super) struct LookupQueueFull;

/// Starts the lookups of one shard and holds those that have ended.
pub(super) struct SessionLookup {
    lookups: mpsc::Sender<PendingLookup>,
    answers: Arc<ShardQueue<FinishedLookup>>,
}

struct PendingLookup {
    connection: u64,
    session: String,
    asked_at: Instant,
    answers: Arc<ShardQueue<FinishedLookup>>,
}

impl SessionLookup {
    /// One for each of `shards` shards. Tasks of this tokio runtime ask `source` until all of them are dropped.
    pub(super) fn start(source: SessionSource, shards: usize) -> std::io::Result<Vec<Self>> {
        let asker = Arc::new(LookupClient::new(source).map_err(std::io::Error::other)?);
        let (lookups, waiting) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..CONNECTIONS_MAX {
            let (asker, waiting) = (Arc::clone(&asker), Arc::clone(&waiting));
            tokio::spawn(async move {
                while let Some(pending) = next(&waiting).await {
                    asker.handle(pending).await;
                }
            });
        }
        let desk = |_| Self { lookups: lookups.clone(), answers: Arc::default() };
        Ok((0..shards).map(desk).collect())
    }

    /// The queue of lookups that have ended.
    pub(super) fn finished(&self) -> Arc<ShardQueue<FinishedLookup>> {
        Arc::clone(&self.answers)
    }

    /// Asks for the user of `session`, for a connection.
    pub(super) fn ask(&self, connection: u64, session: String) -> Result<(), LookupQueueFull> {
        let pending =
            PendingLookup { connection, session, asked_at: Instant::now(), answers: Arc::clone(&self.answers) };
        self.lookups.try_send(pending).map_err(|_| LookupQueueFull)
    }

    /// The lookups that have ended since the last call.
    pub(super) fn take_finished(&self) -> Vec<FinishedLookup> {
        self.answers.take()
    }
}

/// The next lookup for a task that is free.
async fn next(waiting: &Mutex<mpsc::Receiver<PendingLookup>>) -> Option<PendingLookup> {
    waiting.lock().await.recv().await
}

/// Asks the frontend.
struct LookupClient {
    client: Client,
    url: reqwest::Url,
    authorization: HeaderValue,
    failures: Lock<LogThrottle>,
}

/// Why there is no answer: the fault is the frontend's, or the network's.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error("there is no HTTP client: {0}")]
    NoClient(String),
    #[error("no answer within {} s", ANSWER_WITHIN.as_secs())]
    Timeout,
    #[error("{0}")]
    Http(String),
    #[error("it does not take the gate's key: give both the same --secret")]
    WrongKey,
    #[error("it answered {0}: is it the address of a frontend with --auth session?")]
    Status(u16),
    #[error("its answer is neither null nor an object with a username")]
    InvalidAnswer,
}

/// A session's user, as the frontend answers.
#[derive(Deserialize)]
struct User {
    username: String,
}

impl LookupClient {
    fn new(source: SessionSource) -> Result<Self, LookupError> {
        let no_client = |error: String| LookupError::NoClient(error);
        let url = source
            .url
            .ok_or_else(|| no_client("there is no frontend to ask: name one with --session-url".to_owned()))?;
        let mut authorization =
            HeaderValue::from_str(&source.key.authorization()).map_err(|error| no_client(error.to_string()))?;
        authorization.set_sensitive(true);
        let client = url
            .client()
            .map_err(|error| no_client(error.to_string()))?
            // A redirect would send the key and the session elsewhere.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .pool_max_idle_per_host(CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .tcp_nodelay(true)
            .user_agent(concat!("gatekeeper/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| no_client(root_cause(&error)))?;
        Ok(Self { client, url: url.url().clone(), authorization, failures: Lock::default() })
    }

    async fn handle(&self, pending: PendingLookup) {
        let PendingLookup { connection, session, asked_at, answers } = pending;
        let left = ANSWER_WITHIN.saturating_sub(asked_at.elapsed());
        let result = match tokio::time::timeout(left, self.ask(&session)).await {
            Ok(Ok(user)) => Ok(user),
            Ok(Err(error)) => {
                self.log(&error);
                Err(Unanswered::Frontend)
            }
            Err(_) => {
                self.log(&LookupError::Timeout);
                Err(Unanswered::Time)
            }
        };
        answers.push(FinishedLookup { connection, result, took: asked_at.elapsed() });
    }

    async fn ask(&self, session: &str) -> Result<Option<String>, LookupError> {
        let mut cookie =
            HeaderValue::from_str(&format!("{SESSION_COOKIE}={session}")).map_err(|_| LookupError::InvalidAnswer)?;
        cookie.set_sensitive(true);
        let request =
            self.client.get(self.url.clone()).header(COOKIE, cookie).header(AUTHORIZATION, self.authorization.clone());
        let answer = request.send().await.map_err(failed)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN => return Err(LookupError::WrongKey),
            other => return Err(LookupError::Status(other.as_u16())),
        }
        let body = body(answer).await?;
        let user: Option<User> = serde_json::from_slice(&body).map_err(|_| LookupError::InvalidAnswer)?;
        Ok(user.map(|user| user.username))
    }

    fn log(&self, error: &LookupError) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.is_due() {
            let url = self.url.origin().ascii_serialization();
            tracing::warn!(%error, url, "the frontend cannot look sessions up");
        }
    }
}

async fn body(mut answer: Response) -> Result<Vec<u8>, LookupError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(LookupError::InvalidAnswer);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn failed(error: reqwest::Error) -> LookupError {
    LookupError::Http(root_cause(&error))
}
