//! Routes of a connection to another shard of this process, or to another process of the gate. A request for a polling
//! session goes to the shard that owns the session.

use std::net::IpAddr;

use reactor::{DetachedSocket, Waker};

use crate::gate::process_links::{ForwardedConnection, ProcessForwarder};
use crate::gate::shard_queue::ShardQueue;

/// A connection that moves with its next request, which is unread, to the shard that owns the request's session.
pub(super) struct MovedConnection {
    pub(super) detached: DetachedSocket,
    /// When the request must be complete, on the clock that all shards share.
    pub(super) until_ns: u64,
    /// An earlier request on this connection was answered.
    pub(super) served: bool,
    pub(super) origin: Origin,
}

/// The sender of a moved connection.
pub(super) enum Origin {
    /// A shard of this process. The connection stays counted, under its address where addresses are limited.
    Shard(Option<IpAddr>),
    /// Another process, which counted the connection as closed; the client's address.
    Process(IpAddr),
}

/// The queues of this process's shards, and the sender to other processes.
pub(super) struct Routes {
    /// The number of this process's first shard, among the shards of all processes.
    first: u16,
    queues: Vec<ShardQueue<MovedConnection>>,
    forwarder: Option<ProcessForwarder>,
}

impl Routes {
    pub(super) fn new(first: u16, shards: usize, forwarder: Option<ProcessForwarder>) -> Self {
        Self { first, queues: (0..shards).map(|_| ShardQueue::default()).collect(), forwarder }
    }

    /// Sets how shard `shard` is woken.
    pub(super) fn set_waker(&self, shard: u16, waker: Waker) {
        if let Some(queue) = self.queue(shard) {
            queue.set_waker(waker);
        }
    }

    /// Whether shard `shard` belongs to this process.
    pub(super) fn is_local(&self, shard: u16) -> bool {
        self.queue(shard).is_some()
    }

    /// Sends a connection to another process. Without other processes the connection is dropped, which closes it.
    pub(super) fn forward_to_process(&self, connection: ForwardedConnection) {
        if let Some(ProcessForwarder(connections)) = &self.forwarder {
            // This cannot fail: the receiving thread lives as long as the sender.
            let _ = connections.send(connection);
        }
    }

    /// Sends a connection to shard `shard` of this process. For an unknown shard the connection is dropped, which closes it.
    pub(super) fn send_to_shard(&self, shard: u16, moved: MovedConnection) {
        if let Some(queue) = self.queue(shard) {
            queue.push(moved);
        }
    }

    /// The connections that were sent to shard `shard`.
    pub(super) fn take(&self, shard: u16) -> Vec<MovedConnection> {
        self.queue(shard).map_or_else(Vec::new, ShardQueue::take)
    }

    fn queue(&self, shard: u16) -> Option<&ShardQueue<MovedConnection>> {
        self.queues.get(usize::from(shard.checked_sub(self.first)?))
    }
}
