//! What a run and its processes say to each other: lines of JSON over the child's standard input and output.
//!
//! They hold tokens, so nothing here can be shown, and nothing of it stands in arguments or in the environment, which
//! others may read.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::drive::processes::job::Job;
use crate::drive::shard::ShardRecord;
use crate::ground::outcome::{Failure, FailureKind, Phase};
use crate::tokens::{Answer, Ticket};

/// A job with a million tokens has less; what is longer is no word of ours.
const WORD_BYTES_MAX: u64 = 1 << 30;

/// From the run to a process; the first is the job.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToMember {
    /// What it is to do.
    Job(Box<Job>),
    /// What all shards are told. Each holds for good.
    Steer(Steer),
    /// A token that it asked for.
    Token(TokenWord),
}

/// What all shards are told.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Steer {
    /// T0 by the machine's monotonic clock, which is the same for all processes; `None`: not yet.
    pub t0_monotonic_ns: Option<u64>,
    /// The run ends now.
    pub stop: bool,
    /// Every arrival of every shard is decided.
    pub close: bool,
}

/// From a process to the run.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromMember {
    /// All its shards wait for T0.
    Ready,
    /// What one of its shards tells.
    Told(ShardRecord),
    /// An arrival needs a token.
    Ask(TicketWord),
    /// It cannot do what it was told, and ends.
    Failed(String),
}

/// A [`Ticket`].
#[derive(Serialize, Deserialize)]
pub struct TicketWord {
    shard: usize,
    number: u64,
    refused: Option<String>,
}

/// An [`Answer`], and the shard that asked.
#[derive(Serialize, Deserialize)]
pub struct TokenWord {
    shard: usize,
    number: u64,
    /// Without one, `failure` says why.
    token: Option<String>,
    /// Its phase and kind.
    failure: Option<(String, String)>,
    token_ns: Option<u64>,
    made: bool,
}

impl From<Ticket> for TicketWord {
    fn from(ticket: Ticket) -> Self {
        Self { shard: ticket.shard, number: ticket.number, refused: ticket.refused.map(|token| token.to_string()) }
    }
}

impl From<TicketWord> for Ticket {
    fn from(word: TicketWord) -> Self {
        Self { shard: word.shard, number: word.number, refused: word.refused.map(Arc::from) }
    }
}

impl TokenWord {
    /// The answer to a shard.
    pub fn new(shard: usize, answer: &Answer) -> Self {
        let (token, failure) = match &answer.result {
            Ok(token) => (Some(token.to_string()), None),
            Err(failure) => (None, Some(*failure)),
        };
        Self {
            shard,
            number: answer.number,
            token,
            failure: failure.map(|failure| (failure.phase.as_str().to_owned(), failure.kind.to_string())),
            token_ns: answer.token_ns,
            made: answer.made,
        }
    }

    /// The shard that asked, and the answer; `None`: it is neither a token nor a failure.
    pub fn answer(self) -> Option<(usize, Answer)> {
        let result = match (self.token, self.failure) {
            (Some(token), _) => Ok(Arc::from(token)),
            (None, Some((phase, kind))) => {
                Err(Failure { phase: Phase::named(&phase)?, kind: FailureKind::named(&kind)? })
            }
            (None, None) => return None,
        };
        let answer = Answer { number: self.number, result, token_ns: self.token_ns, made: self.made };
        Some((self.shard, answer))
    }
}

/// Says a word.
pub fn say(to: &mut impl Write, word: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Waits for the next word; `None`: there are no more.
pub fn hear<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.by_ref().take(WORD_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_as_they_were_said() {
        let lost = Failure { phase: Phase::Token, kind: FailureKind::Http(503) };
        for result in [Ok(Arc::from("a.b.c")), Err(lost)] {
            let answer = Answer { number: 7, result, token_ns: Some(5), made: true };
            let mut line = Vec::new();
            say(&mut line, &ToMember::Token(TokenWord::new(3, &answer))).unwrap();
            let Ok(Some(ToMember::Token(word))) = hear(&mut line.as_slice()) else {
                panic!("another word");
            };
            let (shard, heard) = word.answer().unwrap();
            assert_eq!((shard, heard.number, heard.token_ns), (3, 7, Some(5)));
            assert_eq!(heard.result, answer.result);
        }
        let ticket = Ticket { shard: 1, number: u64::MAX, refused: Some("x.y.z".into()) };
        assert_eq!(Ticket::from(TicketWord::from(ticket.clone())), ticket);
    }

    #[test]
    fn an_end_is_no_word_and_half_a_word_is_a_fault() {
        assert!(matches!(hear::<FromMember>(&mut &b""[..]), Ok(None)));
        for half in [&b"{\"told\""[..], b"\n", b"\"what\"\n"] {
            assert!(hear::<FromMember>(&mut &*half).is_err(), "{half:?}");
        }
    }
}
