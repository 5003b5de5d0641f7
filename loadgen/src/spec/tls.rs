//! What a run asks of TLS: whom to trust, and whether sessions are resumed.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

/// TLS towards the target, and whom to trust at logins.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TlsPlan {
    /// Whether certificates go unchecked.
    pub insecure: bool,
    /// Trusted beside this machine's own authorities.
    #[serde(with = "certificates")]
    pub authorities: Vec<CertificateDer<'static>>,
    /// The file that they are from.
    pub cacert: Option<PathBuf>,
    /// Whether a socket takes up the session of an earlier one.
    pub resumption: bool,
}

/// Certificates as DER in base64.
mod certificates {
    use base64_simd::STANDARD;
    use rustls::pki_types::CertificateDer;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(all: &[CertificateDer<'static>], out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(all.iter().map(|der| STANDARD.encode_to_string(der)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<CertificateDer<'static>>, D::Error> {
        let texts = Vec::<String>::deserialize(input)?;
        let all = texts.iter().map(|text| STANDARD.decode_to_vec(text).map(CertificateDer::from));
        all.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

/// Whether TLS sessions are taken up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsResumption {
    /// As clients do that come back.
    On,
    /// As clients do that come for the first time.
    Off,
}

/// A file of certificate authorities that gives none.
#[derive(Debug, thiserror::Error)]
#[error("--cacert {path}: {problem}", path = .path.display())]
pub struct CacertError {
    path: PathBuf,
    problem: String,
}

impl TlsPlan {
    /// The plan of these flags; reads the file.
    pub fn new(
        insecure: bool,
        cacert: Option<PathBuf>,
        resumption: Option<TlsResumption>,
    ) -> Result<Self, CacertError> {
        Ok(Self {
            insecure,
            authorities: cacert.as_deref().map_or(Ok(Vec::new()), read)?,
            cacert,
            resumption: resumption == Some(TlsResumption::On),
        })
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, CacertError> {
    let fault = |problem: &dyn fmt::Display| CacertError { path: path.to_owned(), problem: problem.to_string() };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|error| fault(&error))?.collect();
    let found = found.map_err(|error| fault(&error))?;
    if found.is_empty() {
        return Err(fault(&"it holds no certificate; it must be PEM, as in -----BEGIN CERTIFICATE-----"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn authorities_are_read_from_pem_and_faults_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let two = made.cert.pem().repeat(2);
        for (name, content, expected) in [
            ("two.pem", Some(two.as_str()), Ok(2)),
            ("none.pem", Some("hello"), Err("it holds no certificate")),
            ("absent.pem", None, Err("absent.pem: ")),
        ] {
            let path = folder.path().join(name);
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let plan = TlsPlan::new(false, Some(path), None);
            match (plan, expected) {
                (Ok(plan), Ok(count)) => assert_eq!(plan.authorities.len(), count, "{name}"),
                (Err(error), Err(part)) => {
                    let error = error.to_string();
                    assert!(error.contains(part) && error.contains(name), "{error}");
                }
                (plan, _) => panic!("{name}: {plan:?}"),
            }
        }
    }
}
