//! Sessions that let sockets in, in place of tokens: the flag, and what it comes to.

use super::ConfigError;
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
    pub fn key(
        &self,
        auth: Auth,
        secret: Option<&[u8]>,
    ) -> Result<Option<SessionKey>, ConfigError> {
        match (auth, secret) {
            (Auth::Session, None) => Err(ConfigError::NothingToAskBy),
            (Auth::Session, Some(secret)) => Ok(Some(SessionKey::of_secret(secret))),
            _ if self.session_url.is_some() => Err(ConfigError::NobodyAsks),
            _ => Ok(None),
        }
    }

    /// Where the gate asks by that key; `has_frontend`: it has one of its own, whose address is not known yet, and which
    /// speaks TLS alone if anything here does.
    pub fn source(
        &self,
        key: Option<SessionKey>,
        has_frontend: bool,
        is_tls: bool,
    ) -> Result<Option<SessionSource>, ConfigError> {
        let Some(key) = key else { return Ok(None) };
        if has_frontend && is_tls && self.session_url.is_none() {
            return Err(ConfigError::SessionsUnderTls);
        }
        let usual = || URL_DEFAULT.parse().ok().filter(|_| !has_frontend);
        Ok(Some(SessionSource {
            url: self.session_url.clone().or_else(usual),
            key,
        }))
    }
}
