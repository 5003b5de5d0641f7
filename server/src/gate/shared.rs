//! What all shards of a gate share and only read.

use wire::http::RequestHead;

use crate::{gate::answers::Answers, metrics::Metrics};

/// What all shards of a gate share and only read.
#[derive(Debug)]
pub struct GateShared {
    /// Origins whose pages may use the token cookie, and read the answers of long-polling.
    pub origins: Vec<String>,
    /// The Socket.IO client to serve, if any.
    pub socketio_client: Option<Vec<u8>>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Answers written once.
    pub answers: Answers,
    /// How many shards the gate has, over all its processes.
    pub shards: usize,
    /// This is one process of several, whose parent answers `/metrics`.
    pub has_parent: bool,
}

impl GateShared {
    /// A gate of `shards` shards in one process, whose counters are all zero.
    pub fn new(origins: Vec<String>, socketio_client: Option<Vec<u8>>, shards: usize) -> Self {
        Self {
            origins,
            socketio_client,
            metrics: Metrics::new(shards),
            answers: Answers::prepare(),
            shards,
            has_parent: false,
        }
    }

    /// The origin of the request's page and its index in `origins`, if it is one of them.
    pub(super) fn allowed_origin(&self, head: &RequestHead<'_>) -> Option<(u16, &str)> {
        let origin = head.header("Origin")?;
        let index = self.origins.iter().position(|allowed| allowed == origin)?;
        Some((u16::try_from(index).ok()?, &self.origins[index]))
    }
}
