//! Servers on other stacks, each authenticated by one HS256 token in the handshake's query, checked
//! by `jsonwebtoken` with a key prepared once. They are tuned as far as their libraries allow: one thread (they are
//! measured on one core), TCP_NODELAY, a read buffer of 1 KiB in place of the 128 KiB that tungstenite fills with zeros.
//!
//! The secret is in `$SECRET`. Each prints {"port":N,"pid":N} once it listens, and ends with its parent.

use std::io::Write;
use std::net::Ipv4Addr;

use anyhow::Context;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Deserialize;
use tokio::net::TcpListener;

/// Tungstenite's read buffer, per socket.
pub const READ_BUFFER_BYTES: usize = 1024;

/// The claims of a token: the original's.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    pub user: User,
}

#[derive(Clone, Debug, Deserialize)]
pub struct User {
    pub username: String,
}

/// The key and the rules that tokens are checked by.
pub struct Tokens {
    key: DecodingKey,
    validation: Validation,
}

impl Tokens {
    /// Fails without `$SECRET`.
    pub fn from_env() -> anyhow::Result<Self> {
        let secret = std::env::var("SECRET").context("set $SECRET")?;
        Ok(Self { key: DecodingKey::from_secret(secret.as_bytes()), validation: Validation::new(Algorithm::HS256) })
    }

    /// The user of the query's token; `None` for an invalid one.
    pub fn user(&self, query: Option<&str>) -> Option<User> {
        let token = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
        let token = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation);
        Some(token.ok()?.claims.user)
    }
}

/// Runs a server on this thread, on a listener of its own.
pub fn run<S>(serve: impl FnOnce(TcpListener, Tokens) -> S) -> anyhow::Result<()>
where
    S: Future<Output = anyhow::Result<()>>,
{
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let tokens = Tokens::from_env()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (port, pid) = (listener.local_addr()?.port(), std::process::id());
        println!("{{\"port\":{port},\"pid\":{pid}}}");
        std::io::stdout().flush()?;
        serve(listener, tokens).await
    })
}
