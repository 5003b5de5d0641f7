//! Key rotation under load: every verdict follows the keys in use.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use base64_simd::URL_SAFE_NO_PAD;

use super::{
    clients::Client,
    servers::{TestProcess, TestServer, soon},
    tokens::sign_by,
};

const OLD: &[u8] = b"the old secret of at least thirty-two bytes";
const NEW: &[u8] = b"the new secret of at least thirty-two bytes";

const SWAPS: &str = "gatekeeper_key_ring_swaps_total";

/// The key rings in order; during a change either of two may be in use.
const RINGS: [&[&str]; 4] = [&["old"], &["old", "new"], &["new"], &["old"]];

/// Writes a key set with these keys and renames it into place.
fn write(path: &Path, kids: &[&str]) {
    let keys = kids.iter().map(|kid| {
        let secret = if *kid == "old" { OLD } else { NEW };
        let k = URL_SAFE_NO_PAD.encode_to_string(secret);
        format!(r#"{{"kty":"oct","kid":"{kid}","k":"{k}"}}"#)
    });
    let set = format!(r#"{{"keys":[{}]}}"#, keys.collect::<Vec<_>>().join(","));
    let beside = path.with_extension("new");
    fs::write(&beside, set).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Whether a token of `kid` must be accepted between two moments; `None` if both verdicts are correct. A moment is twice
/// the number of the ring in use, plus one while the next may be in use already.
fn verdict(kid: &str, from: usize, to: usize) -> Option<bool> {
    let rings = &RINGS[from / 2..=(to.div_ceil(2)).min(RINGS.len() - 1)];
    let has = |ring: &&[&str]| ring.contains(&kid);
    match (rings.iter().all(has), rings.iter().any(has)) {
        (true, _) => Some(true),
        (_, false) => Some(false),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_under_load_refuses_no_valid_token_and_accepts_no_invalid_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    write(&path, RINGS[0]);
    let flag = format!("--keys={}", path.display());
    let server = TestServer::start(&[&flag]).await;
    let moment = Arc::new(AtomicUsize::new(0));

    let workers: Vec<_> = ["old", "new", "old", "new"]
        .into_iter()
        .map(|kid| {
            let (gate, moment) = (server.gate, Arc::clone(&moment));
            tokio::spawn(async move {
                let token = sign_by(kid, if kid == "old" { OLD } else { NEW });
                let path = format!("/ws?token={token}");
                let (mut accepted, mut refused) = (0, 0);
                loop {
                    let from = moment.load(SeqCst);
                    let is_in = Client::open(gate, &path, &[]).await.is_ok();
                    let to = moment.load(SeqCst);
                    if let Some(must) = verdict(kid, from, to) {
                        assert_eq!(is_in, must, "{kid}, between {from} and {to}");
                        accepted += usize::from(is_in);
                        refused += usize::from(!is_in);
                    }
                    if to == 2 * (RINGS.len() - 1) {
                        return (accepted, refused);
                    }
                }
            })
        })
        .collect();
    for (ring, keys) in RINGS.into_iter().enumerate().skip(1) {
        // 300 handshakes under each ring.
        let before = server.metric("gatekeeper_connections_accepted_total");
        soon("handshakes", async {
            while server.metric("gatekeeper_connections_accepted_total") < before + 300 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        moment.store(2 * ring - 1, SeqCst);
        write(&path, keys);
        server.metric_becomes(SWAPS, ring as u64).await;
        moment.store(2 * ring, SeqCst);
    }
    let (mut accepted, mut refused) = (0, 0);
    for worker in workers {
        let counts = soon("a worker", worker).await.unwrap();
        accepted += counts.0;
        refused += counts.1;
    }
    println!("{accepted} accepted, {refused} refused, 0 wrongly");
    assert!(accepted > 300 && refused > 100, "{accepted}, {refused}");
}

#[tokio::test]
async fn an_invalid_key_file_leaves_the_old_keys_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    write(&path, &["old"]);
    let flag = format!("--keys={}", path.display());
    let server = TestServer::start(&[&flag]).await;
    let failed = r#"gatekeeper_key_file_changes_total{result="failed"}"#;

    fs::write(&path, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#).unwrap();
    server.metric_becomes(failed, 1).await;
    Client::raw(server.gate, &sign_by("old", OLD)).await;

    fs::remove_file(&path).unwrap();
    server.metric_becomes(failed, 2).await;
    Client::raw(server.gate, &sign_by("old", OLD)).await;
    assert_eq!(server.metric("gatekeeper_keys"), 2, "and the secret");
    assert_eq!(server.metric(SWAPS), 0);

    write(&path, &["new"]);
    server.metric_becomes(SWAPS, 1).await;
    Client::raw(server.gate, &sign_by("new", NEW)).await;
}

#[test]
fn sighup_makes_a_process_read_its_keys_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    write(&path, &["old"]);
    let keys = format!("--keys={}", path.display());
    let flags = ["--role=gate", "--listen=127.0.0.1:0", &keys];
    let mut process = TestProcess::start(&flags);
    fs::write(&path, "half a set").unwrap();
    let unusable = "the old keys stay in use";
    process.logs(unusable);
    // An invalid file is logged once, and again on SIGHUP.
    process.signal(rustix::process::Signal::HUP);
    process.logs("SIGHUP: reading the keys again");
    process.logs(unusable);
    process.signal(rustix::process::Signal::TERM);
    let (status, _, log) = process.wait();
    assert!(status.success() && log.contains("stopped"), "{log}");
}
