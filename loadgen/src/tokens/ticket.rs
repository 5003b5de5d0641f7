//! The request of an arrival for a token, and its answer.

use crate::ground::outcome::Failure;
use crate::ground::values::Token;

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
