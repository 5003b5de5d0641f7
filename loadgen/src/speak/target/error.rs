//! Why a target cannot be loaded, with what to do about it.

use std::fmt::Display;
use std::net::SocketAddr;

use reactor::CertificateFault;

/// Why a target cannot be loaded, as a sentence that says what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(pub(super) String);

impl TargetError {
    /// The resolver does not know the host.
    pub(super) fn unresolved(host: &str, error: impl Display) -> Self {
        Self(format!("cannot resolve host {host}: {error}; check --target"))
    }

    /// The connection to the first address failed.
    pub(super) fn unreachable(addr: SocketAddr, error: &std::io::Error) -> Self {
        Self(match error.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                format!("nothing listens on {addr}: connection refused; start the server or check --target")
            }
            _ => format!("cannot reach {addr}: {error}; check --target and the network"),
        })
    }

    /// This machine has no certificate authorities.
    pub(super) fn no_authorities(host: &str) -> Self {
        Self(format!(
            "this machine has no certificate authorities to check {host} by; install them (ca-certificates), name its own \
             with --cacert, or do without with --insecure"
        ))
    }

    /// The certificate is not trusted, and would not be on any later connection.
    pub(super) fn certificate(host: &str, fault: CertificateFault, error: &rustls::Error) -> Self {
        let advice = certificate_advice(fault, &error.to_string());
        Self(format!("{host} shows a certificate that is not trusted: {advice}"))
    }

    /// The URL holds no host that TLS can check, or the provider lacks what TLS needs.
    pub(super) fn tls(host: &str, problem: impl Display) -> Self {
        Self(format!("no TLS to {host}: {problem}"))
    }
}

/// What is wrong with a certificate, and what to do.
fn certificate_advice(fault: CertificateFault, detail: &str) -> String {
    let (what, advice) = match fault {
        CertificateFault::Expired => ("it has expired", "renew it, check this machine's clock"),
        CertificateFault::NotYetValid => ("its time has not begun", "check this machine's clock and the server's"),
        CertificateFault::UnknownIssuer => (
            "it is signed by no authority that this machine trusts",
            "name the authority that does with --cacert FILE.pem, have the server send its whole chain",
        ),
        CertificateFault::WrongName => ("it is made out to another name", "say in --target a name that stands in it"),
        CertificateFault::Invalid => ("it is not valid", "mend it on the server"),
    };
    format!("{what} ({detail}); {advice}, or do without the check with --insecure")
}
