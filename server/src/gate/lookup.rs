//! Session lookups, the design that tokens replaced: for each connection the gate requests the session's user from the
//! frontend over HTTP.
//!
//! ```text
//! GET <url>                              200 {"username":"gonzalo"}    the session's user
//! Cookie: gatekeeper_session=<id>        200 null                      no such session: unknown, ended, logged out
//! Authorization: Bearer <key>            anything else                 no answer
//! ```
//!
//! Shards never block: [`CONNECTIONS_MAX`] tasks wait for the answers, each over its own connection. An answer goes into
//! the queue of the shard that requested it.

use std::fmt::Display;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderValue};
use reqwest::{Client, Response, redirect};
use serde::Deserialize;
use tokio::sync::{Mutex, mpsc};

use crate::gate::shard_queue::ShardQueue;
use crate::keys::{JwksUrl, root_cause};
use crate::metrics::Unanswered;
use crate::process::LogThrottle;
use crate::session_key::{SESSION_COOKIE, SESSION_PATH, SessionKey};

/// Lookups under way at the same time, each over its own connection. One process does not fill the frontend's 8,192
/// connections, and at a millisecond per lookup it gets 32,000 answers a second.
const CONNECTIONS_MAX: usize = 32;

/// Lookups that wait for a free task. At 5,000 answers a second the last of them waits a fifth of a second. Beyond the
/// limit, requests are answered with 503.
const WAITING_MAX: usize = 1024;

/// The time for a lookup, from the request to the last byte of the answer: half of a handshake step's default time.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The time to connect to the frontend.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Idle connections are closed after this time: before the frontend closes them, after 30 s.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// The longest answer: a name and the JSON around it.
const ANSWER_BYTES_MAX: usize = 4096;

/// The frontend that looks sessions up, and the key that authorizes the gate there.
#[derive(Clone, Debug)]
pub struct SessionSource {
    /// `None`: the frontend of the same server.
    pub url: Option<JwksUrl>,
    pub key: SessionKey,
}

impl SessionSource {
    /// Where no URL is given, sets the URL of the frontend at `frontend`, without TLS.
    #[must_use]
    pub fn or_at(self, frontend: Option<std::net::SocketAddr>) -> Self {
        let own = || JwksUrl::of_own(frontend?, SESSION_PATH);
        Self { url: self.url.or_else(own), key: self.key }
    }
}

pub(super) struct FinishedLookup {
    /// The number of the connection whose session was looked up.
    pub(super) connection: u64,
    /// The session's user, `None` for an unknown session; or why the frontend gave no answer.
    pub(super) result: Result<Option<String>, Unanswered>,
    /// The time from the request to the answer.
    pub(super) took: Duration,
}

/// Starts the lookups of one shard and receives their results.
pub(super) struct SessionLookup {
    requests: mpsc::Sender<PendingLookup>,
    pub(super) finished: Arc<ShardQueue<FinishedLookup>>,
}

struct PendingLookup {
    connection: u64,
    session: String,
    started_at: Instant,
    finished: Arc<ShardQueue<FinishedLookup>>,
}

impl SessionLookup {
    /// Returns one for each of `shards` shards. Tasks of this tokio runtime request users from `source` until all of them
    /// are dropped.
    pub(super) fn start(source: SessionSource, shards: usize) -> std::io::Result<Vec<Self>> {
        let client = Arc::new(LookupClient::new(source).map_err(std::io::Error::other)?);
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..CONNECTIONS_MAX {
            let (client, waiting) = (Arc::clone(&client), Arc::clone(&waiting));
            tokio::spawn(async move {
                while let Some(pending) = next(&waiting).await {
                    client.handle(pending).await;
                }
            });
        }
        Ok((0..shards).map(|_| Self { requests: requests.clone(), finished: Arc::default() }).collect())
    }

    /// Requests the user of `session` for a connection; `false` when too many lookups wait.
    pub(super) fn request(&self, connection: u64, session: String) -> bool {
        let (started_at, finished) = (Instant::now(), Arc::clone(&self.finished));
        self.requests.try_send(PendingLookup { connection, session, started_at, finished }).is_ok()
    }
}

/// Waits for the next lookup. The lock is released before the lookup starts.
async fn next(waiting: &Mutex<mpsc::Receiver<PendingLookup>>) -> Option<PendingLookup> {
    waiting.lock().await.recv().await
}

/// The HTTP client for the frontend.
struct LookupClient {
    client: Client,
    url: reqwest::Url,
    authorization: HeaderValue,
    failures: Lock<LogThrottle>,
}

/// Why there is no answer: a fault of the frontend or of the network, for the log.
type Fault = String;

const INVALID_ANSWER: &str = "its answer is neither null nor an object with a username";

/// A session's user, as the frontend answers.
#[derive(Deserialize)]
struct User {
    username: String,
}

impl LookupClient {
    fn new(source: SessionSource) -> Result<Self, Fault> {
        let no_client = |error: &dyn Display| format!("there is no HTTP client: {error}");
        let url = source.url.ok_or_else(|| no_client(&"there is no frontend to ask: name one with --session-url"))?;
        let authorization = HeaderValue::from_str(&source.key.authorization());
        let mut authorization = authorization.map_err(|error| no_client(&error))?;
        authorization.set_sensitive(true);
        let client = url
            .client()
            .map_err(|error| no_client(&error))?
            // A redirect would send the key and the session elsewhere.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .pool_max_idle_per_host(CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .tcp_nodelay(true)
            .user_agent(concat!("gatekeeper/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| no_client(&root_cause(&error)))?;
        Ok(Self { client, url: url.url().clone(), authorization, failures: Lock::default() })
    }

    async fn handle(&self, pending: PendingLookup) {
        let PendingLookup { connection, session, started_at, finished } = pending;
        let left = ANSWER_WITHIN.saturating_sub(started_at.elapsed());
        let result = match tokio::time::timeout(left, self.user_of(&session)).await {
            Ok(answer) => answer.map_err(|error| (error, Unanswered::Frontend)),
            Err(_) => Err((format!("no answer within {} s", ANSWER_WITHIN.as_secs()), Unanswered::Time)),
        };
        let result = result.map_err(|(error, why)| {
            self.log(&error);
            why
        });
        finished.push(FinishedLookup { connection, result, took: started_at.elapsed() });
    }

    async fn user_of(&self, session: &str) -> Result<Option<String>, Fault> {
        let cookie = HeaderValue::from_str(&format!("{SESSION_COOKIE}={session}"));
        let mut cookie = cookie.map_err(|_| INVALID_ANSWER)?;
        cookie.set_sensitive(true);
        let request = self.client.get(self.url.clone()).header(COOKIE, cookie);
        let request = request.header(AUTHORIZATION, self.authorization.clone());
        let answer = request.send().await.map_err(|error| root_cause(&error))?;
        match answer.status().as_u16() {
            200 => {}
            403 => return Err("it does not take the gate's key: give both the same --secret".into()),
            other => {
                return Err(format!("it answered {other}: is it the address of a frontend with --auth session?"));
            }
        }
        let body = body(answer).await?;
        let user: Option<User> = serde_json::from_slice(&body).map_err(|_| INVALID_ANSWER)?;
        Ok(user.map(|user| user.username))
    }

    fn log(&self, error: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.is_due() {
            let url = self.url.origin().ascii_serialization();
            tracing::warn!(%error, url, "the frontend cannot look sessions up");
        }
    }
}

async fn body(mut answer: Response) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| root_cause(&error))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(INVALID_ANSWER.into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
