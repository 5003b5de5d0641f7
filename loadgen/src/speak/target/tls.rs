//! TLS to a target: trusted authorities, kept sessions, and one handshake before the run.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use reactor::{CertificateFault, ClientTls};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::speak::target::error::TargetError;
use crate::spec::TlsPlan;

/// TLS sessions that a shard keeps. A target is one entry, with up to eight tickets.
const SESSIONS_KEPT: usize = 8;

/// A client's TLS as a run asks for it: this machine's certificate authorities and those that were named, or none asked
/// at all. `host` is named in errors.
pub fn client_config(plan: &TlsPlan, host: &str) -> Result<ClientConfig, TargetError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| TargetError::tls(host, error))?;
    if plan.insecure {
        let verifier = Arc::new(AnyCertificate(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(plan.authorities.iter().cloned());
    if roots.is_empty() {
        return Err(TargetError::no_authorities(host));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Does one TLS handshake with `host` at `addr`, so that a certificate that is not trusted, or a server without TLS, is
/// reported once before the run and not by each arrival. A slow server or one that closes is left to the run.
pub fn check_certificate(tls: &ClientTls, addr: SocketAddr, host: &str, timeout: Duration) -> Result<(), TargetError> {
    let Some(error) = try_once(tls, addr, timeout) else {
        return Ok(());
    };
    match CertificateFault::of(&error) {
        Some(fault) => Err(TargetError::certificate(host, fault, &error)),
        None if matches!(error, rustls::Error::InvalidMessage(_)) => {
            let advice = "check the port, or say http:// or ws:// in --target";
            Err(TargetError(format!("{host} does not speak TLS there; {advice}")))
        }
        None => Ok(()),
    }
}

/// The TLS of one shard. Each shard keeps its own sessions if they are to be resumed: shards share no lock.
pub fn for_shard(tls: ClientTls, resumption: bool) -> ClientTls {
    let mut config = ClientConfig::clone(&tls.config);
    config.resumption = match resumption {
        true => Resumption::in_memory_sessions(SESSIONS_KEPT),
        false => Resumption::disabled(),
    };
    ClientTls { config: Arc::new(config), ..tls }
}

/// The error of a TLS handshake; `None` where it succeeds, or fails for a reason other than TLS.
fn try_once(tls: &ClientTls, addr: SocketAddr, timeout: Duration) -> Option<rustls::Error> {
    let mut stream = TcpStream::connect_timeout(&addr, timeout).ok()?;
    stream.set_read_timeout(Some(timeout)).ok()?;
    stream.set_write_timeout(Some(timeout)).ok()?;
    let mut connection = match ClientConnection::new(tls.config.clone(), tls.name.clone()) {
        Ok(connection) => connection,
        Err(error) => return Some(error),
    };
    let error: io::Error = connection.complete_io(&mut stream).err()?;
    error.into_inner()?.downcast().ok().map(|error| *error)
}

/// Accepts every certificate, as `--insecure` asks. Signatures are checked, so the peer must hold the certificate's key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
