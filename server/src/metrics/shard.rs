//! The counters of one shard.

use crate::{
    metrics::{
        counter::Counter,
        histogram::Histogram,
        outcome::{End, Outcome},
    },
    verify::{CacheCounts, Refusal},
};

/// One verdict in so many is timed, its token's verification and its request's way through the gate: reading the clock
/// four times takes 70 ns, a third of what verifying an HS256 token does.
pub const TIMED_EVERY: u64 = 16;

/// The counters of one shard, which alone writes them.
#[derive(Debug)]
pub struct ShardMetrics {
    /// Connections that `accept` returned.
    pub connections_accepted: Counter,
    /// Those of them that are closed again.
    pub connections_closed: Counter,
    /// Those that another process accepted and sent here.
    pub connections_taken_in: Counter,
    /// Those that went to another process.
    pub connections_sent_on: Counter,
    /// TLS handshakes that were complete, by certificate.
    pub tls_full: Counter,
    /// Those that took up an earlier session.
    pub tls_resumed: Counter,
    /// Failed calls of `accept`: descriptors or memory ran out.
    pub accept_failures: Counter,
    /// Connections that hold a buffer now: for an incomplete request or frame, or for bytes that a peer does not
    /// read.
    pub connections_buffered: Counter,
    /// Half-open connections, now: their first request is not complete.
    pub connections_half_open: Counter,
    /// WebSockets whose session is not connected yet, or still to move there, now.
    pub connections_unconnected: Counter,
    /// Sessions that began by polling.
    pub polling_sessions: Counter,
    /// Sessions that poll, now.
    pub sessions_polling: Counter,
    /// One verdict in [`TIMED_EVERY`]: the verification of its token.
    pub verify_time: Histogram,
    /// The same: its request's way through the gate, from a whole head to a written answer.
    pub gate_time: Histogram,
    /// Every session lookup, from its start to its answer or its failure.
    pub session_lookup_time: Histogram,
    /// Bytes in buffers of sockets: incomplete requests and messages, and bytes that peers do not read, now.
    pub buffered_bytes: Counter,
    /// Bytes that wait for clients to poll, now.
    pub unpolled_bytes: Counter,
    /// Messages and events that peers sent.
    pub messages_received: Counter,
    /// Messages, events and acknowledgements that the application sent.
    pub messages_sent: Counter,
    /// Bytes that peers sent, as far as they were used.
    pub bytes_received: Counter,
    /// Bytes written to peers.
    pub bytes_sent: Counter,
    /// Tokens that were verified before and were found again.
    pub token_cache_hits: Counter,
    /// Tokens by a public key that were not.
    pub token_cache_misses: Counter,
    /// Bytes in use for them.
    pub token_cache_bytes: Counter,
    /// By the place of the outcome in `Outcome::UNREFUSED`.
    pub(super) handshakes: [Counter; Outcome::UNREFUSED.len()],
    /// By the place of the reason in `Refusal::ALL`.
    pub(super) refusals: [Counter; Refusal::ALL.len()],
    /// By the place of the reason in `End::ALL`.
    pub(super) sessions_ended: [Counter; End::ALL.len()],
}

impl Default for ShardMetrics {
    fn default() -> Self {
        Self {
            connections_accepted: Counter::default(),
            connections_closed: Counter::default(),
            connections_taken_in: Counter::default(),
            connections_sent_on: Counter::default(),
            tls_full: Counter::default(),
            tls_resumed: Counter::default(),
            accept_failures: Counter::default(),
            connections_buffered: Counter::default(),
            connections_half_open: Counter::default(),
            connections_unconnected: Counter::default(),
            polling_sessions: Counter::default(),
            sessions_polling: Counter::default(),
            verify_time: Histogram::default(),
            gate_time: Histogram::default(),
            session_lookup_time: Histogram::default(),
            buffered_bytes: Counter::default(),
            unpolled_bytes: Counter::default(),
            messages_received: Counter::default(),
            messages_sent: Counter::default(),
            bytes_received: Counter::default(),
            bytes_sent: Counter::default(),
            token_cache_hits: Counter::default(),
            token_cache_misses: Counter::default(),
            token_cache_bytes: Counter::default(),
            handshakes: std::array::from_fn(|_| Counter::default()),
            refusals: std::array::from_fn(|_| Counter::default()),
            sessions_ended: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl ShardMetrics {
    /// Counts what became of one accepted connection.
    pub fn handshake(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Refused(refusal) => place(Refusal::ALL, refusal).map(|i| &self.refusals[i]),
            outcome => place(&Outcome::UNREFUSED, outcome).map(|i| &self.handshakes[i]),
        };
        if let Some(counter) = counter {
            counter.add(1);
        }
    }

    /// Counts a complete TLS handshake.
    pub fn secured(&self, resumed: bool) {
        match resumed {
            false => self.tls_full.add(1),
            true => self.tls_resumed.add(1),
        }
    }

    /// Counts a message that came and went back.
    pub fn echoed(&self) {
        self.messages_received.add(1);
        self.messages_sent.add(1);
    }

    /// Copies what a verifier counted about its cache.
    pub fn token_cache(&self, tally: CacheCounts) {
        self.token_cache_hits.set(tally.hits);
        self.token_cache_misses.set(tally.misses);
        self.token_cache_bytes.set(tally.bytes);
    }

    /// Counts the end of one established session.
    pub fn session_ended(&self, end: End) {
        if let Some(i) = place(&End::ALL, end) {
            self.sessions_ended[i].add(1);
        }
    }
}

fn place<T: Copy + PartialEq>(all: &[T], one: T) -> Option<usize> {
    all.iter().position(|&each| each == one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::outcome::Phase;

    #[test]
    fn every_outcome_and_end_has_its_counter() {
        let metrics = ShardMetrics::default();
        for outcome in Outcome::UNREFUSED {
            metrics.handshake(outcome);
        }
        for &refusal in Refusal::ALL {
            metrics.handshake(Outcome::Refused(refusal));
        }
        for end in End::ALL {
            metrics.session_ended(end);
            metrics.handshake(Outcome::without_verdict(end, Phase::Head));
        }
        assert!(metrics.refusals.iter().all(|counter| counter.get() == 1));
        assert!(metrics.sessions_ended.iter().all(|counter| counter.get() == 1));
        let handshakes: u64 = metrics.handshakes.iter().map(Counter::get).sum();
        assert_eq!(handshakes as usize, Outcome::UNREFUSED.len() + End::ALL.len());
    }
}
