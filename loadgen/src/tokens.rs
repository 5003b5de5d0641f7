//! Where the engine gets its tokens: all of them before T0, or each when its arrival is due.
//!
//! The engine's shards are bare threads that must never wait, so a token that is not ready is asked for by a
//! [`Ticket`] over a bounded queue, made by a task of the runtime, and handed back through the shard's own channel,
//! with a wake-up. Nothing here knows about sockets or schedules.

mod bad;
mod counter;
mod expiry;
mod kept;
mod prepare;
mod relay;

pub mod login;

use std::sync::Arc;

use crate::ground::outcome::Failure;
use crate::ground::recorder::Recorder;
use crate::spec::SigningError;
use crate::tokens::login::{ClientError, LoginError, Tally};

pub use crate::ground::token::Token;
pub use bad::{BadTokens, CannotSpoil, NO_PUBLIC_KEY, NO_SIGNING_KEY, SPOILT_USERS_MAX};
pub use counter::{QueueFull, Requests};
pub use expiry::expires_at;
pub use kept::Kept;
pub use prepare::prepare;
pub use relay::{Relay, relay};

/// What the engine draws its tokens from.
#[derive(Clone, Debug)]
pub enum Supply {
    /// Had before T0, at least one; arrival `j` shows `[j % len]`.
    Ready(Arc<[Token]>),
    /// Made when an arrival is due.
    OnDemand(Requests),
    /// One for each user, had before T0 and made anew when that is needed.
    Kept(Kept, Requests),
}

impl Supply {
    /// Where further tokens are asked for, if they are.
    pub fn requests(&self) -> Option<&Requests> {
        match self {
            Self::Ready(_) => None,
            Self::OnDemand(requests) | Self::Kept(_, requests) => Some(requests),
        }
    }
}

/// An arrival that needs its token now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Who asks, and is answered.
    pub shard: usize,
    /// Which arrival; its user is `number % users`.
    pub number: u64,
    /// The token of it that was refused.
    pub refused: Option<Token>,
}

/// What became of a [`Ticket`].
#[derive(Clone, Debug)]
pub struct Answer {
    /// The ticket's arrival.
    pub number: u64,
    /// Its token, or how its making failed.
    pub result: Result<Token, Failure>,
    /// What the HTTP request for it took; `None` where it was minted, or is another arrival's new one.
    pub token_ns: Option<u64>,
    /// Whether it was made for this arrival.
    pub made: bool,
}

/// What was done before T0.
#[derive(Debug)]
pub struct Prepared {
    /// For the engine.
    pub supply: Supply,
    /// What is shown in place of a valid token.
    pub bad: BadTokens,
    /// The durations of the logins, and of the tokens that were had already.
    pub recorder: Recorder,
    /// What becomes of the requests of a login's steps, where the scenario names them.
    pub steps: Option<Arc<Tally>>,
}

/// Why no arrival can have a token: what was asked for cannot be done, and the run does not begin.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A user's session or token was not to be had.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// There is no client to ask with.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A login's task ended by itself: this program's own fault.
    #[error("a login was lost: {0}")]
    Task(#[source] tokio::task::JoinError),
    /// A key does not sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A bad kind of the mix cannot be made.
    #[error(transparent)]
    Bad(#[from] CannotSpoil),
    /// A file of tokens does not give any.
    #[error("tokens from {path}: {problem}", path = .path.display())]
    File {
        /// As it was named.
        path: std::path::PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A scenario for the embedded server came here before that server was up: this program's own fault.
    #[error("the embedded frontend was not started before its tokens were asked for")]
    FrontendNotStarted,
    /// A process that is a part of another was to log in by itself: this program's own fault.
    #[error("tokens are given by the process that this one is a part of")]
    Given,
}
