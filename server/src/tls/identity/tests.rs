//! Valid and invalid pairs of certificate and key.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

struct TestIdentity {
    cert: String,
    key: String,
}

fn make(change: impl FnOnce(&mut CertificateParams)) -> TestIdentity {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    TestIdentity { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// Loads the two files. `fault` is a part of the expected error text; `None` if the files are valid.
fn check(cert: &str, key: &str, fault: Option<&str>, why: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (cert_path, key_path) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert_path, cert).unwrap();
    fs::write(&key_path, key).unwrap();
    match (Identity::load(&cert_path, &key_path, UnixTime::now()), fault) {
        (Ok(_), None) => {}
        (Err(error), Some(fault)) => {
            let error = error.to_string();
            assert!(error.contains(fault), "{why}: {error}");
            let line = key.lines().nth(1).unwrap_or("no such line");
            assert!(!error.contains(line), "{why}: the key is shown: {error}");
        }
        (Ok(_), Some(_)) => panic!("{why}: the files were accepted"),
        (Err(error), None) => panic!("{why}: {error}"),
    }
}

#[test]
fn certificate_and_key_must_belong_together() {
    const INVALID: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let good = make(|_| ());
    let other = make(|_| ());
    let expired = make(|params| params.not_after = date_time_ymd(2001, 1, 1));
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut = &good.key[..good.key.len() / 2];
    for (cert, key, fault, why) in [
        (&*good.cert, &*good.key, None, "a certificate and its key"),
        (&(good.cert.clone() + &other.cert), &good.key, None, "a chain that begins with the server's own"),
        (&(other.cert.clone() + &good.cert), &good.key, Some("not the key of the first"), "a chain in the wrong order"),
        (&good.cert, &other.key, Some("not the key of the first certificate"), "another key"),
        (&expired.cert, &expired.key, None, "expired, with a warning"),
        ("", &good.key, Some("has no certificate"), "an empty file"),
        (&good.key, &good.cert, Some("--tls-cert"), "the two files swapped"),
        (&good.cert, &good.cert, Some("has no private key"), "a certificate in place of the key"),
        (&good.cert, &encrypted, Some("decrypt it first"), "encrypted"),
        (&good.cert, cut, Some("--tls-key"), "cut off"),
        (INVALID, &good.key, Some("its first certificate"), "a PEM block that is not a certificate"),
    ] {
        check(cert, key, fault, why);
    }
}

#[test]
fn an_invalid_file_leaves_the_old_certificate_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let (old, new) = (make(|_| ()), make(|_| ()));
    fs::write(&cert, &old.cert).unwrap();
    fs::write(&key, &old.key).unwrap();
    let identity = Identity::load(&cert, &key, UnixTime::now()).unwrap();
    let shown = || identity.current.load().cert[0].clone();
    let first = shown();
    fs::write(&cert, &new.cert).unwrap();
    let error = identity.reload(UnixTime::now()).unwrap_err().to_string();
    assert!(error.contains("belong together"), "only the certificate changed: {error}");
    assert_eq!(shown(), first);
    fs::write(&key, &new.key).unwrap();
    identity.reload(UnixTime::now()).unwrap();
    assert_ne!(shown(), first);
    fs::remove_file(&key).unwrap();
    assert!(identity.reload(UnixTime::now()).unwrap_err().to_string().contains("--tls-key"));
}
