//! What a shard measured: counts, and histograms that are made when first used.
//!
//! A recorder belongs to one thread, so that a sample costs an index and an increment: no lock, no channel, no text.
//! Once a second the shard gives its recorder away ([`Recorder::take`]) and goes on with an empty one; the owner of
//! several adds them up ([`Recorder::merge`]), in any order, to the same sum.

mod figures;
mod metric;
mod parts;

use std::collections::BTreeMap;

use reports::histogram::LatencyHistogram;

use crate::ground::outcome::{Failure, FailureKind, Outcome, Phase, TokenKind};

pub use metric::{Metric, Part};

/// Different reasons that are counted apart. A target has few; a hostile one must not fill the memory with them.
pub const REASONS_MAX: usize = 64;

/// A reason is a phrase; what is longer is cut, so that no page of HTML ends up in a table.
pub const REASON_BYTES_MAX: usize = 120;

/// The reason under which all further ones are counted once there are [`REASONS_MAX`].
pub const OTHER_REASONS: &str = "other reasons";

const CELLS: usize = Metric::ALL.len() * Outcome::ALL.len() * TokenKind::ALL.len();

/// Everything that one shard recorded since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// Empty, or [`CELLS`] long: by metric, outcome and token kind, in this order.
    latencies: Vec<Option<Box<LatencyHistogram>>>,
    outcomes: [u64; Outcome::ALL.len()],
    failures: BTreeMap<Failure, Cause>,
    /// At most [`REASONS_MAX`] reasons, and [`OTHER_REASONS`] for each token kind.
    refusals: BTreeMap<(TokenKind, String), u64>,
    /// By how they ended: the parts of [`Counters::dropped`].
    drops: BTreeMap<FailureKind, Cause>,
    /// What is only ever added up.
    pub counters: Counters,
}

/// How often something broke, and the words of the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// Plain sums beside the outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Arrivals that became due; in the closed model, that were begun.
    pub planned: u64,
    /// Arrivals that were begun.
    pub started: u64,
    /// Messages that were sent, whether an answer was waited for or not.
    pub messages_sent: u64,
    /// Messages that were answered.
    pub echoes_answered: u64,
    /// Messages that were not answered in time, or whose socket was closed before.
    pub echoes_unanswered: u64,
    /// Established sockets that the peer ended before their time.
    pub dropped: u64,
    /// Sockets that the target closed after it had accepted a token that it should refuse.
    pub false_accepts_closed: u64,
    /// HTTP requests for a token that were answered, or that failed.
    pub token_requests: u64,
    /// Those of them that brought none.
    pub token_failures: u64,
    /// Tokens made anew because the one before was about to expire.
    pub refreshed_ahead: u64,
    /// Tokens made anew because the one before was refused.
    pub refreshed_on_refusal: u64,
    /// Arrivals whose first token was refused and that tried once more.
    pub refused_first: u64,
    /// Those of them that were then accepted.
    pub let_in_on_retry: u64,
    /// Sockets that the target closed within the grace of their token's `exp`.
    pub closed_at_exp: u64,
    /// Sockets that were open after it.
    pub open_after_exp: u64,
    /// TLS handshakes that were completed.
    pub tls_handshakes: u64,
    /// Those of them that took up an earlier session.
    pub tls_resumed: u64,
    /// Bytes written to the target's sockets, without TLS's own.
    pub sent_bytes: u64,
    /// Bytes read from them, without TLS's own.
    pub received_bytes: u64,
    /// Processor time that shards spent waiting for planned instants: see [`reactor::Sockets::spun_ns`].
    pub spun_ns: u64,
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

    /// Counts a socket that the target closed so long after its token's `exp`.
    pub fn close_at_exp(&mut self, kind: TokenKind, lateness_ns: u64) {
        self.counters.closed_at_exp += 1;
        self.cell(Metric::CloseAtExp, Outcome::Established, kind).record(lateness_ns);
    }

    /// Counts an arrival's end, once for each.
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
        self.refusals(kind, cut(reason), 1);
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
            self.refusals(*kind, reason, *count);
        }
        self.counters.merge(other.counters);
    }

    /// Gives away what was recorded and leaves an empty recorder.
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

    fn refusals(&mut self, kind: TokenKind, reason: &str, count: u64) {
        // Looked up by parts first: a known reason, which nearly all are, must not cost a String.
        if let Some((_, known)) = self.refusals.iter_mut().find(|((k, known), _)| *k == kind && known == reason) {
            *known += count;
            return;
        }
        let room = self.refusals.len() < REASONS_MAX;
        let reason = if room { reason } else { OTHER_REASONS };
        *self.refusals.entry((kind, reason.to_owned())).or_default() += count;
    }
}

impl Counters {
    fn merge(&mut self, mut other: Self) {
        for ((_, mine), (_, theirs)) in self.each_mut().into_iter().zip(other.each_mut()) {
            *mine += *theirs;
        }
    }
}

fn cell_index(metric: Metric, outcome: Outcome, kind: TokenKind) -> usize {
    (metric.index() * Outcome::ALL.len() + outcome as usize) * TokenKind::ALL.len() + kind as usize
}

/// The reason's first [`REASON_BYTES_MAX`] bytes, never half a character.
fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
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
    fn intervals_merge_to_what_one_recorder_would_hold() {
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
    fn reasons_of_a_hostile_target_stay_bounded() {
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
