use wire::http::RequestHead;

use crate::{gate::answers::Answers, metrics::Metrics};

/// Data that all shards of a gate share and only read.
#[derive(Debug)]
pub struct GateShared {
    /// Origins whose pages may use the token cookie, and read the answers of long-polling.
    pub(super) origins: Vec<String>,
    /// The JavaScript file of the Socket.IO client, if the gate serves it.
    pub(super) socketio_client: Option<Vec<u8>>,
    pub(super) metrics: Metrics,
    pub(super) answers: Answers,
    /// The number of shards in all processes.
    pub(super) shards: usize,
    /// This is one of several processes, whose parent answers `/metrics`.
    pub(super) has_parent: bool,
}

impl GateShared {
    /// The data of a gate with `shards` shards in one process.
    pub fn new(origins: Vec<String>, socketio_client: Option<Vec<u8>>, shards: usize) -> Self {
        let (metrics, answers) = (Metrics::new(shards), Answers::prepare());
        Self { origins, socketio_client, metrics, answers, shards, has_parent: false }
    }

    /// The origin of the request's page, with its index in `origins`, if it is one of them.
    pub(super) fn allowed_origin(&self, head: &RequestHead<'_>) -> Option<(u16, &str)> {
        let origin = head.header("Origin")?;
        let index = self.origins.iter().position(|allowed| allowed == origin)?;
        Some((u16::try_from(index).ok()?, &self.origins[index]))
    }
}
