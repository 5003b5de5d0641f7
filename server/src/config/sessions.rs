//! Sessions that let sockets in, in place of tokens: the flag, and what it comes to.

use crate::config::error::ConfigError;
use crate::{gate::lookup::SessionSource, keys::JwksUrl, session::Auth, session_key::SessionKey};

/// The flag.
#[derive(Clone, Debug, clap::Args)]
pub struct SessionArgs {
    /// Where a gate of `--auth session` asks whose a session is, https:// (http:// on loopback alone); the frontend there
    /// has the same --secret and --auth [default: the frontend of the same server, or
    /// http://127.0.0.1:8000/getSessionUser]
    #[arg(long, value_name = "URL")]
    session_url: Option<JwksUrl>,
}

/// Where frontends listen unless told otherwise, and are asked.
const URL_DEFAULT: &str = "http://127.0.0.1:8000/getSessionUser";

impl SessionArgs {
    /// The key by which the frontend of this server is asked, where `auth` lets sessions in.
    pub fn key(&self, auth: Auth, secret: Option<&[u8]>) -> Result<Option<SessionKey>, ConfigError> {
        match (auth, secret) {
            (Auth::Session, None) => Err(ConfigError::NothingToAskBy),
            (Auth::Session, Some(secret)) => Ok(Some(SessionKey::of_secret(secret))),
            _ if self.session_url.is_some() => Err(ConfigError::NobodyAsks),
            _ => Ok(None),
        }
    }

    /// Where the gate asks by that key; `has_frontend`: it has one of its own, whose address is not known yet.
    pub fn source(&self, key: Option<SessionKey>, has_frontend: bool) -> Option<SessionSource> {
        let usual = || URL_DEFAULT.parse().ok().filter(|_| !has_frontend);
        Some(SessionSource { url: self.session_url.clone().or_else(usual), key: key? })
    }
}
