//! What a shard measured: counts, and histograms that are made when first used.
//!
//! A recorder belongs to one thread, so that a sample costs an index and an increment: no lock, no channel, no text.
//! Once a second the shard hands its figures over ([`Recorder::take`]) and goes on with an empty recorder.
//! [`Recorder::merge`] adds recorders up; the order does not change the sum.

mod figures;
mod metric;

use std::collections::BTreeMap;

use reports::histogram::LatencyHistogram;
use serde::{Deserialize, Serialize};

use crate::ground::outcome::{Failure, FailureKind, Outcome, Phase, TokenKind};

pub use metric::{Metric, Part};

/// Reasons that are counted separately: a hostile target must not fill the memory with reasons.
pub const REASONS_MAX: usize = 64;

/// Longer reasons are cut, so that no page of HTML ends up in a table.
pub const REASON_BYTES_MAX: usize = 120;

/// Stands for all reasons beyond the first [`REASONS_MAX`].
pub const OTHER_REASONS: &str = "other reasons";

const CELLS: usize = Metric::ALL.len() * Outcome::ALL.len() * TokenKind::ALL.len();

/// Everything that one shard recorded since the last [`Recorder::take`].
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// Empty, or [`CELLS`] long: by metric, outcome and token kind, in this order.
    latencies: Vec<Option<Box<LatencyHistogram>>>,
    outcomes: [u64; Outcome::ALL.len()],
    failures: BTreeMap<Failure, Cause>,
    /// At most [`REASONS_MAX`] reasons, and [`OTHER_REASONS`] for each token kind.
    refusals: BTreeMap<(TokenKind, String), u64>,
    /// How dropped sockets ended; the counts add up to [`Counters::dropped`].
    drops: BTreeMap<FailureKind, Cause>,
    /// Sums beside the outcomes.
    pub counters: Counters,
}

/// How often something broke, and the words of the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// How often.
    pub count: u64,
    /// What the peer, the kernel or a rule of a protocol said of it: at most [`WORDS_BYTES_MAX`] bytes of printable text,
    /// empty where nothing was said.
    pub words: String,
}

/// A sentence or the beginning of a page is enough to see what a peer means.
pub const WORDS_BYTES_MAX: usize = 240;

impl Cause {
    fn add(&mut self, count: u64, words: impl FnOnce() -> String) {
        self.count += count;
        if self.words.is_empty() {
            self.words = printable(&words());
        }
    }
}

/// Text of a peer as it may be shown anywhere: cut to [`WORDS_BYTES_MAX`], with control and bidirectional characters, which
/// a terminal or a browser would obey, written as escapes.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.trim().chars() {
        let is_obeyed = c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let escaped: String = match c {
            '\r' | '\n' | '\t' => " ".to_owned(),
            _ if is_obeyed => c.escape_unicode().collect(),
            _ => c.into(),
        };
        if shown.len() + escaped.len() > WORDS_BYTES_MAX {
            shown.push('…');
            break;
        }
        shown += &escaped;
    }
    shown
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Plain sums beside the outcomes.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every sum with its name.
            pub fn each_mut(&mut self) -> [(&'static str, &mut u64); [$(stringify!($name)),*].len()] {
                [$((stringify!($name), &mut self.$name)),*]
            }

            fn merge(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Arrivals that became due; in the closed model, arrivals that were begun.
    planned,
    /// Arrivals that were begun.
    started,
    /// Messages that were sent, whether an answer was waited for or not.
    messages_sent,
    /// Messages that were answered.
    echoes_answered,
    /// Messages that were not answered in time, or whose socket was closed before.
    echoes_unanswered,
    /// Established sockets that the peer ended before their time.
    dropped,
    /// Sockets that the target closed after it had accepted a token that it should refuse.
    false_accepts_closed,
    /// HTTP requests for a token, answered or failed.
    token_requests,
    /// Token requests that brought no token.
    token_failures,
    /// Tokens renewed because the one before was about to expire.
    refreshed_ahead,
    /// Tokens renewed because the one before was refused.
    refreshed_on_refusal,
    /// Arrivals whose first token was refused and that tried once more.
    refused_first,
    /// Retries after a refused first token that were accepted.
    let_in_on_retry,
    /// Sockets that the target closed within the grace of their token's `exp`.
    closed_at_exp,
    /// Sockets that were still open after that grace.
    open_after_exp,
    /// TLS handshakes that were completed.
    tls_handshakes,
    /// TLS handshakes that resumed an earlier session.
    tls_resumed,
    /// Bytes written to the target's sockets, without TLS's own.
    sent_bytes,
    /// Bytes read from the target's sockets, without TLS's own.
    received_bytes,
    /// Processor time that shards spent waiting for planned instants: see [`reactor::Sockets::spun_ns`].
    spun_ns,
}

impl Recorder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a phase that took `duration_ns`, of an arrival that ended in `outcome`.
    pub fn phase(&mut self, phase: Phase, outcome: Outcome, kind: TokenKind, duration_ns: u64) {
        self.cell(Metric::Phase(phase), outcome, kind).record(duration_ns);
    }

    /// Counts a whole handshake. `lag_ns`: how late it began after its planned instant, `None` in the closed model,
    /// which plans none; with it goes the response, `service_ns + lag_ns`.
    pub fn handshake(&mut self, outcome: Outcome, kind: TokenKind, service_ns: u64, lag_ns: Option<u64>) {
        self.composite(Metric::Handshake, outcome, kind, service_ns, lag_ns);
    }

    /// Counts a message of an established socket that was answered; `lag_ns` as for a handshake.
    pub fn echo(&mut self, kind: TokenKind, service_ns: u64, lag_ns: Option<u64>) {
        self.counters.echoes_answered += 1;
        self.composite(Metric::Echo, Outcome::Established, kind, service_ns, lag_ns);
    }

    /// Counts a socket that the target closed `lateness_ns` after its token's `exp`.
    pub fn close_at_exp(&mut self, kind: TokenKind, lateness_ns: u64) {
        self.counters.closed_at_exp += 1;
        self.cell(Metric::CloseAtExp, Outcome::Established, kind).record(lateness_ns);
    }

    /// Counts the end of an arrival.
    pub fn outcome(&mut self, outcome: Outcome) {
        self.outcomes[outcome as usize] += 1;
    }

    /// Counts what broke; `words` are asked for the first time alone.
    pub fn failure(&mut self, failure: Failure, words: impl FnOnce() -> String) {
        self.failures.entry(failure).or_default().add(1, words);
    }

    /// Counts an established socket that the peer ended before its time.
    pub fn dropped(&mut self, why: FailureKind, words: impl FnOnce() -> String) {
        self.counters.dropped += 1;
        self.drops.entry(why).or_default().add(1, words);
    }

    /// Counts a refusal with the reason that the target gave, cut to [`REASON_BYTES_MAX`].
    pub fn refusal(&mut self, kind: TokenKind, reason: &str) {
        self.add_refusals(kind, reason, 1);
    }

    /// Adds all that `other` recorded.
    pub fn merge(&mut self, other: &Self) {
        if !other.latencies.is_empty() {
            self.latencies.resize_with(CELLS, || None);
        }
        for (mine, theirs) in self.latencies.iter_mut().zip(&other.latencies) {
            if let Some(theirs) = theirs {
                mine.get_or_insert_default().merge(theirs);
            }
        }
        for (mine, theirs) in self.outcomes.iter_mut().zip(other.outcomes) {
            *mine += theirs;
        }
        for (failure, cause) in &other.failures {
            self.add_failures(*failure, cause);
        }
        for (why, cause) in &other.drops {
            self.add_drops(*why, cause);
        }
        for ((kind, reason), count) in &other.refusals {
            self.add_refusals(*kind, reason, *count);
        }
        self.counters.merge(other.counters);
    }

    /// Adds `count` arrivals that ended in `outcome`.
    pub fn add_outcomes(&mut self, outcome: Outcome, count: u64) {
        self.outcomes[outcome as usize] += count;
    }

    /// Adds `count` failures.
    pub fn add_failures(&mut self, failure: Failure, cause: &Cause) {
        self.failures.entry(failure).or_default().add(cause.count, || cause.words.clone());
    }

    /// Adds `count` dropped sockets to those of this reason; [`Counters::dropped`] stays as it is.
    pub fn add_drops(&mut self, why: FailureKind, cause: &Cause) {
        self.drops.entry(why).or_default().add(cause.count, || cause.words.clone());
    }

    /// Adds `count` refusals with this reason, cut to [`REASON_BYTES_MAX`].
    pub fn add_refusals(&mut self, kind: TokenKind, reason: &str, count: u64) {
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        // Looked up by parts first: a known reason, which nearly all are, must not cost a String.
        if let Some((_, known)) = self.refusals.iter_mut().find(|((k, known), _)| *k == kind && known == reason) {
            *known += count;
            return;
        }
        let reason = if self.refusals.len() < REASONS_MAX { reason } else { OTHER_REASONS };
        *self.refusals.entry((kind, reason.to_owned())).or_default() += count;
    }

    /// Adds durations of `metric` of arrivals with this outcome and token kind.
    pub fn add_latencies(&mut self, metric: Metric, outcome: Outcome, kind: TokenKind, latencies: &LatencyHistogram) {
        self.cell(metric, outcome, kind).merge(latencies);
    }

    /// Returns the recorded figures and leaves an empty recorder.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    fn composite(
        &mut self,
        metric: impl Fn(Part) -> Metric,
        outcome: Outcome,
        kind: TokenKind,
        service_ns: u64,
        lag_ns: Option<u64>,
    ) {
        self.cell(metric(Part::Service), outcome, kind).record(service_ns);
        if let Some(lag_ns) = lag_ns {
            self.cell(metric(Part::Lag), outcome, kind).record(lag_ns);
            let response_ns = service_ns.saturating_add(lag_ns);
            self.cell(metric(Part::Response), outcome, kind).record(response_ns);
        }
    }

    fn cell(&mut self, metric: Metric, outcome: Outcome, kind: TokenKind) -> &mut LatencyHistogram {
        if self.latencies.is_empty() {
            self.latencies.resize_with(CELLS, || None);
        }
        self.latencies[cell_index(metric, outcome, kind)].get_or_insert_default()
    }
}

fn cell_index(metric: Metric, outcome: Outcome, kind: TokenKind) -> usize {
    (metric.index() * Outcome::ALL.len() + outcome as usize) * TokenKind::ALL.len() + kind as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_is_service_plus_lag_and_absent_without_a_plan() {
        let mut recorder = Recorder::new();
        recorder.handshake(Outcome::Established, TokenKind::Valid, 700, Some(300));
        recorder.echo(TokenKind::Valid, 50, None);
        let count = |metric| recorder.latency(metric, Outcome::Established).count();
        assert_eq!(count(Metric::Handshake(Part::Response)), 1);
        assert_eq!(recorder.latency(Metric::Handshake(Part::Response), Outcome::Established).max_ns(), 1000);
        assert_eq!(count(Metric::Echo(Part::Service)), 1);
        assert_eq!(count(Metric::Echo(Part::Response)), 0, "no plan, no response");
        assert_eq!(count(Metric::Echo(Part::Lag)), 0, "no plan, no lag");
    }

    #[test]
    fn merged_intervals_equal_one_recorder() {
        let mut whole = Recorder::new();
        let mut sum = Recorder::new();
        for round in 0..3 {
            let mut part = Recorder::new();
            for recorder in [&mut part, &mut whole] {
                recorder.outcome(Outcome::Failed);
                recorder
                    .failure(Failure { phase: Phase::Upgrade, kind: FailureKind::Http(404) }, || "no page".to_owned());
                recorder.refusal(TokenKind::Valid, "not valid token");
                recorder.dropped(FailureKind::Closed(1001), String::new);
                recorder.phase(Phase::Connect, Outcome::Failed, TokenKind::Valid, 1000 * round);
                recorder.counters.sent_bytes += round;
            }
            sum.merge(&part.take());
            assert_eq!(part.count(Outcome::Failed), 0, "taken is empty");
        }
        assert_eq!(sum.count(Outcome::Failed), 3);
        assert_eq!(sum.failures().collect::<Vec<_>>(), whole.failures().collect::<Vec<_>>());
        assert_eq!(sum.refusal_reasons().collect::<Vec<_>>(), [(TokenKind::Valid, "not valid token", 3)]);
        assert_eq!(sum.drop_reasons().collect::<Vec<_>>(), [(FailureKind::Closed(1001), 3)]);
        assert_eq!(sum.counters, whole.counters);
        let connect = Metric::Phase(Phase::Connect);
        assert_eq!(sum.latency(connect, Outcome::Failed), whole.latency(connect, Outcome::Failed));
    }

    #[test]
    fn words_are_those_of_the_first_time_and_printable() {
        let failure = Failure { phase: Phase::Upgrade, kind: FailureKind::Http(404) };
        for (words, shown, why) in [
            ("404 Not Found", "404 Not Found", "as it is"),
            (" a\r\nb\t", "a  b", "one line"),
            ("\u{1b}[2J", "\\u{1b}[2J", "a terminal would obey"),
            ("a\u{202e}b", "a\\u{202e}b", "a reader would see it turned round"),
            ("é", "é", "a letter of any language"),
        ] {
            let mut recorder = Recorder::new();
            recorder.failure(failure, || words.to_owned());
            recorder.failure(failure, || panic!("asked again: {why}"));
            let (_, cause) = recorder.failure_causes().next().unwrap();
            assert_eq!((cause.words.as_str(), cause.count), (shown, 2), "{why}");
        }
        let mut recorder = Recorder::new();
        recorder.failure(failure, || "\u{1b}".repeat(10_000));
        let mut sum = Recorder::new();
        sum.failure(failure, String::new);
        sum.merge(&recorder);
        let (_, cause) = sum.failure_causes().next().unwrap();
        assert!(cause.words.len() <= WORDS_BYTES_MAX + '…'.len_utf8() && cause.count == 2, "{cause:?}");
    }

    #[test]
    fn number_and_length_of_reasons_are_limited() {
        let mut recorder = Recorder::new();
        for n in 0..1000 {
            recorder.refusal(TokenKind::Valid, &format!("{n} {}", "é".repeat(500)));
        }
        let reasons: Vec<_> = recorder.refusal_reasons().collect();
        assert_eq!(reasons.len(), REASONS_MAX + 1);
        assert_eq!(reasons.iter().map(|(_, _, count)| count).sum::<u64>(), 1000);
        assert!(reasons.iter().all(|(_, reason, _)| reason.len() <= REASON_BYTES_MAX));
        assert!(reasons.iter().any(|(_, reason, _)| *reason == OTHER_REASONS));
    }
}
