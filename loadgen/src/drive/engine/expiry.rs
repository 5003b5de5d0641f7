//! Sockets that outlive their token: whether the target closes them at its `exp`, and how soon.

use std::collections::HashMap;

use reactor::Io;

use crate::drive::engine::Engine;
use crate::drive::engine::socket::{NEVER_NS, Socket};
use crate::ground::outcome::{Failure, FailureKind, Phase};

/// What is looked at where sockets are to be closed at `exp`; held sockets themselves keep nothing of it.
#[derive(Debug)]
pub struct Expiry {
    grace_ns: u64,
    /// By arrival: when its token ends, on the shard's clock.
    ends_ns: HashMap<u64, u64>,
}

impl Expiry {
    /// Sockets are to be closed within this of their token's end. Clocks differ: one that is closed as much before has
    /// been closed for it.
    pub fn within(grace_ns: u64) -> Self {
        Self { grace_ns, ends_ns: HashMap::new() }
    }
}

impl Engine {
    /// An arrival was let in: from now on its token's end is looked at, where that was asked and it has one.
    pub(super) fn watch_expiry(&mut self, socket: &Socket) {
        if self.expiry.is_none() {
            return;
        }
        let flight = self.flights.get(socket.flight);
        let token = flight.and_then(|flight| flight.credentials.token.as_deref());
        let ends_ns = token.and_then(|token| self.expires_ns(token));
        if let (Some(expiry), Some(ends_ns)) = (&mut self.expiry, ends_ns) {
            expiry.ends_ns.insert(socket.number, ends_ns);
        }
    }

    /// When a socket that is still open has outlived its token.
    pub(super) fn outlived_ns(&self, socket: &Socket) -> u64 {
        let Some(expiry) = &self.expiry else {
            return NEVER_NS;
        };
        let ends_ns = expiry.ends_ns.get(&socket.number);
        ends_ns.map_or(NEVER_NS, |ends_ns| ends_ns.saturating_add(expiry.grace_ns))
    }

    /// Counts a socket that has outlived its token, which is a failure by name; it stays open.
    pub(super) fn outlive_if_due(&mut self, io: &Io<'_>, socket: &Socket) {
        if io.now_ns() < self.outlived_ns(socket) {
            return;
        }
        self.expects_no_close(socket);
        if socket.is_held() {
            self.recorder.counters.open_after_exp += 1;
            self.recorder.failure(Failure { phase: Phase::Auth, kind: FailureKind::OpenAfterExp });
        }
    }

    /// This side closes, or has counted the socket already.
    pub(super) fn expects_no_close(&mut self, socket: &Socket) {
        if let Some(expiry) = &mut self.expiry {
            expiry.ends_ns.remove(&socket.number);
        }
    }

    /// Whether the target closed a socket because its token had expired, and counts it if so.
    pub(super) fn closed_at_exp(&mut self, socket: &Socket, now_ns: u64) -> bool {
        let Some(expiry) = &mut self.expiry else {
            return false;
        };
        let Some(ends_ns) = expiry.ends_ns.remove(&socket.number) else {
            return false;
        };
        let expired = now_ns.saturating_add(expiry.grace_ns) >= ends_ns;
        if expired {
            let lateness_ns = now_ns.saturating_sub(ends_ns);
            self.recorder.close_at_exp(socket.kind, lateness_ns);
        }
        expired
    }
}
