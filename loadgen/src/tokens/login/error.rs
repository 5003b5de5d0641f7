//! What went wrong at a login or a token request: whose, where, and what came back.

use std::error::Error as _;
use std::io;

use crate::ground::outcome::{Failure, FailureKind, Phase};
use crate::spec::User;

/// A login or a token request that failed; a whole sentence, which never holds a token or a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} of user {user} at {url}: {problem}")]
pub struct LoginError {
    /// The phase and kind that the failure is counted as.
    pub failure: Failure,
    /// The phase, and the step where it has a name.
    what: String,
    user: String,
    /// Without its query, which may hold a key.
    url: String,
    problem: String,
}

/// A failed request, before its user and step are added.
#[derive(Debug)]
pub(super) struct Broken {
    kind: FailureKind,
    problem: String,
}

impl Broken {
    pub(super) fn new(kind: FailureKind, problem: String) -> Self {
        Self { kind, problem }
    }

    /// The kind that the failure is counted as.
    pub(super) fn kind(&self) -> FailureKind {
        self.kind
    }

    pub(super) fn during(self, phase: Phase, step: Option<&str>, user: &User, url: &str) -> LoginError {
        let phase_name = phase.as_str();
        LoginError {
            what: match step {
                Some(step) => format!("{phase_name} step {step:?}"),
                None => phase_name.to_owned(),
            },
            failure: Failure { phase, kind: self.kind },
            user: user.name.clone(),
            url: url.to_owned(),
            problem: self.problem,
        }
    }
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        let kind = kind(&error);
        let problem = match kind {
            FailureKind::Refused => "connection refused; is the service running?".to_owned(),
            FailureKind::Reset => "the connection was closed before an answer came".to_owned(),
            FailureKind::Timeout => "no answer in time".to_owned(),
            _ => innermost(&error),
        };
        Self::new(kind, problem)
    }
}

/// What went wrong with a request, in a few words.
pub(crate) fn error_text(error: reqwest::Error) -> String {
    Broken::from(error).problem
}

fn kind(error: &reqwest::Error) -> FailureKind {
    if error.is_timeout() {
        return FailureKind::Timeout;
    }
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            if holds_tls(io) {
                return FailureKind::Tls;
            }
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return FailureKind::Refused,
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => return FailureKind::Reset,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    return FailureKind::Unreachable;
                }
                io::ErrorKind::TimedOut => return FailureKind::Timeout,
                _ => {}
            }
        }
        if cause.to_string().starts_with("dns error") {
            return FailureKind::Dns;
        }
        // hyper's words for a FIN in place of an answer; it has no type for them.
        if cause.to_string().starts_with("connection closed before message completed") {
            return FailureKind::Reset;
        }
        next = cause.source();
    }
    if error.is_body() || error.is_decode() { FailureKind::Body } else { FailureKind::Protocol }
}

/// TLS errors travel inside of I/O errors, sometimes two deep, which do not count them among their sources.
fn holds_tls(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>() || inner.downcast_ref::<io::Error>().is_some_and(holds_tls))
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
