//! The flags about tokens, which serving and `gatekeeper verify` share: the keys and the rules of verification.

use std::{path::PathBuf, time::Duration};

use crate::config::error::ConfigError;
use crate::config::values::{self, Secret};
use crate::keys::{self, Algorithm, JwksUrl, KeyReloader};
use crate::verify::Policy;

/// Keys and rules for tokens.
#[derive(Clone, Debug, clap::Args)]
pub struct TokenArgs {
    /// The HS256 secret, TEXT, env:NAME or file:PATH [default for serving, without other keys: the demo's, on loopback
    /// only]
    #[arg(long, value_name = "SECRET")]
    pub(super) secret: Option<Secret>,
    /// Keys that tokens may be signed with: PEM public keys, a JWK or a JWK set (repeatable); a gate reads them again
    /// when they change, and on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub(super) keys: Vec<PathBuf>,
    /// A published JWK set, https:// (http:// on loopback only), fetched regularly (repeatable)
    #[arg(long, value_name = "URL")]
    pub(super) jwks: Vec<JwksUrl>,
    /// The `iss` that tokens must have, and that the frontend's have
    #[arg(long, value_name = "TEXT")]
    pub(super) issuer: Option<String>,
    /// The `aud` that tokens must have, and that the frontend's have
    #[arg(long, value_name = "TEXT")]
    pub(super) audience: Option<String>,
    /// How far the issuer's clock may be off
    #[arg(long, value_name = "D", default_value = "0s", value_parser = values::duration)]
    leeway: Duration,
    /// Where in the claims the user's name is, with dots into objects (repeatable, the first found counts)
    /// [default: user.username, sub]
    #[arg(long, value_name = "PATH")]
    user_claim: Vec<String>,
}

impl TokenArgs {
    /// Whether the flags name public keys or key sets.
    pub(super) fn names_public_keys(&self) -> bool {
        !self.keys.is_empty() || !self.jwks.is_empty()
    }

    /// The secret, if the flag is given.
    pub(crate) fn given_secret(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        Ok(self.secret.as_ref().map(Secret::read).transpose()?)
    }

    /// The keys of all sources, with `secret` for HS256.
    pub(crate) fn reloader(&self, secret: Option<&[u8]>) -> Result<KeyReloader, ConfigError> {
        let secret = secret.map(|secret| keys::load::secret(secret, Algorithm::HS256)).transpose();
        secret.and_then(|secret| KeyReloader::new(secret, &self.keys, self.jwks.clone())).map_err(ConfigError::Keys)
    }

    /// The rules for tokens. Claims are compared in whole seconds, so that parts of a second of leeway are dropped.
    pub(crate) fn policy(&self) -> Policy {
        let (leeway_s, issuer, audience) = (self.leeway.as_secs(), self.issuer.clone(), self.audience.clone());
        let mut policy = Policy { leeway_s, issuer, audience, ..Policy::default() };
        if !self.user_claim.is_empty() {
            policy.user_claim.clone_from(&self.user_claim);
        }
        policy
    }
}
