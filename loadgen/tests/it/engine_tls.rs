//! `wss://`: the engine under TLS.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use gatecrash::outcome::{Failure, FailureKind, Outcome, Phase};
use gatecrash::recorder::Metric;
use gatecrash::target::Target;
use reactor::ClientTls;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::engine_driver::{scenario, start, supply};
use crate::engine_servers::{WebSocket, serve};

/// A WebSocket server under TLS, and its certificate.
fn tls_server() -> (SocketAddr, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let addr = serve(move |stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        if let Some(mut socket) = WebSocket::accept(StreamOwned::new(connection, stream)) {
            socket.hear_all();
        }
    });
    (addr, certificate)
}

/// A target that trusts these certificates.
fn trusting(addr: SocketAddr, certificates: &[CertificateDer<'static>]) -> Target {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Target {
        addrs: vec![addr],
        host: "localhost".into(),
        tls: Some(ClientTls {
            config: Arc::new(config),
            name: ServerName::try_from("localhost").unwrap(),
        }),
        sources: Default::default(),
    }
}

#[test]
fn sockets_are_let_in_under_tls() {
    let (addr, certificate) = tls_server();
    let seen = start(scenario(10), trusting(addr, &[certificate]), supply()).finish();
    seen.assert_outcomes(&[(Outcome::Established, 10)], "trusted");
    for phase in [Phase::Connect, Phase::Tls, Phase::Upgrade] {
        let held = seen
            .recorder
            .latency(Metric::Phase(phase), Outcome::Established);
        assert_eq!(held.count(), 10, "{}", phase.as_str());
    }
}

#[test]
fn what_tls_does_not_trust_fails_in_its_phase() {
    let (addr, _) = tls_server();
    let (_, another) = tls_server();
    let plain = serve(|mut stream| {
        let _ = stream.write_all(b"220 mail\r\n");
        // Read to the end, lest a reset overtake the words.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    for (addr, why) in [(addr, "another's certificate"), (plain, "no TLS")] {
        let target = trusting(addr, std::slice::from_ref(&another));
        let seen = start(scenario(3), target, supply()).finish();
        seen.assert_outcomes(&[(Outcome::Failed, 3)], why);
        let failure = Failure {
            phase: Phase::Tls,
            kind: FailureKind::Tls,
        };
        assert_eq!(seen.failures(), [(failure, 3)], "{why}");
    }
}
