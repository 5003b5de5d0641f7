//! What may be wrong with the two files, as a table.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

struct Made {
    cert: String,
    key: String,
}

fn make(change: impl FnOnce(&mut CertificateParams)) -> Made {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    Made { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// `fault` is a part of the error's text; `None`: the two are good.
fn check(cert: &str, key: &str, fault: Option<&str>, why: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (cert_path, key_path) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert_path, cert).unwrap();
    fs::write(&key_path, key).unwrap();
    match (Identity::load(&cert_path, &key_path), fault) {
        (Ok(_), None) => {}
        (Err(error), Some(fault)) => {
            let error = error.to_string();
            assert!(error.contains(fault), "{why}: {error}");
            let line = key.lines().nth(1).unwrap_or("no such line");
            assert!(!error.contains(line), "{why}: the key is shown: {error}");
        }
        (Ok(_), Some(_)) => panic!("{why}: they were taken"),
        (Err(error), None) => panic!("{why}: {error}"),
    }
}

#[test]
fn certificate_and_key_belong_together() {
    let good = make(|_| ());
    let other = make(|_| ());
    let expired = make(|params| params.not_after = date_time_ymd(2001, 1, 1));
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut = &good.key[..good.key.len() / 2];
    for (cert, key, fault, why) in [
        (&*good.cert, &*good.key, None, "the two"),
        (&(good.cert.clone() + &other.cert), &good.key, None, "a chain, its own first"),
        (
            &(other.cert.clone() + &good.cert),
            &good.key,
            Some("not the key of the first certificate"),
            "a chain the wrong way round",
        ),
        (&good.cert, &other.key, Some("not the key of the first certificate"), "another's key"),
        (&expired.cert, &expired.key, None, "expired, with a warning"),
        ("", &good.key, Some("no certificate in it"), "an empty file"),
        (&good.key, &good.cert, Some("--tls-cert"), "the files in each other's place"),
        (&good.cert, &good.cert, Some("no private key in it"), "a certificate for a key"),
        (&good.cert, &encrypted, Some("decrypt it first"), "encrypted"),
        (&good.cert, cut, Some("--tls-key"), "cut off"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &good.key,
            Some("its first certificate"),
            "no certificate inside",
        ),
    ] {
        check(cert, key, fault, why);
    }
}

#[test]
fn a_bad_file_leaves_the_old_certificate_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let (old, new) = (make(|_| ()), make(|_| ()));
    fs::write(&cert, &old.cert).unwrap();
    fs::write(&key, &old.key).unwrap();
    let identity = Identity::load(&cert, &key).unwrap();
    let shown = || identity.current.load().cert[0].clone();
    let first = shown();
    fs::write(&cert, &new.cert).unwrap();
    let error = identity.reload().unwrap_err().to_string();
    assert!(error.contains("belong together"), "half a change: {error}");
    assert_eq!(shown(), first);
    fs::write(&key, &new.key).unwrap();
    identity.reload().unwrap();
    assert_ne!(shown(), first);
    fs::remove_file(&key).unwrap();
    assert!(identity.reload().unwrap_err().to_string().contains("--tls-key"));
}
