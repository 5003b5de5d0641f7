//! An authority of the tests' own, a certificate by it for this machine, and clients that trust it.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::super::servers::soon;

/// A folder with `ca.pem`, `cert.pem` and `key.pem`.
pub struct Pki {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    authority: CertificateDer<'static>,
}

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        // OpenSSL takes a certificate by somebody of its own name for one that vouches for itself.
        let name = "the tests' authority";
        params.distinguished_name.push(DnType::CommonName, name);
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

    /// Makes a new certificate and key in place of the old ones; the certificate.
    pub fn renew(&self) -> CertificateDer<'static> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        // Python's OpenSSL is strict about it.
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path("cert.pem"), certificate.pem()).unwrap();
        fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The flags that make a server use it.
    pub fn flags(&self) -> [String; 2] {
        [
            format!("--tls-cert={}", self.path("cert.pem").display()),
            format!("--tls-key={}", self.path("key.pem").display()),
        ]
    }

    /// A client of all versions, whose connections share their tickets.
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

/// A client of its own making: rustls on tokio's sockets.
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

    /// Sends bytes and reads all that comes until close_notify.
    pub async fn exchange(&self, to: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = self.connect(to).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    }

    /// A GET of `path`; its answer.
    pub async fn get(&self, to: SocketAddr, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n");
        self.exchange(to, request.as_bytes()).await
    }
}

/// Everything until close_notify; an end without is a failure.
pub async fn rest(stream: &mut TlsStream<TcpStream>) -> String {
    use tokio::io::AsyncReadExt;
    let mut answer = Vec::new();
    soon("an answer", stream.read_to_end(&mut answer)).await.expect("close_notify");
    String::from_utf8_lossy(&answer).into_owned()
}
