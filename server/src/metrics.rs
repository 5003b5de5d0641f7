//! What happened at the gate, counted per shard without a lock, and told in Prometheus' text format.
//!
//! Every accepted connection ends in exactly one [`Outcome`], and so does every session that began by polling, beside the
//! connections that carried it, so that the counters add up:
//!
//! ```text
//! connections_accepted + polling_sessions = sum(handshakes) + handshakes still under way
//! handshakes{outcome="established"} = sum(sessions_ended) + sessions_open
//! ```

mod histogram;
mod process;
mod render;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    keys::KeyCounters,
    session::End,
    verify::{CacheCounts, Refusal},
};

/// A number that one shard writes and any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Puts the number to `n`, which the shard counts elsewhere. Only the shard that owns it may call it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Adds `n`. Only the shard that owns the counter may call it, which spares the locked instruction.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The count now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

pub use histogram::Histogram;

/// One verdict in so many is timed, its token's verification and its request's way through the gate: reading the clock
/// four times takes 70 ns, a third of what verifying an HS256 token does.
pub const TIMED_EVERY: u64 = 16;

/// What became of an accepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Authenticated; a session began.
    Established,
    /// Its token was refused.
    Refused(Refusal),
    /// It carried requests of sessions that poll, which have outcomes of their own.
    Polled,
    /// It is the WebSocket that a session which polled has moved to.
    Upgraded,
    /// It was an ordinary HTTP request, or an upgrade to what is not here, and was answered.
    Answered,
    /// Its TLS came to nothing.
    TlsFailed,
    /// It broke HTTP, Engine.IO or Socket.IO before it was authenticated.
    Malformed,
    /// Its head was above a limit.
    HeadTooLarge,
    /// As many of these as allowed were open.
    Full(Limit),
    /// Nobody said whose its session is.
    Unanswered(Unanswered),
    /// A step of it took longer than it may.
    Timeout(Phase),
    /// It was the oldest in this step when there were too many, or held more memory than others when that ran out, and
    /// had to give way.
    GaveWay(Phase),
    /// The peer left before its verdict.
    Abandoned,
    /// The gate went down before its verdict.
    Shutdown,
}

impl Outcome {
    /// The outcome of a handshake that ended in `phase`, by `end`, before its verdict.
    pub fn without_verdict(end: End, phase: Phase) -> Self {
        match end {
            End::HandshakeTimeout => Self::Timeout(phase),
            End::GaveWay | End::Greediest => Self::GaveWay(phase),
            End::Shutdown => Self::Shutdown,
            End::Protocol => Self::Malformed,
            End::Tls => Self::TlsFailed,
            End::TooLong => Self::HeadTooLarge,
            _ => Self::Abandoned,
        }
    }

    /// Every outcome but the refusals, in the order of its counter.
    const UNREFUSED: [Self; 21] = [
        Self::Established,
        Self::Polled,
        Self::Upgraded,
        Self::Answered,
        Self::TlsFailed,
        Self::Malformed,
        Self::HeadTooLarge,
        Self::Full(Limit::Connections),
        Self::Full(Limit::Address),
        Self::Full(Limit::Sessions),
        Self::Unanswered(Unanswered::Queue),
        Self::Unanswered(Unanswered::Frontend),
        Self::Unanswered(Unanswered::Time),
        Self::Timeout(Phase::Head),
        Self::Timeout(Phase::Upgrade),
        Self::Timeout(Phase::Connect),
        Self::GaveWay(Phase::Head),
        Self::GaveWay(Phase::Upgrade),
        Self::GaveWay(Phase::Connect),
        Self::Abandoned,
        Self::Shutdown,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::Refused(_) => "refused",
            Self::Polled => "polled",
            Self::Upgraded => "upgraded",
            Self::Answered => "answered",
            Self::TlsFailed => "tls_failed",
            Self::Malformed => "malformed",
            Self::HeadTooLarge => "head_too_large",
            Self::Full(_) => "full",
            Self::Unanswered(_) => "unanswered",
            Self::Timeout(_) => "timeout",
            Self::GaveWay(_) => "gave_way",
            Self::Abandoned => "abandoned",
            Self::Shutdown => "shutdown",
        }
    }

    /// What stands beside it in metrics, where there is more to say.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => Some(refusal.as_str()),
            Self::Full(limit) => Some(limit.as_str()),
            Self::Unanswered(why) => Some(why.as_str()),
            Self::Timeout(phase) | Self::GaveWay(phase) => Some(phase.as_str()),
            _ => None,
        }
    }
}

/// A step of a handshake, which has its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From accept to the end of the request's head.
    Head,
    /// From the 101 of a WebSocket that is to take a polling session over to its upgrade packet.
    Upgrade,
    /// From the opening of an Engine.IO session to Socket.IO's connect packet.
    Connect,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Upgrade => "upgrade",
            Self::Connect => "connect",
        }
    }
}

/// What there may be no more of than so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Connections.
    Connections,
    /// Connections from one address.
    Address,
    /// Sessions that poll.
    Sessions,
}

impl Limit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::Sessions => "sessions",
        }
    }
}

/// Why nobody said whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// As many questions waited as may.
    Queue,
    /// The frontend is not there, or answers something else.
    Frontend,
    /// It took too long.
    Time,
}

impl Unanswered {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Frontend => "frontend",
            Self::Time => "time",
        }
    }
}

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
    /// Connections that hold a buffer now: for a request or a frame that is not whole, or for what a peer does not read.
    pub connections_buffered: Counter,
    /// Connections whose first request is still coming, now.
    pub connections_half_open: Counter,
    /// WebSockets of sessions that are not connected yet, or that are still to move there, now.
    pub connections_unconnected: Counter,
    /// Sessions that began by polling.
    pub polling_sessions: Counter,
    /// Sessions that poll, now.
    pub sessions_polling: Counter,
    /// One verdict in [`TIMED_EVERY`]: the verification of its token.
    pub verify_time: Histogram,
    /// The same: its request's way through the gate, from a whole head to a written answer.
    pub gate_time: Histogram,
    /// From a question about a session to its answer, or to none: every one.
    pub session_lookup_time: Histogram,
    /// Bytes in buffers of sockets: requests and messages that are not whole, and what peers do not read, now.
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
    handshakes: [Counter; Outcome::UNREFUSED.len()],
    /// By the place of the reason in `Refusal::ALL`.
    refusals: [Counter; Refusal::ALL.len()],
    /// By the place of the reason in `End::ALL`.
    sessions_ended: [Counter; End::ALL.len()],
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

    /// Takes over what a verifier counted about its cache.
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

/// The counters of all shards of a gate.
#[derive(Clone, Debug)]
pub struct Metrics {
    shards: Arc<[Arc<ShardMetrics>]>,
    keys: Arc<KeyCounters>,
}

impl Metrics {
    /// Fresh counters for `shards` shards.
    pub fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| Arc::default()).collect(), keys: Arc::default() }
    }

    /// The same, beside those of the gate's keys.
    #[must_use]
    pub fn with_keys(mut self, keys: Arc<KeyCounters>) -> Self {
        self.keys = keys;
        self
    }

    /// The counters that shard `index` writes; shards are numbered from 0.
    pub fn shards(&self) -> &[Arc<ShardMetrics>] {
        &self.shards
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        render::text(&self.shards, self.keys.counts(), process::read())
    }
}

/// The page of a process that has no shards but children that have: itself, and how often it started one anew.
pub fn of_parent(restarts: u64) -> String {
    render::parent(restarts, process::read())
}

#[cfg(test)]
mod tests {
    use super::*;

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
