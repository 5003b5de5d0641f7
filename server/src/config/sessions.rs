//! The flag for session lookups, with which sessions authenticate sockets in place of tokens.

use crate::config::error::ConfigError;
use crate::{gate::lookup::SessionSource, keys::JwksUrl, session::Auth, session_key::SessionKey};

/// The flag for session lookups.
#[derive(Clone, Debug, clap::Args)]
pub struct SessionArgs {
    /// The URL of session lookups with `--auth session`, https:// (http:// on loopback only); the frontend there
    /// has the same --secret and --auth [default: the frontend of the same server, or
    /// http://127.0.0.1:8000/getSessionUser]
    #[arg(long, value_name = "URL")]
    session_url: Option<JwksUrl>,
}

/// The default URL of session lookups.
const URL_DEFAULT: &str = "http://127.0.0.1:8000/getSessionUser";

impl SessionArgs {
    /// The key for session lookups, where `auth` uses them.
    pub fn key(&self, auth: Auth, secret: Option<&[u8]>) -> Result<Option<SessionKey>, ConfigError> {
        match (auth, secret) {
            (Auth::Session, None) => Err(ConfigError::NoLookupKey),
            (Auth::Session, Some(secret)) => Ok(Some(SessionKey::of_secret(secret))),
            _ if self.session_url.is_some() => Err(ConfigError::LookupsAreOff),
            _ => Ok(None),
        }
    }

    /// The frontend that looks sessions up, authorized by `key`. With `has_frontend` its default is the frontend of this
    /// server, whose URL is set later.
    pub(crate) fn source(&self, key: Option<SessionKey>, has_frontend: bool) -> Option<SessionSource> {
        let default_url = || URL_DEFAULT.parse().ok().filter(|_| !has_frontend);
        Some(SessionSource { url: self.session_url.clone().or_else(default_url), key: key? })
    }
}
