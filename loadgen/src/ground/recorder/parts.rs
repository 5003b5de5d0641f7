//! The parts of a recorder by themselves, from which it can be put together again elsewhere.

use reports::histogram::LatencyHistogram;

use crate::ground::outcome::{Failure, FailureKind, Outcome, TokenKind};
use crate::ground::recorder::{CELLS, Cause, Counters, Metric, Recorder, cell_index, cut};

impl Recorder {
    /// Adds so many arrivals that ended in `outcome`.
    pub fn add_outcomes(&mut self, outcome: Outcome, count: u64) {
        self.outcomes[outcome as usize] += count;
    }

    /// Adds so many failures of a kind.
    pub fn add_failures(&mut self, failure: Failure, cause: &Cause) {
        self.failures.entry(failure).or_default().add(cause.count, || cause.words.clone());
    }

    /// Adds so many reasons for which sockets were dropped; how many were is a counter.
    pub fn add_drops(&mut self, why: FailureKind, cause: &Cause) {
        self.drops.entry(why).or_default().add(cause.count, || cause.words.clone());
    }

    /// Adds so many refusals for a reason.
    pub fn add_refusals(&mut self, kind: TokenKind, reason: &str, count: u64) {
        self.refusals(kind, cut(reason), count);
    }

    /// Adds durations of `metric`, of arrivals that showed a token of `kind` and ended in `outcome`.
    pub fn add_latencies(&mut self, metric: Metric, outcome: Outcome, kind: TokenKind, latencies: &LatencyHistogram) {
        if self.latencies.is_empty() {
            self.latencies.resize_with(CELLS, || None);
        }
        self.latencies[cell_index(metric, outcome, kind)].get_or_insert_default().merge(latencies);
    }
}

impl Counters {
    /// Every sum by its name.
    pub fn each_mut(&mut self) -> [(&'static str, &mut u64); 20] {
        let Self {
            planned,
            started,
            messages_sent,
            echoes_answered,
            echoes_unanswered,
            dropped,
            false_accepts_closed,
            token_requests,
            token_failures,
            refreshed_ahead,
            refreshed_on_refusal,
            refused_first,
            let_in_on_retry,
            closed_at_exp,
            open_after_exp,
            tls_handshakes,
            tls_resumed,
            sent_bytes,
            received_bytes,
            spun_ns,
        } = self;
        [
            ("planned", planned),
            ("started", started),
            ("messages_sent", messages_sent),
            ("echoes_answered", echoes_answered),
            ("echoes_unanswered", echoes_unanswered),
            ("dropped", dropped),
            ("false_accepts_closed", false_accepts_closed),
            ("token_requests", token_requests),
            ("token_failures", token_failures),
            ("refreshed_ahead", refreshed_ahead),
            ("refreshed_on_refusal", refreshed_on_refusal),
            ("refused_first", refused_first),
            ("let_in_on_retry", let_in_on_retry),
            ("closed_at_exp", closed_at_exp),
            ("open_after_exp", open_after_exp),
            ("tls_handshakes", tls_handshakes),
            ("tls_resumed", tls_resumed),
            ("sent_bytes", sent_bytes),
            ("received_bytes", received_bytes),
            ("spun_ns", spun_ns),
        ]
    }
}
