//! The counters of one shard.

use crate::metrics::counter::Counter;
use crate::metrics::histogram::Histogram;
use crate::metrics::outcome::{End, Outcome};
use crate::verify::{CacheCounts, Refusal};

/// One verdict in this many is timed: the verification of the token, and the handling of the request. To read the clock
/// four times takes 70 ns, a third of the verification of an HS256 token.
pub const TIMED_EVERY: u64 = 16;

/// The counters of one shard; no other thread writes them. Those with "now" in their description are gauges.
#[derive(Debug, Default)]
pub struct ShardMetrics {
    /// Accepted connections.
    pub connections_accepted: Counter,
    /// Accepted connections that were closed.
    pub connections_closed: Counter,
    /// Connections that another process accepted and sent to this one.
    pub connections_taken_in: Counter,
    /// Connections that were sent to another process.
    pub connections_sent_on: Counter,
    /// Complete TLS handshakes by certificate.
    pub tls_full: Counter,
    /// Complete TLS handshakes that resumed a session.
    pub tls_resumed: Counter,
    /// Failed calls of `accept`: descriptors or memory ran out.
    pub accept_failures: Counter,
    /// Connections that hold a buffer now: for an incomplete request or frame, or for bytes that a peer does not read.
    pub connections_buffered: Counter,
    /// Half-open connections now: their first request is not complete.
    pub connections_half_open: Counter,
    /// WebSockets now whose session is not connected yet, or has not moved there yet.
    pub connections_unconnected: Counter,
    /// Sessions that began by polling.
    pub polling_sessions: Counter,
    /// Polling sessions now.
    pub sessions_polling: Counter,
    /// The verification of a token, for one verdict in [`TIMED_EVERY`].
    pub verify_time: Histogram,
    /// From the complete head of a request to the written answer, for one verdict in [`TIMED_EVERY`].
    pub gate_time: Histogram,
    /// Every session lookup, from its start to its answer or failure.
    pub session_lookup_time: Histogram,
    /// Bytes in buffers of sockets now: incomplete requests and messages, and bytes that peers do not read.
    pub buffered_bytes: Counter,
    /// Bytes now that wait for clients to poll.
    pub unpolled_bytes: Counter,
    /// Messages and events that peers sent.
    pub messages_received: Counter,
    /// Messages, events and acknowledgements that the application sent.
    pub messages_sent: Counter,
    /// Bytes of peers that were processed.
    pub bytes_received: Counter,
    /// Bytes written to peers.
    pub bytes_sent: Counter,
    /// Tokens that were found in the cache.
    pub token_cache_hits: Counter,
    /// Tokens by a public key that were not found in the cache.
    pub token_cache_misses: Counter,
    /// Bytes of the cache in use now.
    pub token_cache_bytes: Counter,
    /// Handshakes by the index of the outcome in `Outcome::UNREFUSED`.
    pub(super) handshakes: [Counter; Outcome::UNREFUSED.len()],
    /// Refused handshakes by reason.
    pub(super) refusals: [Counter; Refusal::ALL.len()],
    /// Ended sessions by reason.
    pub(super) sessions_ended: [Counter; End::ALL.len()],
}

impl ShardMetrics {
    /// Counts the outcome of one accepted connection.
    pub fn handshake(&self, outcome: Outcome) {
        match outcome {
            Outcome::Refused(refusal) => self.refusals[refusal as usize].add(1),
            outcome => {
                if let Some(i) = Outcome::UNREFUSED.iter().position(|each| *each == outcome) {
                    self.handshakes[i].add(1);
                }
            }
        }
    }

    /// Counts a complete TLS handshake.
    pub fn secured(&self, resumed: bool) {
        let counter = if resumed { &self.tls_resumed } else { &self.tls_full };
        counter.add(1);
    }

    /// Counts a message that was received and sent back.
    pub fn echoed(&self) {
        self.messages_received.add(1);
        self.messages_sent.add(1);
    }

    /// Copies the counters of a verifier's cache.
    pub fn token_cache(&self, counts: CacheCounts) {
        self.token_cache_hits.set(counts.hits);
        self.token_cache_misses.set(counts.misses);
        self.token_cache_bytes.set(counts.bytes);
    }

    /// Counts the end of one established session.
    pub fn session_ended(&self, end: End) {
        self.sessions_ended[end as usize].add(1);
    }
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
        for refusal in Refusal::ALL {
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
