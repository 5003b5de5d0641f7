//! `GET /login` starts a session for HTTP Basic credentials (RFC 7617), and `POST /logout` ends the session.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::ext::ReasonPhrase;
use tokio::sync::Semaphore;
use tower_sessions::Session;

use crate::frontend::response::{busy, redirect};
use crate::frontend::users::Users;

/// The reason phrase and the body of a 401.
const PLEASE_SIGN_IN: &str = "Please sign in.";
const CHALLENGE: &str = r#"Basic realm="site_login""#;

/// The key of the user's name in a session.
const USER_KEY: &str = "user";

/// Requests a name and a password. If they are correct, starts a session and redirects to the user's page.
///
/// The session gets a new id, so that an attacker cannot choose an id and share the session (session fixation). Answers
/// 302, 401, or 503 if too many logins wait or there are too many sessions.
pub(super) async fn login(
    State(passwords): State<Arc<PasswordChecker>>,
    session: Session,
    headers: HeaderMap,
) -> Response {
    let Some(credentials) = Credentials::from_headers(&headers) else {
        return please_sign_in();
    };
    let name = credentials.name.clone();
    match passwords.check(credentials).await {
        Ok(true) => {}
        Ok(false) => {
            // The name is not logged, because users may type a password into the wrong field.
            tracing::info!("login refused: unknown name or wrong password");
            return please_sign_in();
        }
        Err(TooManyWaiting) => return busy(),
    }
    match start(&session, &name).await {
        Ok(()) => {
            tracing::debug!(user = name, "login");
            redirect(StatusCode::FOUND, "/private")
        }
        Err(error) => {
            tracing::warn!(%error, "a session could not be stored");
            busy()
        }
    }
}

/// Ends the session and redirects to the home page.
pub(super) async fn logout(session: Session) -> Response {
    match session.flush().await {
        Ok(()) => redirect(StatusCode::SEE_OTHER, "/"),
        Err(error) => {
            tracing::error!(%error, "a session could not be ended");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The name of the user who is logged in; `None` if nobody is.
pub(super) async fn user(session: &Session) -> Option<String> {
    // The store is in memory and always loads: an error means that the session has other data.
    session.get(USER_KEY).await.ok().flatten()
}

/// Verifies passwords on separate threads, a few at a time, with a limited queue.
pub(super) struct PasswordChecker {
    users: Arc<Users>,
    /// One permit for each verification that may run at once.
    running: Arc<Semaphore>,
    /// One permit for each login, waiting or running.
    admitted: Arc<Semaphore>,
}

/// The queue for verifications is full.
#[derive(Debug)]
pub(super) struct TooManyWaiting;

impl PasswordChecker {
    /// One verification at a time for each core; at most `waiting_max` further logins wait.
    pub(super) fn new(users: Users, waiting_max: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let admitted = waiting_max.saturating_add(cores).min(Semaphore::MAX_PERMITS);
        Self {
            users: Arc::new(users),
            running: Arc::new(Semaphore::new(cores)),
            admitted: Arc::new(Semaphore::new(admitted)),
        }
    }

    async fn check(&self, credentials: Credentials) -> Result<bool, TooManyWaiting> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| TooManyWaiting)?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| TooManyWaiting)?;
        let users = self.users.clone();
        let verified = tokio::task::spawn_blocking(move || {
            // Held until the work is done, even if the client has disconnected.
            let _permits = (admitted, running);
            users.verify(&credentials.name, &credentials.password)
        });
        Ok(verified.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a password could not be verified");
            false
        }))
    }
}

/// A name and a password of a client. Without `Debug`: a password must not be logged.
struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    /// `None` if the credentials are missing, malformed, or of another scheme (RFC 7617 section 2).
    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
    }

    fn parse(authorization: &str) -> Option<Self> {
        let (scheme, encoded) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return None;
        }
        let decoded = base64_simd::STANDARD.decode_to_vec(encoded.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        // A password may contain colons, a name may not.
        let (name, password) = text.split_once(':')?;
        Some(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

async fn start(session: &Session, name: &str) -> Result<(), tower_sessions::session::Error> {
    session.cycle_id().await?;
    session.insert(USER_KEY, name).await?;
    // Saved here and not by the session layer, so that a full store is answered with 503.
    session.save().await
}

fn please_sign_in() -> Response {
    let headers = [(header::WWW_AUTHENTICATE, CHALLENGE), (header::CACHE_CONTROL, "no-store")];
    let mut response = (StatusCode::UNAUTHORIZED, headers, PLEASE_SIGN_IN).into_response();
    let reason = ReasonPhrase::from_static(PLEASE_SIGN_IN.as_bytes());
    response.extensions_mut().insert(reason);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::users::{Cost, DEMO_NAME, DEMO_PASSWORD, hash};
    use proptest::prelude::*;

    fn check(authorization: &str, expected: Option<(&str, &str)>, why: &str) {
        let parsed = Credentials::parse(authorization);
        assert_eq!(parsed.as_ref().map(|c| (c.name.as_str(), c.password.as_str())), expected, "{why}");
    }

    #[test]
    fn credentials_are_parsed_as_in_rfc_7617() {
        let aladdin = Some(("Aladdin", "open sesame"));
        for (authorization, expected, why) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", aladdin, "the RFC's example"),
            ("bAsIc  QWxhZGRpbjpvcGVuIHNlc2FtZQ==", aladdin, "case and the number of spaces do not matter"),
            ("Basic dGVzdDoxMjPCow==", Some(("test", "123£")), "the RFC's example in UTF-8"),
            ("Basic YTpiOmM=", Some(("a", "b:c")), "only the first colon separates"),
            ("Basic Og==", Some(("", "")), "both may be empty"),
            ("Basic YWI=", None, "no colon"),
            ("Basic dGVzdDoxMjOj", None, "ISO 8859-1 is not UTF-8"),
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", None, "base64 without its padding"),
            ("Basic !!!!", None, "not base64"),
            ("Basic", None, "nothing after the scheme"),
            ("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", None, "another scheme"),
            ("", None, "empty"),
        ] {
            check(authorization, expected, why);
        }
    }

    proptest! {
        #[test]
        fn encoded_credentials_are_parsed(name in "[^:]{0,12}", password in ".{0,12}") {
            let encoded = base64_simd::STANDARD.encode_to_string(format!("{name}:{password}"));
            check(&format!("Basic {encoded}"), Some((&name, &password)), "round trip");
        }

        #[test]
        fn arbitrary_headers_never_panic(authorization in "(Basic )?\\PC{0,40}") {
            let _ = Credentials::parse(&authorization);
        }
    }

    #[tokio::test]
    async fn a_login_beyond_the_queue_is_refused() {
        let demo = || Credentials { name: DEMO_NAME.to_owned(), password: DEMO_PASSWORD.to_owned() };
        let passwords = PasswordChecker::new(Users::demo(), 1);
        let cores = u32::try_from(passwords.running.available_permits()).unwrap();
        // All running permits are taken, as by verifications in progress.
        let running = passwords.running.clone().acquire_many_owned(cores).await.unwrap();
        let admitted = passwords.admitted.clone().acquire_many_owned(cores).await.unwrap();
        let mut waiting = std::pin::pin!(passwords.check(demo()));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending(), "one login may wait");
        assert!(passwords.check(demo()).await.is_err(), "a second one may not");
        drop((running, admitted));
        assert!(waiting.await.unwrap(), "the waiting login is verified");
        assert!(passwords.check(demo()).await.unwrap(), "the permits are free again");
    }

    #[tokio::test]
    async fn verifications_of_different_costs_release_their_permits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.csv");
        std::fs::write(&path, format!("ana,{}", hash("secret", Cost::Embedded))).unwrap();
        let passwords = PasswordChecker::new(Users::load(&path).unwrap(), 0);
        for (name, password, expected) in [("ana", "secret", true), ("bob", "secret", false)] {
            for _ in 0..2 * passwords.admitted.available_permits() {
                let (name, password) = (name.to_owned(), password.to_owned());
                let verdict = passwords.check(Credentials { name, password }).await;
                assert_eq!(verdict.unwrap(), expected);
            }
        }
    }
}
