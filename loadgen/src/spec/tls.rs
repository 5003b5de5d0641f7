//! TLS settings: trusted certificates, and whether sessions are resumed.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use crate::ground::values::InputError;

/// TLS to the target and to the login service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TlsPlan {
    /// Whether certificates go unchecked.
    pub insecure: bool,
    /// Trusted beside this machine's own authorities.
    #[serde(with = "certificates")]
    pub authorities: Vec<CertificateDer<'static>>,
    /// The file of these authorities.
    pub cacert: Option<PathBuf>,
    /// Whether a socket resumes the TLS session of an earlier one.
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

/// Whether TLS sessions are resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsResumption {
    /// As returning clients do.
    On,
    /// As new clients do.
    Off,
}

impl TlsPlan {
    /// The plan of these flags; reads the file.
    pub fn new(insecure: bool, cacert: Option<PathBuf>, resumption: Option<TlsResumption>) -> Result<Self, InputError> {
        Ok(Self {
            insecure,
            authorities: cacert.as_deref().map_or(Ok(Vec::new()), read)?,
            cacert,
            resumption: resumption == Some(TlsResumption::On),
        })
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, InputError> {
    let fault = |problem: &dyn fmt::Display| InputError(format!("--cacert {}: {problem}", path.display()));
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
