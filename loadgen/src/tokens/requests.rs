//! The queue between shards, which never block, and the tasks that make tokens: tickets in, answers out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::tokens::ticket::{Answer, Ticket};

/// Tickets that may wait to be served. At ten thousand arrivals a second it takes more than six seconds of a silent
/// token service to fill it, and by then the handshakes behind it would time out anyway; 16 bytes each.
pub const TICKETS_WAITING_MAX: usize = 65_536;

/// The queue is full, or the token service has ended: the arrival cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{TICKETS_WAITING_MAX} tokens are already asked for")]
pub struct QueueFull;

/// Where a shard asks for tokens.
#[derive(Clone, Debug)]
pub struct Requests {
    queue: mpsc::Sender<Ticket>,
    sinks: Sinks,
}

/// By shard; locked briefly by the tasks that answer, and by each shard before T0.
type Sinks = Arc<[Mutex<Option<Sink>>]>;

impl Requests {
    /// A queue for this many shards, and its receiving side.
    pub(super) fn open(shards: usize) -> (Self, Service) {
        let (queue, tickets) = mpsc::channel(TICKETS_WAITING_MAX);
        let sinks: Sinks = (0..shards).map(|_| Mutex::default()).collect();
        let service = Service { tickets, answers: Answers(sinks.clone()) };
        (Self { queue, sinks }, service)
    }

    /// Sets where a shard's answers go, before T0; a shard of a later load replaces the one before. An index beyond the
    /// number of shards is never answered. `deliver` must not block.
    pub fn connect_shard(&self, index: usize, deliver: impl Fn(Answer) + Send + 'static) {
        if let Some(sink) = self.sinks.get(index) {
            let deliver = Box::new(deliver);
            *sink.lock().unwrap_or_else(PoisonError::into_inner) = Some(Sink { deliver });
        }
    }

    /// Requests an arrival's token without blocking. Each accepted ticket is answered once.
    pub fn ask(&self, ticket: Ticket) -> Result<(), QueueFull> {
        self.queue.try_send(ticket).map_err(|_| QueueFull)
    }
}

/// Where one shard's answers go.
struct Sink {
    deliver: Box<dyn Fn(Answer) + Send>,
}

impl fmt::Debug for Sink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sink")
    }
}

/// The side of the queue where tokens are made.
pub(super) struct Service {
    tickets: mpsc::Receiver<Ticket>,
    /// Shared by the tasks that serve.
    pub(super) answers: Answers,
}

impl Service {
    /// The next ticket; `None` once no shard can ask any more.
    pub(super) async fn next(&mut self) -> Option<Ticket> {
        self.tickets.recv().await
    }

    /// As [`Self::next`], but blocks; for a thread outside of the runtime.
    pub(super) fn next_blocking(&mut self) -> Option<Ticket> {
        self.tickets.blocking_recv()
    }
}

/// Sends answers to the shards.
#[derive(Clone)]
pub(super) struct Answers(Sinks);

impl Answers {
    /// Sends an answer to its shard, if that still runs.
    pub(super) fn give(&self, shard: usize, answer: Answer) {
        let sink = self.0.get(shard).map(|sink| sink.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(sink) = sink.as_deref().and_then(Option::as_ref) {
            (sink.deliver)(answer);
        }
    }
}
