//! `wss://`: the engine under TLS.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use gatecrash::ground::outcome::{Failure, FailureKind, Outcome, Phase};
use gatecrash::ground::recorder::Metric;
use gatecrash::plan::model::Model;
use gatecrash::speak::target::Target;
use gatecrash::spec::{LoadSpec, TlsPlan};
use reactor::{CertificateFault, ClientTls};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::engine_driver::{load, start, supply};
use crate::engine_servers::{WebSocket, read_head, serve};
use crate::run::program::run;

/// A WebSocket server under TLS, and its certificate.
fn tls_server() -> (SocketAddr, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    (serve_tls(&made.cert, &made.signing_key), certificate)
}

/// The same with a certificate that is given.
fn serve_tls(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> SocketAddr {
    let config = server_config(certificate, key);
    serve(move |stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        if let Some(mut socket) = WebSocket::accept(StreamOwned::new(connection, stream)) {
            socket.receive_all();
        }
    })
}

fn server_config(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Arc::new(config)
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
        tls: Some(ClientTls { config: Arc::new(config), name: ServerName::try_from("localhost").unwrap() }),
        sources: Default::default(),
    }
}

#[test]
fn sockets_are_established_over_tls() {
    let (addr, certificate) = tls_server();
    let measured = start(load(10), trusting(addr, &[certificate]), supply()).finish();
    measured.assert_outcomes(&[(Outcome::Established, 10)], "trusted");
    for phase in [Phase::Connect, Phase::Tls, Phase::Upgrade] {
        let held = measured.recorder.latency(Metric::Phase(phase), Outcome::Established);
        assert_eq!(held.count(), 10, "{}", phase.as_str());
    }
}

#[test]
fn untrusted_certificate_fails_in_the_tls_phase() {
    let (addr, _) = tls_server();
    let (_, another) = tls_server();
    let plain = serve(|mut stream| {
        let _ = stream.write_all(b"220 mail\r\n");
        // Read to the end, lest a reset overtake the words.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let stranger = FailureKind::Certificate(CertificateFault::UnknownIssuer);
    for (addr, kind, why) in [(addr, stranger, "another's certificate"), (plain, FailureKind::Tls, "no TLS")] {
        let target = trusting(addr, std::slice::from_ref(&another));
        let measured = start(load(3), target, supply()).finish();
        measured.assert_outcomes(&[(Outcome::Failed, 3)], why);
        let failure = Failure { phase: Phase::Tls, kind };
        assert_eq!(measured.failures(), [(failure, 3)], "{why}");
    }
}

#[test]
fn tls_sessions_are_resumed_if_enabled() {
    for (resumption, why) in [(false, "each comes for the first time"), (true, "they come back")] {
        let (addr, certificate) = tls_server();
        let load = LoadSpec {
            model: Model::Closed { concurrency: 1 },
            workers: 1,
            tls: TlsPlan { resumption, ..TlsPlan::default() },
            ..load(10)
        };
        let measured = start(load, trusting(addr, &[certificate]), supply()).finish();
        measured.assert_outcomes(&[(Outcome::Established, 10)], why);
        let counters = measured.recorder.counters;
        // The first has nothing to take up; every later one has the tickets of those before it.
        let resumed = if resumption { 9 } else { 0 };
        assert_eq!((counters.tls_handshakes, counters.tls_resumed), (10, resumed), "{why}");
    }
}

/// A certificate for these names, valid between these years.
fn certificate(names: &[&str], years: [i32; 2]) -> (rcgen::Certificate, rcgen::KeyPair) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    [params.not_before, params.not_after] = years.map(|year| rcgen::date_time_ymd(year, 1, 1));
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap(), key)
}

#[tokio::test]
async fn certificate_faults_are_reported_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let plain = serve(|mut stream| {
        let _ = stream.write_all(b"220 mail\r\n");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    for (names, years, trusted, words) in [
        (&["127.0.0.1"][..], [2000, 2001], true, &["it has expired", "renew it"][..]),
        (&["127.0.0.1"], [4000, 4001], true, &["its time has not begun", "clock"]),
        (&["example.com"], [2000, 4000], true, &["made out to another name", "example.com"]),
        (&["127.0.0.1"], [2000, 4000], false, &["signed by no authority", "--cacert"]),
        (&[], [2000, 4000], true, &["does not speak TLS", "ws://"]),
    ] {
        let (certificate, key) = certificate(names, years);
        let addr = match names {
            [] => plain,
            _ => serve_tls(&certificate, &key),
        };
        let (another, _) = self::certificate(&["127.0.0.1"], [2000, 4000]);
        let path = folder.path().join("authority.pem");
        let authority = if trusted { &certificate } else { &another };
        std::fs::write(&path, authority.pem()).unwrap();
        let asked = format!("--target wss://{addr}/ --token-source file:tokens -c 1");
        let tokens = folder.path().join("tokens");
        std::fs::write(&tokens, "a.b.c").unwrap();
        let asked = asked.replace("file:tokens", &format!("file:{}", tokens.display()));
        let ended = run(&asked).flag("--cacert", &path).end().await;
        ended.exits_with(104, words[0]);
        for word in words {
            assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
        }
    }
}

/// A service under TLS that hands out a token to anybody.
fn token_service(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> SocketAddr {
    let config = server_config(certificate, key);
    serve(move |stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        while !read_head(&mut stream).is_empty() {
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\"a.b.c\"";
            let _ = stream.write_all(answer.as_bytes());
        }
    })
}

#[tokio::test]
async fn cacert_is_trusted_for_logins() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(&["127.0.0.1"], [2000, 4000]);
    let path = folder.path().join("authority.pem");
    std::fs::write(&path, certificate.pem()).unwrap();
    let sockets = serve_tls(&certificate, &key);
    let tokens = token_service(&certificate, &key);
    let asked =
        format!("--target wss://{sockets}/ --token-url https://{tokens}/ --user ann:secret -c 3 --concurrency 1");
    let ended = run(&asked).flag("--cacert", &path).end().await;
    ended.exits_with(0, "one authority for both");
    let result = ended.counts(&[(Outcome::Established, 3)], "trusted");
    assert_eq!(result.tokens.requests, 3);
}
