//! The target as the engine needs it: addresses that answer, the name it is called by, TLS.

mod error;
mod routes;
mod tls;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use reactor::ClientTls;
use rustls::pki_types::ServerName;
use url::Url;

use crate::ground::outcome::{Failure, FailureKind, Phase};
use crate::ground::recorder::Cause;
use crate::spec::{Protocol, SourceIps, TlsPlan};

pub use error::TargetError;
pub use tls::client_config;

/// Where sockets are opened.
#[derive(Clone, Debug)]
pub struct Target {
    /// At least one address; after [`Target::reachable`], those that accept connections.
    pub addrs: Vec<SocketAddr>,
    /// The `Host` header: the name, and the port where it is not the scheme's own (RFC 9110 section 7.2).
    pub host: String,
    /// For `https` and `wss`.
    pub tls: Option<ClientTls>,
    /// Where sockets come from; each of `addrs` has some of its family, unless there are none at all.
    pub sources: SourceIps,
}

impl Target {
    /// Looks up the host of an `http`, `https`, `ws` or `wss` URL. Blocks while the resolver works.
    pub fn resolve(url: &Url, tls: &TlsPlan) -> Result<Self, TargetError> {
        let name = url.host_str().unwrap_or_default();
        let encrypted = matches!(url.scheme(), "https" | "wss");
        let port = url.port_or_known_default().unwrap_or(if encrypted { 443 } else { 80 });
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let addrs: Vec<SocketAddr> =
            (bare, port).to_socket_addrs().map_err(|error| TargetError::unresolved(name, error))?.collect();
        if addrs.is_empty() {
            return Err(TargetError::unresolved(name, "it has no address"));
        }
        Self::known(url, addrs, tls, SourceIps::default())
    }

    /// The target of a URL whose addresses are known.
    pub fn known(url: &Url, addrs: Vec<SocketAddr>, tls: &TlsPlan, sources: SourceIps) -> Result<Self, TargetError> {
        let name = url.host_str().unwrap_or_default();
        let tls = if matches!(url.scheme(), "https" | "wss") {
            let config = client_config(tls, name)?;
            let bare = name.trim_start_matches('[').trim_end_matches(']');
            let server = ServerName::try_from(bare.to_owned()).map_err(|error| TargetError::tls(name, error))?;
            Some(ClientTls { config: Arc::new(config), name: server })
        } else {
            None
        };
        // `Url::port` is none where the port is the scheme's own.
        let host = url.port().map_or(name.to_owned(), |port| format!("{name}:{port}"));
        Ok(Self { addrs, host, tls, sources })
    }

    /// Keeps the addresses that accept a TCP connection; each is tried once, for at most `timeout`. `localhost` has two
    /// addresses, and servers often listen on one of them.
    pub fn reachable(mut self, timeout: Duration) -> Result<Self, TargetError> {
        let mut first_error = None;
        self.addrs.retain(|addr| match TcpStream::connect_timeout(addr, timeout) {
            Ok(_probe) => true,
            Err(error) => {
                first_error.get_or_insert((*addr, error));
                false
            }
        });
        match first_error {
            Some((addr, error)) if self.addrs.is_empty() => Err(TargetError::unreachable(addr, &error)),
            _ => Ok(self),
        }
    }

    /// Checks the target's certificate, where it has TLS.
    pub fn trusted(self, timeout: Duration) -> Result<Self, TargetError> {
        if let (Some(tls), Some(addr)) = (&self.tls, self.addrs.first()) {
            tls::check_certificate(tls, *addr, &self.host, timeout)?;
        }
        Ok(self)
    }

    /// The TLS of one shard.
    pub fn tls_of_shard(&self, resumption: bool) -> Option<ClientTls> {
        self.tls.clone().map(|tls| tls::for_shard(tls, resumption))
    }
}

/// What the failures of a run say about its target when no token was accepted or refused: that it is no server of this
/// protocol, as a sentence. `None` where they say no such thing.
pub fn diagnose<'a>(
    protocol: Protocol,
    url: &str,
    failures: impl IntoIterator<Item = (Failure, &'a Cause)>,
) -> Option<String> {
    let failures: Vec<(Failure, &Cause)> = failures.into_iter().collect();
    let (most, cause) = failures.iter().max_by_key(|(_, cause)| cause.count)?;
    let speaks_otherwise = |failure: &Failure| match failure.kind {
        FailureKind::EngineIoOpen => true,
        _ if !matches!(failure.phase, Phase::Upgrade | Phase::Open) => false,
        // A server that is there and does not take the request.
        FailureKind::Http(status) => !matches!(status, 400 | 413 | 414 | 426 | 429 | 431 | 500..),
        FailureKind::Protocol | FailureKind::Redirect | FailureKind::Body => true,
        _ => false,
    };
    if !failures.iter().all(|(failure, _)| speaks_otherwise(failure)) {
        return None;
    }
    if most.kind == FailureKind::EngineIoOpen {
        return Some(format!(
            "{url} speaks Engine.IO: {}; use --protocol socketio --eio N --path P, as in --target http://HOST:PORT --path \
             /socket.io/",
            cause.words
        ));
    }
    let (server, advice) = match protocol {
        Protocol::WebSocket => ("WebSocket server", "check --target, --path and --protocol"),
        Protocol::SocketIo(_) => ("Socket.IO server", "check --target, --path, --protocol and --eio"),
    };
    let answer = match most.kind {
        FailureKind::Http(_) | FailureKind::Redirect => "it answers the handshake with",
        _ => "what it answers breaks the protocol:",
    };
    Some(format!("{url} is no {server}: {answer} {}; {advice}", cause.words))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn the_host_header_names_a_port_that_is_not_the_schemes_own() {
        let unchecked = TlsPlan { insecure: true, ..TlsPlan::default() };
        for (text, host, port, encrypted) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000", 3000, false),
            ("http://127.0.0.1", "127.0.0.1", 80, false),
            ("ws://127.0.0.1:80/ws", "127.0.0.1", 80, false),
            ("wss://127.0.0.1/ws", "127.0.0.1", 443, true),
            ("https://[::1]:8443", "[::1]:8443", 8443, true),
        ] {
            let target = Target::resolve(&url(text), &unchecked).unwrap();
            assert_eq!(target.host, host, "{text}");
            assert_eq!(target.addrs[0].port(), port, "{text}");
            assert_eq!(target.tls.is_some(), encrypted, "{text}");
        }
    }

    #[test]
    fn an_unknown_host_is_named() {
        let error = Target::resolve(&url("http://no-such-host.invalid"), &TlsPlan::default()).unwrap_err();
        assert!(error.to_string().starts_with("cannot resolve host no-such-host.invalid"), "{error}");
    }

    #[test]
    fn only_addresses_that_answer_are_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = |addrs| Target { addrs, host: String::new(), tls: None, sources: SourceIps::default() };
        let second = Duration::from_secs(1);
        let kept = target(vec![closed, open]).reachable(second).unwrap();
        assert_eq!(kept.addrs, [open]);
        let error = target(vec![closed]).reachable(second).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("nothing listens on {closed}: connection refused; start the server or check --target")
        );
    }

    #[test]
    fn failures_show_that_a_target_speaks_another_protocol() {
        let failure = |phase, kind| Failure { phase, kind };
        for (failures, expected, why) in [
            (vec![], None, "nothing failed"),
            (
                vec![(failure(Phase::Upgrade, FailureKind::Http(404)), 5)],
                Some("http://h is no WebSocket server: it answers the handshake with HTTP 404"),
                "a web server",
            ),
            (
                vec![(failure(Phase::Upgrade, FailureKind::Protocol), 5)],
                Some("breaks the protocol"),
                "something else altogether",
            ),
            (
                vec![(failure(Phase::Auth, FailureKind::EngineIoOpen), 5)],
                Some("http://h speaks Engine.IO: HTTP 404 Not Found; use --protocol socketio --eio N --path P"),
                "the wrong protocol",
            ),
            (vec![(failure(Phase::Upgrade, FailureKind::Http(503)), 5)], None, "overloaded"),
            (vec![(failure(Phase::Upgrade, FailureKind::Http(400)), 5)], None, "it is there and takes no such request"),
            (vec![(failure(Phase::Upgrade, FailureKind::Http(431)), 5)], None, "it is there and takes no such token"),
            (vec![(failure(Phase::Connect, FailureKind::Reset), 5)], None, "connections were reset"),
            (
                vec![
                    (failure(Phase::Upgrade, FailureKind::Http(404)), 5),
                    (failure(Phase::Connect, FailureKind::Timeout), 1),
                ],
                None,
                "different failures",
            ),
        ] {
            let words = |count| Cause { count, words: "HTTP 404 Not Found".to_owned() };
            let failures: Vec<_> = failures.into_iter().map(|(failure, count)| (failure, words(count))).collect();
            let failures = failures.iter().map(|(failure, cause)| (*failure, cause));
            let diagnosis = diagnose(Protocol::WebSocket, "http://h", failures);
            match (diagnosis, expected) {
                (Some(text), Some(part)) => assert!(text.contains(part), "{why}: {text}"),
                (diagnosis, expected) => assert_eq!(diagnosis.as_deref(), expected, "{why}"),
            }
        }
    }
}
