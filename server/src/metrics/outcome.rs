//! How connections and sessions end: closed sets, with one counter for each member.

use crate::closed_set::closed_set;
use crate::verify::Refusal;

/// How an accepted connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connection was authenticated, and a session began.
    Established,
    /// The token was refused.
    Refused(Refusal),
    /// The connection carried requests of polling sessions, which have outcomes of their own.
    Polled,
    /// The connection is the WebSocket to which a polling session has moved.
    Upgraded,
    /// An ordinary HTTP request, or an upgrade at an unknown path, was answered.
    Answered,
    /// The TLS handshake failed.
    TlsFailed,
    /// The peer broke HTTP, Engine.IO or Socket.IO before it was authenticated.
    Malformed,
    /// The head of the request was larger than a limit.
    HeadTooLarge,
    /// A limit on open connections or sessions was reached.
    Full(Limit),
    /// The session could not be looked up.
    Unanswered(Unanswered),
    /// A step of the handshake exceeded its deadline.
    Timeout(Phase),
    /// The connection was closed because it was the oldest in this step when there were too many, or used the most
    /// memory when the limit was reached.
    Evicted(Phase),
    /// The peer closed the connection before its verdict.
    Abandoned,
    /// The gate drained before the verdict.
    Shutdown,
}

impl Outcome {
    /// The outcome of a handshake that ended with `end` in `phase`, before its verdict.
    pub fn without_verdict(end: End, phase: Phase) -> Self {
        match end {
            End::HandshakeTimeout => Self::Timeout(phase),
            End::Evicted | End::MemoryPressure => Self::Evicted(phase),
            End::Shutdown => Self::Shutdown,
            End::Protocol => Self::Malformed,
            End::Tls => Self::TlsFailed,
            End::TooLong => Self::HeadTooLarge,
            _ => Self::Abandoned,
        }
    }

    /// Every outcome except the refusals, in the order of their counters.
    pub(super) const UNREFUSED: [Self; 21] = [
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
        Self::Evicted(Phase::Head),
        Self::Evicted(Phase::Upgrade),
        Self::Evicted(Phase::Connect),
        Self::Abandoned,
        Self::Shutdown,
    ];

    /// The label `outcome` in metrics.
    pub(super) fn as_str(self) -> &'static str {
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
            Self::Evicted(_) => "gave_way",
            Self::Abandoned => "abandoned",
            Self::Shutdown => "shutdown",
        }
    }

    /// The label `reason` in metrics, if there is one.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => Some(refusal.as_str()),
            Self::Full(limit) => Some(limit.as_str()),
            Self::Unanswered(why) => Some(why.as_str()),
            Self::Timeout(phase) | Self::Evicted(phase) => Some(phase.as_str()),
            _ => None,
        }
    }
}

closed_set! {
    /// A step of a handshake, which has a deadline of its own.
    Phase {
        /// From accept to the end of the request's head.
        Head = "head",
        /// From the 101 of a WebSocket that a polling session moves to, until its upgrade packet.
        Upgrade = "upgrade",
        /// From the opening of an Engine.IO session to Socket.IO's connect packet.
        Connect = "connect",
    }
}

closed_set! {
    /// The limits on connections and sessions that are open at once.
    Limit {
        /// All connections.
        Connections = "connections",
        /// Connections from one address.
        Address = "address",
        /// Polling sessions.
        Sessions = "sessions",
    }
}

closed_set! {
    /// Why a session could not be looked up.
    Unanswered {
        /// The queue of lookups is full.
        Queue = "queue",
        /// The frontend cannot be reached, or its answer is not that of a session lookup.
        Frontend = "frontend",
        /// The lookup took too long.
        Time = "time",
    }
}

closed_set! {
    /// Why a session ended.
    End {
        /// The peer closed the session: a close frame, an Engine.IO close, a Socket.IO disconnect.
        Client = "client",
        /// The peer closed the connection without a closing handshake.
        Gone = "gone",
        /// The connection was reset.
        Reset = "reset",
        /// The peer sent nothing within the ping timeout.
        PingTimeout = "ping_timeout",
        /// The peer broke the protocol.
        Protocol = "protocol",
        /// The peer sent a message or a head that is longer than its limit.
        TooLong = "too_long",
        /// The peer reads more slowly than it requests answers.
        TooSlow = "too_slow",
        /// The memory limit of all sockets, or of all polling sessions, was reached, and this session used the most.
        MemoryPressure = "greediest",
        /// The peer was not authenticated in time.
        HandshakeTimeout = "handshake_timeout",
        /// There were too many half-open connections, and this one was the oldest.
        Evicted = "gave_way",
        /// The peer was refused, and its time to close the connection is over.
        Refused = "refused",
        /// The gate drains.
        Shutdown = "shutdown",
        /// The token expired.
        Expired = "expired",
        /// TLS failed: the bytes are not TLS, or the peer sent an alert.
        Tls = "tls",
        /// The connection failed in some other way.
        Failed = "failed",
    }
}
