//! How connections and sessions end: closed sets, one counter for each member.

use crate::verify::Refusal;

/// How an accepted connection ended.
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
    /// It was an ordinary HTTP request, or an upgrade at an unknown path, and was answered.
    Answered,
    /// Its TLS handshake failed.
    TlsFailed,
    /// It broke HTTP, Engine.IO or Socket.IO before it was authenticated.
    Malformed,
    /// Its head was above a limit.
    HeadTooLarge,
    /// As many of these as allowed were open.
    Full(Limit),
    /// Its session could not be looked up.
    Unanswered(Unanswered),
    /// A step of it took longer than it may.
    Timeout(Phase),
    /// It was the oldest in this step when there were too many, or held more memory than others when that ran out, and
    /// was closed for that.
    Evicted(Phase),
    /// The peer left before its verdict.
    Abandoned,
    /// The gate drained before its verdict.
    Shutdown,
}

impl Outcome {
    /// The outcome of a handshake that ended in `phase`, by `end`, before its verdict.
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

    /// Every outcome but the refusals, in the order of its counter.
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

    /// The reason beside it in metrics, where there is one.
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
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Upgrade => "upgrade",
            Self::Connect => "connect",
        }
    }
}

/// The limits on connections and sessions that are open at once.
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
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::Sessions => "sessions",
        }
    }
}

/// Why a session could not be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// As many lookups waited as may.
    Queue,
    /// The frontend is not there, or answers something else.
    Frontend,
    /// It took too long.
    Time,
}

impl Unanswered {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Frontend => "frontend",
            Self::Time => "time",
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed: a close frame, an Engine.IO close, a Socket.IO disconnect.
    Client,
    /// The peer's end of the stream came without a closing handshake.
    Gone,
    /// The peer, or something between, reset the connection.
    Reset,
    /// No sign of life within the ping timeout.
    PingTimeout,
    /// The peer broke the protocol.
    Protocol,
    /// The peer sent a message or a head above its limit.
    TooLong,
    /// The peer reads more slowly than it requests answers.
    TooSlow,
    /// All sockets together, or all sessions that poll, held more than they may, and this one was among those with the
    /// most.
    MemoryPressure,
    /// The peer was not authenticated in time.
    HandshakeTimeout,
    /// The oldest of too many peers that were not authenticated yet.
    Evicted,
    /// The peer was refused and had its time to close.
    Refused,
    /// The gate drains.
    Shutdown,
    /// Its token expired.
    Expired,
    /// TLS failed: bytes that are no TLS, or an alert of the peer.
    Tls,
    /// The connection failed in some other way.
    Failed,
}

impl End {
    /// Every reason, in the order of its counter.
    pub const ALL: [Self; 15] = [
        Self::Client,
        Self::Gone,
        Self::Reset,
        Self::PingTimeout,
        Self::Protocol,
        Self::TooLong,
        Self::TooSlow,
        Self::MemoryPressure,
        Self::HandshakeTimeout,
        Self::Evicted,
        Self::Refused,
        Self::Shutdown,
        Self::Expired,
        Self::Tls,
        Self::Failed,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gone => "gone",
            Self::Reset => "reset",
            Self::PingTimeout => "ping_timeout",
            Self::Protocol => "protocol",
            Self::TooLong => "too_long",
            Self::TooSlow => "too_slow",
            Self::MemoryPressure => "greediest",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Evicted => "gave_way",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
            Self::Expired => "expired",
            Self::Tls => "tls",
            Self::Failed => "failed",
        }
    }
}
