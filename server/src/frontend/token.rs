//! `GET /getIoConnectionToken`: the token that authenticates the socket of a logged-in user.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;
use tower_sessions::Session;

use crate::frontend::login;
use crate::frontend::response::access_denied;

/// Answers with a new token as a JSON string, or with 403 `Access Denied` if nobody is logged in.
pub(super) async fn token(State(minter): State<Arc<Minter>>, session: Session) -> Response {
    let Some(name) = login::user(&session).await else {
        return access_denied();
    };
    match minter.mint(&name, (minter.unix_s)()) {
        Ok(token) => ([(header::CACHE_CONTROL, "no-store")], Json(token)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a token could not be signed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Signs tokens with HS256 (RFC 7518 section 3.2) and the secret that the gate has too.
pub(super) struct Minter {
    key: EncodingKey,
    header: Header,
    /// `None`: tokens never expire.
    pub ttl: Option<Duration>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    /// The wall clock: seconds since 1970.
    unix_s: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// The claims of a token (RFC 7519 section 4.1); `user` is a private claim.
#[derive(Serialize)]
struct Claims<'a> {
    user: User<'a>,
    /// Seconds since 1970, as `exp` is.
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

#[derive(Serialize)]
struct User<'a> {
    username: &'a str,
}

impl Minter {
    /// Mints tokens without `exp`, `iss` and `aud`.
    pub(super) fn new(secret: &[u8], unix_s: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        let key = EncodingKey::from_secret(secret);
        Self { key, header: Header::default(), ttl: None, issuer: None, audience: None, unix_s }
    }

    /// A token for this user, issued at `now_s` seconds after 1970. `exp` is `iat` plus the lifetime, which is rounded
    /// up to whole seconds, so that a token with a short one does not expire at once.
    fn mint(&self, name: &str, now_s: u64) -> Result<String, jsonwebtoken::errors::Error> {
        let ttl_s = self.ttl.map(|ttl| ttl.as_secs().saturating_add((ttl.subsec_nanos() > 0).into()));
        let claims = Claims {
            user: User { username: name },
            iat: now_s,
            exp: ttl_s.map(|ttl_s| now_s.saturating_add(ttl_s)),
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SECRET: &[u8] = b"a secret of at least 32 bytes, as RFC 7518 asks";

    #[test]
    fn a_token_has_its_user_and_its_times() {
        let text = |s: &str| Some(s.to_owned());
        let ttl = |ms| Some(Duration::from_millis(ms));
        let user = json!({"username": "gonzalo"});
        for (ttl, issuer, audience, expected, why) in [
            (None, None, None, json!({"user": user, "iat": 1000}), "without a lifetime a token never expires"),
            (ttl(10_000), None, None, json!({"user": user, "iat": 1000, "exp": 1010}), "exp is iat plus the lifetime"),
            (ttl(1_001), None, None, json!({"user": user, "iat": 1000, "exp": 1002}), "seconds are rounded up"),
            (Some(Duration::MAX), None, None, json!({"user": user, "iat": 1000, "exp": u64::MAX}), "no overflow"),
            (None, text("a"), text("b"), json!({"user": user, "iat": 1000, "iss": "a", "aud": "b"}), "as configured"),
        ] {
            let minter = Minter { ttl, issuer, audience, ..Minter::new(SECRET, Arc::new(|| 1000)) };
            assert_eq!(claims(&minter.mint("gonzalo", 1000).unwrap()), expected, "{why}");
        }
    }

    #[test]
    fn a_name_cannot_change_other_claims() {
        let name = r#""}, "admin": true, "x": {"y": ""#;
        let minter = Minter::new(SECRET, Arc::new(|| 1000));
        let claims = claims(&minter.mint(name, 1000).unwrap());
        assert_eq!(claims, json!({"user": {"username": name}, "iat": 1000}));
    }

    /// The claims of a token with a valid signature; times are not checked.
    fn claims(token: &str) -> Value {
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let key = jsonwebtoken::DecodingKey::from_secret(SECRET);
        jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap().claims
    }
}
