//! Whose session is it? The design that tokens replaced: the gate asks the frontend over HTTP, for each connection.
//!
//! ```text
//! GET <url>                              200 {"username":"gonzalo"}    the session is this user's
//! Cookie: gatekeeper_session=<id>        200 null                      it is nobody's: unknown, ended, logged out
//! Authorization: Bearer <key>            anything else                 no answer
//! ```
//!
//! Shards ask and go on; the tasks here wait for the answers, at most [`CONNECTIONS_MAX`] at once and each over a
//! connection that is kept. An answer goes into the mailbox of the shard that asked.

use std::{
    sync::{Arc, Mutex as Lock, PoisonError},
    time::{Duration, Instant},
};

use reqwest::{
    Client, Response, StatusCode,
    header::{AUTHORIZATION, COOKIE, HeaderValue},
    redirect,
};
use serde::Deserialize;
use tokio::sync::{Mutex, mpsc};

use crate::gate::mailbox::Mailbox;
use crate::{
    frontend::{SESSION_COOKIE, SESSION_PATH},
    keys::{JwksUrl, root_cause},
    metrics::Unanswered,
    process::Rarely,
    session_key::SessionKey,
};

/// Questions under way at once, each over a connection of its own that is kept: what one process asks for does not fill
/// the frontend's 8,192 places, and at a millisecond each they are 32,000 answers a second.
pub const CONNECTIONS_MAX: usize = 32;

/// Questions that wait for their turn. At 5,000 answers a second the last one waits a fifth of a second; who comes when
/// all places are taken had better come again.
pub const WAITING_MAX: usize = 1024;

/// For a question, from its asking to the last byte of its answer; half of what a handshake's step may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// For the connection to the frontend.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// A connection that nobody used for so long is given up before the frontend does: that takes 30 s.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// The longest answer: a name and what is around it.
const ANSWER_BYTES_MAX: usize = 4096;

/// Where a gate asks, and by what right.
#[derive(Clone, Debug)]
pub struct SessionSource {
    /// `None`: the frontend that belongs to the gate.
    pub url: Option<JwksUrl>,
    /// What both made of their common secret.
    pub key: SessionKey,
}

impl SessionSource {
    /// The same, asking the frontend at `frontend`, which is asked without TLS, where no other is named.
    #[must_use]
    pub fn or_at(self, frontend: Option<std::net::SocketAddr>) -> Self {
        let own = || JwksUrl::of_own(frontend?, SESSION_PATH);
        Self { url: self.url.or_else(own), key: self.key }
    }
}

/// What the frontend said: a user's name, or that the session is nobody's.
pub(super) type Whose = Result<Option<String>, Unanswered>;

/// A question that was answered, or not.
pub(super) struct Answer {
    /// The number of the connection that it is about, in its shard.
    pub(super) connection: u64,
    pub(super) whose: Whose,
    /// From the question on.
    pub(super) took: Duration,
}

/// As many questions wait as may.
#[derive(Debug)]
pub(super) struct TooManyWait;

/// Where one shard asks, and finds its answers.
pub(super) struct Desk {
    questions: mpsc::Sender<Question>,
    answers: Arc<Mailbox<Answer>>,
}

struct Question {
    connection: u64,
    session: String,
    asked_at: Instant,
    answers: Arc<Mailbox<Answer>>,
}

impl Desk {
    /// The desks of `shards` shards, behind which tasks of this tokio runtime ask `source` until all desks are gone.
    pub(super) fn open(source: SessionSource, shards: usize) -> std::io::Result<Vec<Self>> {
        let asker = Arc::new(Asker::new(source).map_err(std::io::Error::other)?);
        let (questions, waiting) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..CONNECTIONS_MAX {
            let (asker, waiting) = (Arc::clone(&asker), Arc::clone(&waiting));
            tokio::spawn(async move {
                while let Some(question) = next(&waiting).await {
                    asker.see_to(question).await;
                }
            });
        }
        let desk = |_| Self { questions: questions.clone(), answers: Arc::default() };
        Ok((0..shards).map(desk).collect())
    }

    /// Where its answers arrive.
    pub(super) fn mailbox(&self) -> Arc<Mailbox<Answer>> {
        Arc::clone(&self.answers)
    }

    /// Asks whose `session` is, for a connection.
    pub(super) fn ask(&self, connection: u64, session: String) -> Result<(), TooManyWait> {
        let question = Question { connection, session, asked_at: Instant::now(), answers: Arc::clone(&self.answers) };
        self.questions.try_send(question).map_err(|_| TooManyWait)
    }

    /// The answers that have come.
    pub(super) fn answers(&self) -> Vec<Answer> {
        self.answers.take()
    }
}

/// The next question, for whoever is free.
async fn next(waiting: &Mutex<mpsc::Receiver<Question>>) -> Option<Question> {
    waiting.lock().await.recv().await
}

/// Asks the frontend.
struct Asker {
    client: Client,
    url: reqwest::Url,
    authorization: HeaderValue,
    failures: Lock<Rarely>,
}

/// Why there is no answer. It is the frontend's fault, or that of the way to it.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error("there is no HTTP client: {0}")]
    NoClient(String),
    #[error("no answer within {} s", ANSWER_WITHIN.as_secs())]
    Late,
    #[error("{0}")]
    Http(String),
    #[error("it does not take the gate's key: give both the same --secret")]
    WrongKey,
    #[error("it answered {0}: is it the address of a frontend with --auth session?")]
    Status(u16),
    #[error("what it answered is neither null nor an object with a username")]
    Strange,
}

/// Whose session it is, as the frontend says it.
#[derive(Deserialize)]
struct User {
    username: String,
}

impl Asker {
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
            // One that leads elsewhere would be shown the key and the session.
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

    async fn see_to(&self, question: Question) {
        let Question { connection, session, asked_at, answers } = question;
        let left = ANSWER_WITHIN.saturating_sub(asked_at.elapsed());
        let whose = match tokio::time::timeout(left, self.ask(&session)).await {
            Ok(Ok(user)) => Ok(user),
            Ok(Err(error)) => {
                self.log(&error);
                Err(Unanswered::Frontend)
            }
            Err(_) => {
                self.log(&LookupError::Late);
                Err(Unanswered::Time)
            }
        };
        answers.put(Answer { connection, whose, took: asked_at.elapsed() });
    }

    async fn ask(&self, session: &str) -> Result<Option<String>, LookupError> {
        let mut cookie =
            HeaderValue::from_str(&format!("{SESSION_COOKIE}={session}")).map_err(|_| LookupError::Strange)?;
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
        let user: Option<User> = serde_json::from_slice(&body).map_err(|_| LookupError::Strange)?;
        Ok(user.map(|user| user.username))
    }

    fn log(&self, error: &LookupError) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.is_due() {
            let url = self.url.origin().ascii_serialization();
            tracing::warn!(%error, url, "the frontend does not say whose sessions are");
        }
    }
}

async fn body(mut answer: Response) -> Result<Vec<u8>, LookupError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(LookupError::Strange);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn failed(error: reqwest::Error) -> LookupError {
    LookupError::Http(root_cause(&error))
}
