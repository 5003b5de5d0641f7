//! Logins and token requests, as a browser makes them: a session's cookie, then a token for it.
//!
//! One HTTP client with one pool of connections serves all users, but each [`Session`] keeps its own cookies: a jar
//! that belonged to the client would make one user of them all. Redirects are not followed: where a login leads is
//! of no use here, and a token that moved is an error worth seeing.

mod answer;
mod error;

use std::time::{Duration, Instant};

use reqwest::cookie::{CookieStore, Jar};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response, redirect};
use url::Url;

use crate::outcome::{FailureKind, Phase};
use crate::scenario::{LoginMethod, LoginPlan, TlsPlan, User};
use crate::target::{TargetError, client_config};
use crate::tokens::Token;

use answer::Body;
use error::Broken;

pub(crate) use answer::is_sendable;
pub use error::LoginError;

/// A service of users and tokens.
#[derive(Clone, Debug)]
pub struct LoginService {
    client: Client,
    plan: LoginPlan,
}

/// A user who is logged in.
#[derive(Debug)]
pub struct Session {
    user: User,
    cookies: Jar,
}

/// Why there is no client to log in with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS is not to be had.
    #[error(transparent)]
    Tls(#[from] TargetError),
    /// The HTTP client cannot be made.
    #[error("no HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Its TCP connection.
    pub connect: Duration,
    /// All of it, to the last byte of the answer.
    pub whole: Duration,
}

impl LoginService {
    /// A client for a plan; it belongs to the runtime that it is first used on.
    pub fn new(plan: LoginPlan, timeouts: Timeouts, tls: &TlsPlan) -> Result<Self, ClientError> {
        let encrypted = |url: &Url| url.scheme() == "https";
        let https = encrypted(&plan.token_url) || plan.login_url.as_ref().is_some_and(encrypted);
        let host = plan.token_url.host_str().unwrap_or_default();
        // Without https no certificate is ever seen, and the machine's authorities need not be read.
        let unseen = TlsPlan {
            insecure: true,
            ..TlsPlan::default()
        };
        let tls = client_config(if https { tls } else { &unseen }, host)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.whole)
            .user_agent(concat!("gatecrash/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, plan })
    }

    /// Logs a user in, and how long that took. Without a login URL there is nothing to do: the credentials go with
    /// each token request.
    pub async fn login(&self, user: &User) -> Result<(Session, Option<Duration>), LoginError> {
        let session = Session {
            user: user.clone(),
            cookies: Jar::default(),
        };
        let Some(url) = &self.plan.login_url else {
            return Ok((session, None));
        };
        let begun = Instant::now();
        match self.log_in_at(url, &session).await {
            Ok(()) => Ok((session, Some(begun.elapsed()))),
            Err(broken) => Err(broken.during(Phase::Login, user, url)),
        }
    }

    /// Asks for a session's token, and how long that took, answered or not.
    pub async fn token(&self, session: &Session) -> (Result<Token, LoginError>, Duration) {
        let url = &self.plan.token_url;
        let begun = Instant::now();
        let result = self.token_at(url, session).await;
        let took = begun.elapsed();
        (
            result.map_err(|broken| broken.during(Phase::Token, &session.user, url)),
            took,
        )
    }

    async fn log_in_at(&self, url: &Url, session: &Session) -> Result<(), Broken> {
        let response = self.with_credentials(url, &session.user).send().await?;
        let mut cookies = response.headers().get_all(SET_COOKIE).iter().peekable();
        let has_cookie = cookies.peek().is_some();
        session.cookies.set_cookies(&mut cookies, url);
        let status = response.status();
        if status.is_success() || status.is_redirection() && has_cookie {
            // Read to its end, so that the connection can be used again.
            Body::read(response).await?;
            return Ok(());
        }
        Err(Self::refused(
            response,
            "check the user's name and password, --login-url and --login-method",
        )
        .await)
    }

    async fn token_at(&self, url: &Url, session: &Session) -> Result<Token, Broken> {
        let request = if self.plan.login_url.is_some() {
            self.client.get(url.clone())
        } else {
            self.with_credentials(url, &session.user)
        };
        let response = match session.cookies.cookies(url) {
            Some(cookies) => request.header(COOKIE, cookies),
            None => request,
        }
        .send()
        .await?;
        if !response.status().is_success() {
            return Err(Self::refused(
                response,
                "check --token-url, and that the login gives a session for it",
            )
            .await);
        }
        Body::read(response)
            .await?
            .token(&self.plan.token_json_pointer)
    }

    fn with_credentials(&self, url: &Url, user: &User) -> RequestBuilder {
        let password = user.password.expose_text().unwrap_or_default();
        let fields = [("username", user.name.as_str()), ("password", password)];
        match self.plan.method {
            LoginMethod::Basic => self
                .client
                .get(url.clone())
                .basic_auth(&user.name, Some(password)),
            LoginMethod::Form => self.client.post(url.clone()).form(&fields),
            LoginMethod::Json => {
                let object: std::collections::BTreeMap<_, _> = fields.into_iter().collect();
                self.client.post(url.clone()).json(&object)
            }
        }
    }

    /// An answer that is no success: what it said, and what to check.
    async fn refused(response: Response, advice: &str) -> Broken {
        let status = response.status();
        let kind = if status.is_redirection() {
            FailureKind::Redirect
        } else {
            FailureKind::Http(status.as_u16())
        };
        let told = match Body::read(response).await {
            Ok(body) => format!("{status} {body}"),
            Err(_) => status.to_string(),
        };
        let advice = match status.as_u16() {
            429 | 503 => {
                "it is overloaded or limits its callers: ask for fewer --users, or raise its limits"
            }
            300..400 => {
                "redirects are not followed, and it set no cookie: check the URL, the name and the password"
            }
            _ => advice,
        };
        Broken::new(kind, format!("answered {told}; {advice}"))
    }
}

#[cfg(test)]
mod tests;
