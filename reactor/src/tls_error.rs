//! How TLS fails: the message of rustls, and what is wrong with the certificate, for advice to the user.

use rustls::CertificateError;

/// A TLS connection that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// What is wrong with the peer's certificate, where that is what is wrong.
    pub certificate: Option<CertificateFault>,
    /// The message of rustls.
    pub message: String,
}

/// Why a certificate is not accepted (RFC 5280 section 6.1, RFC 9525).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateFault {
    /// Its validity is over.
    Expired,
    /// Its validity has not begun.
    NotYetValid,
    /// No trusted issuer has signed it.
    UnknownIssuer,
    /// It is another host's.
    WrongName,
    /// Anything else: a wrong purpose, bytes that are no certificate, no certificate at all.
    Invalid,
}

impl TlsError {
    /// An error that does not come from rustls.
    pub(crate) fn other(error: impl std::fmt::Display) -> Self {
        Self { certificate: None, message: error.to_string() }
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self { certificate: CertificateFault::of(&error), message: error.to_string() }
    }
}

impl CertificateFault {
    /// The fault of the certificate, if the error is about that.
    pub fn of(error: &rustls::Error) -> Option<Self> {
        let rustls::Error::InvalidCertificate(fault) = error else {
            return matches!(error, rustls::Error::NoCertificatesPresented).then_some(Self::Invalid);
        };
        Some(match fault {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            // Signed by an issuer that has only the name of a trusted one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            _ => Self::Invalid,
        })
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::UnknownIssuer => "unknown-issuer",
            Self::WrongName => "wrong-name",
            Self::Invalid => "invalid",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_certificates_are_recognised() {
        let of = |fault| CertificateFault::of(&rustls::Error::InvalidCertificate(fault));
        for (seen, expected, why) in [
            (of(CertificateError::Expired), Some(CertificateFault::Expired), "its time is over"),
            (of(CertificateError::NotValidYet), Some(CertificateFault::NotYetValid), "its time is to come"),
            (of(CertificateError::UnknownIssuer), Some(CertificateFault::UnknownIssuer), "self-signed"),
            (of(CertificateError::NotValidForName), Some(CertificateFault::WrongName), "another host's"),
            (
                of(CertificateError::BadSignature),
                Some(CertificateFault::UnknownIssuer),
                "by another issuer of the same name",
            ),
            (of(CertificateError::BadEncoding), Some(CertificateFault::Invalid), "no certificate"),
            (CertificateFault::of(&rustls::Error::HandshakeNotComplete), None, "not about a certificate"),
        ] {
            assert_eq!(seen, expected, "{why}");
        }
    }
}
