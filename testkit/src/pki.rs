//! A certificate authority, its certificate for this machine, and clients that trust it.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::http::{request, rest};
use crate::wait::soon;

/// A folder with `ca.pem`, `cert.pem` and `key.pem`.
pub struct Pki {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    authority: CertificateDer<'static>,
}

impl Pki {
    /// A new authority, and its certificate for `localhost` and 127.0.0.1.
    pub fn create() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        // The names differ, because OpenSSL treats a certificate with equal issuer and subject as self-signed.
        params.distinguished_name.push(DnType::CommonName, "the tests' authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let pki = Self {
            folder: tempfile::tempdir().unwrap(),
            issuer: Issuer::new(params, key),
            authority: certificate.der().clone(),
        };
        fs::write(pki.path("ca.pem"), certificate.pem()).unwrap();
        pki.renew();
        pki
    }

    /// Replaces the certificate and its key with new ones; returns the certificate.
    pub fn renew(&self) -> CertificateDer<'static> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        // Python's OpenSSL requires this extension.
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path("cert.pem"), certificate.pem()).unwrap();
        fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The flags with which a server uses the certificate.
    pub fn flags(&self) -> [String; 2] {
        [("cert", "cert.pem"), ("key", "key.pem")]
            .map(|(flag, file)| format!("--tls-{flag}={}", self.path(file).display()))
    }

    /// A client of all versions, whose connections share their session tickets.
    pub fn client(&self) -> TlsClient {
        self.client_of(&[&TLS12, &TLS13], &[])
    }

    /// A client of these versions, which offers these protocols.
    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> TlsClient {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsClient(Arc::new(config))
    }
}

/// A TLS client: rustls on tokio's sockets.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Its configuration.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    /// A connection whose handshake is complete.
    pub async fn connect(&self, to: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(self.config());
        soon("a TLS handshake", connector.connect(name, stream)).await
    }

    /// Sends bytes, and returns all that is received until close_notify.
    pub async fn exchange(&self, to: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = self.connect(to).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    }

    /// The response to a GET of `path`.
    pub async fn get(&self, to: SocketAddr, path: &str) -> String {
        self.exchange(to, request(path).as_bytes()).await
    }
}
