//! What the engine draws its tokens from.

use std::sync::Arc;

use crate::ground::recorder::Recorder;
use crate::ground::values::Token;
use crate::tokens::invalid::InvalidTokens;
use crate::tokens::kept::Kept;
use crate::tokens::login::Tally;
use crate::tokens::requests::Requests;

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

/// What was done before T0.
#[derive(Debug)]
pub struct Prepared {
    /// For the engine.
    pub supply: Supply,
    /// What is shown in place of a valid token.
    pub invalid: InvalidTokens,
    /// The durations of the logins, and of the tokens that were had already.
    pub recorder: Recorder,
    /// What becomes of the requests of a login's steps, where the scenario names them.
    pub steps: Option<Arc<Tally>>,
}
