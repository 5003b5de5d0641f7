//! The messages between a run and its processes: lines of JSON over the child's standard input and output.
//!
//! They hold tokens, so nothing here can be shown, and nothing of it stands in arguments or in the environment, which
//! others may read.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::drive::processes::job::{Job, Tokens};
use crate::drive::shard::ShardRecord;
use crate::ground::outcome::{Failure, FailureKind, Phase};
use crate::tokens::{Answer, Ticket};

/// The tokens of a million users are shorter; what is longer is no message of this protocol.
const MESSAGE_BYTES_MAX: u64 = 1 << 30;

/// From the run to a process; the first two are the job and its tokens.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToMember {
    /// What it is to do.
    Job(Box<Job>),
    /// The tokens that are there before T0.
    Tokens(Tokens),
    /// What all shards are to do. Each signal holds until the load has ended.
    Steer(Steer),
    /// A token that it asked for.
    Token(TokenMessage),
}

/// What all shards are to do.
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
    /// What one of its shards reports.
    Report(ShardRecord),
    /// An arrival needs a token.
    Ask(TicketMessage),
    /// It cannot do its job, and ends.
    Failed(String),
}

/// A [`Ticket`].
#[derive(Serialize, Deserialize)]
pub struct TicketMessage {
    shard: usize,
    number: u64,
    refused: Option<String>,
}

/// An [`Answer`], and the shard that asked.
#[derive(Serialize, Deserialize)]
pub struct TokenMessage {
    shard: usize,
    number: u64,
    /// Without one, `failure` says why.
    token: Option<String>,
    /// Its phase and kind.
    failure: Option<(String, String)>,
    token_ns: Option<u64>,
    made: bool,
}

impl From<Ticket> for TicketMessage {
    fn from(ticket: Ticket) -> Self {
        Self { shard: ticket.shard, number: ticket.number, refused: ticket.refused.map(|token| token.to_string()) }
    }
}

impl From<TicketMessage> for Ticket {
    fn from(message: TicketMessage) -> Self {
        Self { shard: message.shard, number: message.number, refused: message.refused.map(Arc::from) }
    }
}

impl TokenMessage {
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

/// Writes a message and flushes it.
pub fn write_message(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Waits for the next message; `None`: there are no more.
pub fn read_message<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.by_ref().take(MESSAGE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let lost = Failure { phase: Phase::Token, kind: FailureKind::Http(503) };
        for result in [Ok(Arc::from("a.b.c")), Err(lost)] {
            let answer = Answer { number: 7, result, token_ns: Some(5), made: true };
            let mut line = Vec::new();
            write_message(&mut line, &ToMember::Token(TokenMessage::new(3, &answer))).unwrap();
            let Ok(Some(ToMember::Token(message))) = read_message(&mut line.as_slice()) else {
                panic!("another message");
            };
            let (shard, received) = message.answer().unwrap();
            assert_eq!((shard, received.number, received.token_ns), (3, 7, Some(5)));
            assert_eq!(received.result, answer.result);
        }
        let ticket = Ticket { shard: 1, number: u64::MAX, refused: Some("x.y.z".into()) };
        assert_eq!(Ticket::from(TicketMessage::from(ticket.clone())), ticket);
    }

    #[test]
    fn an_end_is_no_message_and_half_a_message_is_a_fault() {
        assert!(matches!(read_message::<FromMember>(&mut &b""[..]), Ok(None)));
        for half in [&b"{\"report\""[..], b"\n", b"\"what\"\n"] {
            assert!(read_message::<FromMember>(&mut &*half).is_err(), "{half:?}");
        }
    }
}
