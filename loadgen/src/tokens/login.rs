//! Logins and token requests, as a browser makes them: a session's cookie, then a token for it.
//!
//! One HTTP client with one pool of connections serves all users, but each [`Session`] keeps its own cookies: a jar
//! that belonged to the client would make one user of them all. Nor does the client follow redirects: a step does, as
//! far as it was asked to, with the user's own cookies.

mod answer;
mod error;
mod step;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::cookie::Jar;
use reqwest::{Client, redirect};

use crate::ground::outcome::Phase;
use crate::ground::values::Token;
use crate::speak::target::{TargetError, client_config};
use crate::spec::{Steps, TOKEN, TlsPlan, User, Variables};

use error::Broken;
pub(crate) use error::error_text;

pub(crate) use answer::is_sendable;
pub use error::LoginError;
pub use tally::Tally;

/// A service of users and tokens.
#[derive(Clone, Debug)]
pub struct LoginService {
    client: Client,
    steps: Arc<Steps>,
    /// Only where the steps have names.
    tally: Option<Arc<Tally>>,
}

/// A user who is logged in.
#[derive(Debug)]
pub struct Session {
    user: User,
    cookies: Jar,
    /// The variables of the user after the login.
    variables: Variables,
}

/// Why there is no client to log in with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TargetError),
    /// The HTTP client cannot be made.
    #[error("no HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// Time limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the TCP connection.
    pub connect: Duration,
    /// For the whole request, to the last byte of the answer.
    pub whole: Duration,
}

impl LoginService {
    /// A client for the steps; it belongs to the runtime that it is first used on.
    pub fn new(steps: Steps, timeouts: Timeouts, tls: &TlsPlan) -> Result<Self, ClientError> {
        let mut all = steps.login.iter().chain(&steps.token);
        let https = all.find(|step| step.redirects > 0 || !step.shown_url.starts_with("http:"));
        let host = https.map_or("", |step| step.shown_url.as_str());
        // Without https no certificate is ever seen, and the machine's authorities need not be read.
        let unseen = TlsPlan { insecure: true, ..TlsPlan::default() };
        let tls = client_config(if https.is_some() { tls } else { &unseen }, host)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.whole)
            .user_agent(concat!("gatecrash/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let tally = steps.named.then(|| Arc::new(Tally::new(&steps)));
        Ok(Self { client, steps: Arc::new(steps), tally })
    }

    /// Counts of each step's requests, where the steps have names.
    pub fn tally(&self) -> Option<Arc<Tally>> {
        self.tally.clone()
    }

    /// Logs a user in; returns the session and the duration. Without login steps there is no duration: each token request
    /// sends the credentials.
    pub async fn login(&self, user: &User) -> Result<(Session, Option<Duration>), LoginError> {
        let mut session = Session { user: user.clone(), cookies: Jar::default(), variables: Variables::default() };
        let mut variables = user.variables();
        let begun = Instant::now();
        self.take(Phase::Login, &session, &mut variables).await?;
        session.variables = variables;
        let took = (!self.steps.login.is_empty()).then(|| begun.elapsed());
        Ok((session, took))
    }

    /// Requests a session's token; returns it with the duration, also on failure.
    pub async fn token(&self, session: &Session) -> (Result<Token, LoginError>, Duration) {
        // Connections of one user ask at once: what the steps of one give is its own.
        let mut variables = session.variables.clone();
        let begun = Instant::now();
        let taken = self.take(Phase::Token, session, &mut variables).await;
        let took = begun.elapsed();
        // A scenario's steps were checked to give one.
        let token = taken.map(|()| Token::from(variables.get(TOKEN).unwrap_or_default()));
        (token, took)
    }

    /// Takes steps one after the other; an error names the step that failed.
    async fn take(&self, phase: Phase, session: &Session, variables: &mut Variables) -> Result<(), LoginError> {
        let steps = match phase {
            Phase::Login => &self.steps.login,
            _ => &self.steps.token,
        };
        for (place, step) in steps.iter().enumerate() {
            let begun = Instant::now();
            let named = self.steps.named;
            let taken = step::take(&self.client, step, named, &session.cookies, variables).await;
            let failure = taken.as_ref().err().map(Broken::kind);
            if let Some(tally) = &self.tally {
                tally.count(phase, place, begun.elapsed(), failure);
            }
            let name = named.then_some(step.name.as_str());
            taken.map_err(|broken| broken.during(phase, name, &session.user, &step.shown_url))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
