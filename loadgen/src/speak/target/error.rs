//! Why a target cannot be loaded, with what to do about it.

use std::io;
use std::net::SocketAddr;

use reactor::CertificateFault;

/// Why a target cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Its name is unknown.
    #[error("cannot resolve host {host}: {error}; check --target")]
    Unresolved {
        /// As it stands in the URL.
        host: String,
        /// The error of the resolver.
        error: io::Error,
    },
    /// It refuses connections.
    #[error("nothing listens on {addr}: connection refused; start the server or check --target")]
    Refused {
        /// The first address that was tried.
        addr: SocketAddr,
    },
    /// It does not answer, or the network does not lead there.
    #[error("cannot reach {addr}: {error}; check --target and the network")]
    Unreachable {
        /// The first address that was tried.
        addr: SocketAddr,
        /// The error of the kernel.
        error: io::Error,
    },
    /// This machine has no certificate authorities.
    #[error(
        "this machine has no certificate authorities to check {0} by; install them (ca-certificates), name its own with \
         --cacert, or do without with --insecure"
    )]
    NoAuthorities(String),
    /// Its certificate is not trusted, and would not be on any later connection.
    #[error("{host} shows a certificate that is not trusted: {}", certificate_advice(*.fault, .detail))]
    Certificate {
        /// As it stands in the URL.
        host: String,
        /// What is wrong with it.
        fault: CertificateFault,
        /// The error of rustls.
        detail: String,
    },
    /// It answers in another protocol.
    #[error("{host} does not speak TLS there; check the port, or say http:// or ws:// in --target")]
    NoTls {
        /// As it stands in the URL.
        host: String,
    },
    /// The URL holds no host that TLS can check, or the provider lacks what TLS needs.
    #[error("no TLS to {host}: {problem}")]
    Tls {
        /// As it stands in the URL.
        host: String,
        /// What is missing.
        problem: String,
    },
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
