//! The messages between a run and its processes: lines of JSON over the child's standard input and output.
//!
//! Messages hold tokens. No type here implements `Debug`, and no token is passed in arguments or in the environment,
//! which other users of the machine may read.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::drive::processes::job::{Job, Tokens};
use crate::drive::shard::ShardRecord;
use crate::ground::outcome::Failure;
use crate::tokens::{Answer, Ticket};

/// Longest accepted message. The tokens of a million users are shorter.
const MESSAGE_BYTES_MAX: u64 = 1 << 30;

/// From the run to a process; the first two are the job and its tokens.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToMember {
    /// The part of the load that the process makes.
    Job(Box<Job>),
    /// The tokens that were made before T0.
    Tokens(Tokens),
    /// The signals given so far. Each signal holds until the load has ended.
    Steer(Steer),
    /// The answer to a token request of the process.
    Token(TokenMessage),
}

/// The signals given to all shards so far.
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
    /// All shards of the process wait for T0.
    Ready,
    /// A report of one of its shards.
    Report(ShardRecord),
    /// An arrival needs a token.
    Ask(TicketMessage),
    /// The process cannot do its job and ends, for this reason.
    Failed(String),
}

/// A [`Ticket`].
#[derive(Serialize, Deserialize)]
pub struct TicketMessage {
    shard: usize,
    number: u64,
    refused: Option<String>,
}

/// An [`Answer`], and the shard that requested the token.
#[derive(Serialize, Deserialize)]
pub struct TokenMessage {
    shard: usize,
    number: u64,
    result: Result<String, Failure>,
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
    /// The answer to a request of `shard`.
    pub fn new(shard: usize, answer: &Answer) -> Self {
        let result = answer.result.as_ref().map(ToString::to_string).map_err(|failure| *failure);
        Self { shard, number: answer.number, result, token_ns: answer.token_ns, made: answer.made }
    }

    /// The shard that requested the token, and the answer.
    pub fn answer(self) -> (usize, Answer) {
        let result = self.result.map(Arc::from);
        (self.shard, Answer { number: self.number, result, token_ns: self.token_ns, made: self.made })
    }
}

/// Writes a message and flushes it.
pub fn write_message(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Waits for the next message; `None`: the sender has closed the pipe.
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
    use crate::ground::outcome::{FailureKind, Phase};

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
            let (shard, received) = message.answer();
            assert_eq!((shard, received.number, received.token_ns), (3, 7, Some(5)));
            assert_eq!(received.result, answer.result);
        }
        let ticket = Ticket { shard: 1, number: u64::MAX, refused: Some("x.y.z".into()) };
        assert_eq!(Ticket::from(TicketMessage::from(ticket.clone())), ticket);
    }

    #[test]
    fn end_of_input_is_no_message_and_an_incomplete_message_is_an_error() {
        assert!(matches!(read_message::<FromMember>(&mut &b""[..]), Ok(None)));
        for half in [&b"{\"report\""[..], b"\n", b"\"what\"\n"] {
            assert!(read_message::<FromMember>(&mut &*half).is_err(), "{half:?}");
        }
    }
}
