//! The counter between shards that must not wait and tasks that may: tickets in, answers out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::tokens::{Answer, Ticket};

/// Tickets that may wait to be served. At ten thousand arrivals a second it takes more than six seconds of a silent
/// token service to fill it, and by then the handshakes behind it would time out anyway; 16 bytes each.
pub const TICKETS_WAITING_MAX: usize = 65_536;

/// The queue to the token service is full, or the service is gone: the arrival cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{TICKETS_WAITING_MAX} tokens are already asked for")]
pub struct QueueFull;

/// Where a shard asks for tokens.
#[derive(Clone, Debug)]
pub struct Requests {
    queue: mpsc::Sender<Ticket>,
    desks: Desks,
}

/// By shard; taken for a moment by the tasks that answer, and by a shard before T0.
type Desks = Arc<[Mutex<Option<Desk>>]>;

impl Requests {
    /// A counter for this many shards, and the service's side of it.
    pub(super) fn open(shards: usize) -> (Self, Service) {
        let (queue, tickets) = mpsc::channel(TICKETS_WAITING_MAX);
        let desks: Desks = (0..shards).map(|_| Mutex::default()).collect();
        let service = Service { tickets, answers: Answers(desks.clone()) };
        (Self { queue, desks }, service)
    }

    /// Says where a shard's answers go, before T0; a shard of a later load takes the place of the one before. An index
    /// that the counter was not opened for is never answered. `deliver` must not wait.
    pub fn connect_shard(&self, index: usize, deliver: impl Fn(Answer) + Send + 'static) {
        if let Some(desk) = self.desks.get(index) {
            let deliver = Box::new(deliver);
            *desk.lock().unwrap_or_else(PoisonError::into_inner) = Some(Desk { deliver });
        }
    }

    /// Asks for an arrival's token without ever waiting. Each ticket that is taken is answered once.
    pub fn ask(&self, ticket: Ticket) -> Result<(), QueueFull> {
        self.queue.try_send(ticket).map_err(|_| QueueFull)
    }
}

/// Where one shard's answers go.
struct Desk {
    deliver: Box<dyn Fn(Answer) + Send>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Desk")
    }
}

/// The side of the counter where tokens are made.
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

    /// The same on a thread of its own, outside of the runtime.
    pub(super) fn next_blocking(&mut self) -> Option<Ticket> {
        self.tickets.blocking_recv()
    }
}

/// Hands answers back.
#[derive(Clone)]
pub(super) struct Answers(Desks);

impl Answers {
    /// To the shard that asked. A shard that has gone does not need it.
    pub(super) fn give(&self, shard: usize, answer: Answer) {
        let desk = self.0.get(shard).map(|desk| desk.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(desk) = desk.as_deref().and_then(Option::as_ref) {
            (desk.deliver)(answer);
        }
    }
}
