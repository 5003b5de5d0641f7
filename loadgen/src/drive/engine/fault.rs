//! What errors of sockets mean for an arrival.

use std::io::{self, ErrorKind};

use reactor::Closed;
use rustix::io::Errno;

use crate::ground::outcome::{FailureKind, Outcome};

/// How an established socket ends whose peer sends no close frame (RFC 6455 section 7.1.5).
pub const ABNORMAL_CLOSURE: FailureKind = FailureKind::Closed(1006);

/// What a socket call's error means: [`FailureKind::Limit`] where this machine has run out of something.
pub fn failure_of_error(error: &io::Error) -> FailureKind {
    let of_this_machine =
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::NOSPC, Errno::ADDRNOTAVAIL, Errno::AGAIN];
    if Errno::from_io_error(error).is_some_and(|errno| of_this_machine.contains(&errno)) {
        return FailureKind::Limit;
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => FailureKind::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => FailureKind::Reset,
        ErrorKind::TimedOut => FailureKind::Timeout,
        ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => FailureKind::Limit,
        // An unusable TLS configuration.
        ErrorKind::InvalidInput => FailureKind::Tls,
        _ => FailureKind::Unreachable,
    }
}

/// What it means that a connection is gone; `at_fin`: what the peer's FIN means.
pub fn failure_of_closed(why: &Closed, at_fin: FailureKind) -> FailureKind {
    match why {
        Closed::Peer => at_fin,
        Closed::Refused => FailureKind::Refused,
        Closed::Failed(error) => failure_of_error(&(*error).into()),
        Closed::Tls(error) => error.certificate.map_or(FailureKind::Tls, FailureKind::Certificate),
        Closed::InputTooLong => FailureKind::Protocol,
        Closed::Reset | Closed::PeerTooSlow | Closed::MemoryPressure | Closed::Local => FailureKind::Reset,
    }
}

/// The words for that.
pub fn words_of_closed(why: &Closed) -> String {
    match why {
        Closed::Peer => "the peer closed the TCP connection".to_owned(),
        Closed::Reset => "the peer reset the TCP connection".to_owned(),
        Closed::Refused => "nothing listens there".to_owned(),
        Closed::Failed(error) => error.to_string(),
        Closed::Tls(error) => error.message.clone(),
        Closed::InputTooLong => "the peer sent more than a handshake needs".to_owned(),
        Closed::Local | Closed::PeerTooSlow | Closed::MemoryPressure => String::new(),
    }
}

/// The outcome of an arrival that failed.
pub fn outcome_of(kind: FailureKind) -> Outcome {
    match kind {
        FailureKind::Timeout => Outcome::Timeout,
        _ => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_this_machine_is_a_limit_and_one_of_the_network_is_not() {
        for (errno, kind) in [
            (Errno::MFILE, FailureKind::Limit),
            (Errno::NFILE, FailureKind::Limit),
            (Errno::ADDRNOTAVAIL, FailureKind::Limit),
            (Errno::NOMEM, FailureKind::Limit),
            (Errno::CONNREFUSED, FailureKind::Refused),
            (Errno::CONNRESET, FailureKind::Reset),
            (Errno::PIPE, FailureKind::Reset),
            (Errno::TIMEDOUT, FailureKind::Timeout),
            (Errno::NETUNREACH, FailureKind::Unreachable),
            (Errno::HOSTUNREACH, FailureKind::Unreachable),
            (Errno::INVAL, FailureKind::Tls),
        ] {
            assert_eq!(failure_of_error(&errno.into()), kind, "{errno:?}");
        }
    }

    #[test]
    fn only_a_timeout_is_the_outcome_timeout() {
        assert_eq!(outcome_of(FailureKind::Timeout), Outcome::Timeout);
        assert_eq!(outcome_of(FailureKind::Reset), Outcome::Failed);
    }
}
