//! The request of an arrival for a token, and its answer.

use crate::ground::outcome::Failure;
use crate::ground::values::Token;

/// An arrival that needs its token now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The shard that receives the answer.
    pub shard: usize,
    /// The arrival; its user is `number % users`.
    pub number: u64,
    /// The arrival's token that was refused.
    pub refused: Option<Token>,
}

/// The answer to a [`Ticket`].
#[derive(Clone, Debug)]
pub struct Answer {
    /// The ticket's arrival.
    pub number: u64,
    /// The token, or why there is none.
    pub result: Result<Token, Failure>,
    /// Duration of the HTTP request; `None` where the token was minted, or renewed for another arrival.
    pub token_ns: Option<u64>,
    /// Whether it was made for this arrival.
    pub made: bool,
}
