//! Tokens that another process makes: tickets are passed on, answers are passed back.

use std::time::Duration;

use crate::ground::values::Token;
use crate::tokens::kept::Kept;
use crate::tokens::requests::{Answers, Requests};
use crate::tokens::supply::Supply;
use crate::tokens::ticket::{Answer, Ticket};

/// Where answers come in for the shards of this process.
#[derive(Clone)]
pub struct Relay {
    answers: Answers,
    kept: Option<Kept>,
}

/// A supply whose every ticket goes to `ask`, on a thread of its own; `kept` are the tokens of all users, where each has
/// one, with how long before its end a token is not used any more.
///
/// Fails when there is no thread to be had.
pub fn relay(
    shards: usize,
    kept: Option<(Vec<Token>, Option<Duration>)>,
    ask: impl Fn(Ticket) + Send + 'static,
) -> std::io::Result<(Supply, Relay)> {
    let (requests, mut service) = Requests::open(shards);
    let kept = kept.map(|(tokens, ahead)| Kept::new(tokens, ahead));
    let relay = Relay { answers: service.answers.clone(), kept: kept.clone() };
    std::thread::Builder::new().name("tickets".to_owned()).spawn(move || {
        while let Some(ticket) = service.next_blocking() {
            ask(ticket);
        }
    })?;
    let supply = match kept {
        Some(kept) => Supply::Kept(kept, requests),
        None => Supply::OnDemand(requests),
    };
    Ok((supply, relay))
}

impl Relay {
    /// Hands an answer to the shard that asked.
    pub fn give(&self, shard: usize, answer: Answer) {
        if let (Some(kept), Ok(token)) = (&self.kept, &answer.result) {
            kept.put(answer.number, token.clone());
        }
        self.answers.give(shard, answer);
    }
}
