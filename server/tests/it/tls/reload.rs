//! SIGHUP: new connections use the new certificate; an invalid one leaves the old one in use.

use std::{
    fs::{self, File},
    io::Write,
    process::Command,
};

use rustix::process::{Signal, kill_process};
use rustls::pki_types::CertificateDer;

use super::{
    super::{
        servers::{TestProcess, addr, gatekeeper},
        tokens::SECRET,
    },
    Pki, TlsClient, echo, raw,
};

async fn shown(client: &TlsClient, to: std::net::SocketAddr) -> CertificateDer<'static> {
    let stream = client.connect(to).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

#[tokio::test]
async fn sighup_replaces_the_certificate_only_with_a_valid_one() {
    let pki = Pki::create();
    let first = pki.renew();
    let [cert, key] = pki.flags();
    let flags = ["--listen=127.0.0.1:0", "--frontend-listen=127.0.0.1:0", "--secret", SECRET, &cert, &key];
    let mut process = TestProcess::start(&flags);
    let places = ["gate", "frontend"].map(|name| addr(&process.ready[name]));
    // A client that resumes is shown no certificate.
    let new_client = || pki.client();
    let mut socket = raw(&new_client(), places[0]).await;
    for place in places {
        assert_eq!(shown(&new_client(), place).await, first);
    }

    let second = pki.renew();
    process.signal(Signal::HUP);
    process.logs("the certificate was read again");
    for place in places {
        assert_eq!(shown(&new_client(), place).await, second);
    }

    fs::write(pki.path("key.pem"), "no key").unwrap();
    process.signal(Signal::HUP);
    process.logs("the old certificate stays in use");
    for place in places {
        assert_eq!(shown(&new_client(), place).await, second);
    }
    echo(&mut socket, "open connections are kept").await;
}

#[test]
fn a_sighup_during_the_start_reloads_the_certificate_after_it() {
    let pki = Pki::create();
    let [cert, key] = pki.flags();
    let pipe = pki.path("secret");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for role in ["--role=gate", "--role=both"] {
        let mut command = gatekeeper();
        let listens = ["--listen=127.0.0.1:0", "--frontend-listen=127.0.0.1:0"];
        let secret = format!("--secret=file:{}", pipe.display());
        command.args(listens).args([role, &secret, &cert, &key]);
        let mut process = TestProcess::spawn_while(command, |pid| {
            // The secret is read after the certificate: its pipe opens between the two.
            let mut pipe = File::options().write(true).open(&pipe).unwrap();
            kill_process(pid, Signal::HUP).unwrap();
            pipe.write_all(SECRET.as_bytes()).unwrap();
        });
        process.logs("the certificate was read again");
    }
}

#[test]
fn invalid_certificate_flags_are_reported_at_the_start() {
    let pki = Pki::create();
    let other = Pki::create();
    let named = |name: &str| pki.path(name).display().to_string();
    let (cert, key) = (named("cert.pem"), named("key.pem"));
    let others = other.path("key.pem").display().to_string();
    let nowhere = named("none.pem");
    for (flags, code, fault, why) in [
        (vec!["--tls-cert", &*cert], 2, "--tls-key", "a certificate without its key"),
        (vec!["--tls-key", &key], 2, "--tls-cert", "a key without its certificate"),
        (vec!["--tls-cert", &cert, "--tls-key", &nowhere], 104, "No such file", "no key there"),
        (vec!["--tls-cert", &nowhere, "--tls-key", &key], 104, "--tls-cert", "no certificate there"),
        (vec!["--tls-cert", &cert, "--tls-key", &others], 104, "belong together", "another's key"),
        (
            vec![
                "--tls-cert",
                &cert,
                "--tls-key",
                &key,
                "--processes=2",
                "--listen=192.0.2.1:1",
                "--role=gate",
                "--secret=short",
            ],
            104,
            "has 5 bytes",
            "a short secret, with TLS",
        ),
    ] {
        let output = gatekeeper().args(&flags).output().unwrap();
        let received = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{why}: {received}");
        assert!(received.contains(fault), "{why}: {received}");
    }
}
