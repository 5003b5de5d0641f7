//! Tokens that another process makes: tickets are passed on, answers are passed back.

use std::time::Duration;

use crate::ground::values::Token;
use crate::tokens::kept::Kept;
use crate::tokens::requests::{Answers, Requests};
use crate::tokens::supply::Supply;
use crate::tokens::ticket::{Answer, Ticket};

/// Passes answers to the shards of this process.
#[derive(Clone)]
pub struct Relay {
    answers: Answers,
    kept: Option<Kept>,
}

/// A supply that passes every ticket to `ask` on its own thread. `kept` holds one token for each user and the remaining
/// lifetime below which a token is renewed.
///
/// # Errors
///
/// The thread cannot be started.
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
    /// Passes an answer to the shard that sent the ticket.
    pub fn give(&self, shard: usize, answer: Answer) {
        if let (Some(kept), Ok(token)) = (&self.kept, &answer.result) {
            kept.put(answer.number, token.clone());
        }
        self.answers.give(shard, answer);
    }
}
