//! The reloader with a source whose answers are valid, invalid, cut, endless or missing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::keys::{KeyCounts, KeyReloader, Keys, Watch};

const SET: &str = include_str!("../../../tests/keys/jwks.json");
/// The key of RFC 8037 appendix A.2, with a `kid`.
const OTHER: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"other",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Practically no waits: tests wait only for events.
const QUICK: Pace = Pace {
    lifetime_min: Duration::from_millis(5),
    lifetime_usual: Duration::from_millis(5),
    lifetime_max: Duration::from_millis(5),
    cooldown: Duration::ZERO,
    retry_min: Duration::from_millis(5),
    retry_max: Duration::from_millis(5),
};

/// How the source answers.
#[derive(Clone, Debug)]
enum Behaviour {
    Set(String),
    Status(u16),
    /// More than the limit, without a Content-Length.
    Endless,
    /// The connection closes in the middle of the body.
    Cut,
    /// The request is read and never answered.
    Silent,
    /// A redirect to another URL.
    Redirect(String),
}

/// A server on loopback whose behaviour can change.
struct Server {
    url: JwksUrl,
    behaviour: Arc<Mutex<Behaviour>>,
    /// Open requests, and the most at any time.
    open: Arc<AtomicUsize>,
    open_max: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Server {
    async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let server = Self {
            url: url.parse().unwrap(),
            behaviour: Arc::new(Mutex::new(behaviour)),
            open: Arc::default(),
            open_max: Arc::default(),
            requests: Arc::default(),
        };
        let (behaviour, open) = (Arc::clone(&server.behaviour), Arc::clone(&server.open));
        let (open_max, requests) = (Arc::clone(&server.open_max), Arc::clone(&server.requests));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let behaviour = behaviour.lock().unwrap().clone();
                let (open, open_max) = (Arc::clone(&open), Arc::clone(&open_max));
                requests.fetch_add(1, SeqCst);
                tokio::spawn(async move {
                    open_max.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
                    // The client may close the connection.
                    let _ = answer(stream, behaviour).await;
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
        server
    }

    fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }
}

async fn answer(mut stream: TcpStream, behaviour: Behaviour) -> std::io::Result<()> {
    let mut head = [0; 4096];
    let _ = stream.read(&mut head).await?;
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{more}\r\n");
    match behaviour {
        Behaviour::Set(text) => {
            // As a cache on the way would send it.
            stream.write_all(head(200, "Cache-Control: max-age=600\r\nAge: 250\r\n").as_bytes()).await?;
            stream.write_all(text.as_bytes()).await
        }
        Behaviour::Status(status) => stream.write_all(head(status, "Content-Length: 0\r\n").as_bytes()).await,
        Behaviour::Redirect(to) => {
            let more = format!("Content-Length: 0\r\nLocation: {to}\r\n");
            stream.write_all(head(302, &more).as_bytes()).await
        }
        Behaviour::Endless => {
            stream.write_all(head(200, "").as_bytes()).await?;
            loop {
                stream.write_all(&[b' '; 64 * 1024]).await?;
            }
        }
        Behaviour::Cut => {
            stream.write_all(head(200, "Content-Length: 1000\r\n").as_bytes()).await?;
            stream.write_all(b"{\"keys\":[").await
        }
        // Reads until the client closes.
        Behaviour::Silent => stream.read(&mut [0; 1]).await.map(|_| ()),
    }
}

async fn watched(server: &Server, pace: Pace) -> (Keys, Watch) {
    let reloader = KeyReloader::new(None, &[], vec![server.url.clone()]).unwrap().at_pace(pace);
    let keys = reloader.keys().clone();
    (keys, reloader.watch().await.unwrap())
}

/// Waits until the counters meet a condition.
async fn until(keys: &Keys, what: &str, is_met: impl Fn(KeyCounts) -> bool) {
    let wait = async {
        while !is_met(keys.counters.counts()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "{what}: {:?}", keys.counters.counts());
}

#[tokio::test]
async fn a_start_waits_for_the_first_set_and_later_sets_replace_it() {
    let server = Server::start(Behaviour::Set(SET.to_owned())).await;
    let (keys, _watch) = watched(&server, QUICK).await;
    let ring = keys.store.load_full();
    assert!(ring.named("p256").is_some(), "the start waited for the first fetch");
    assert!(ring.named("secret").is_none(), "a published secret is ignored");

    until(&keys, "fetched again", |counts| counts.fetches > 5).await;
    let same = keys.store.load_full();
    assert!(Arc::ptr_eq(&ring, &same), "an unchanged set keeps the ring");

    server.set(Behaviour::Set(OTHER.to_owned()));
    until(&keys, "changed", |counts| counts.swaps == 2).await;
    let ring = keys.store.load_full();
    assert!(ring.named("other").is_some(), "the new key is in use");
    assert!(ring.named("p256").is_none(), "the old key is not");
}

#[tokio::test]
async fn the_old_set_stays_while_its_source_fails() {
    let server = Server::start(Behaviour::Set(SET.to_owned())).await;
    let (keys, _watch) = watched(&server, QUICK).await;
    let ring = keys.store.load_full();
    for behaviour in [
        Behaviour::Status(500),
        Behaviour::Status(404),
        Behaviour::Status(204),
        Behaviour::Set("<html>".to_owned()),
        Behaviour::Set(String::new()),
        Behaviour::Set(r#"{"keys":[]}"#.to_owned()),
        Behaviour::Set(format!("{SET}{}", " ".repeat(JWKS_BYTES_MAX))),
        Behaviour::Endless,
        Behaviour::Cut,
    ] {
        let before = keys.counters.counts();
        server.set(behaviour.clone());
        let what = format!("{behaviour:?}").chars().take(40).collect::<String>();
        // Two failures: the first fetch may have started before the behaviour changed.
        until(&keys, &what, |counts| counts.fetches_failed >= before.fetches_failed + 2).await;
        assert!(Arc::ptr_eq(&ring, &keys.store.load_full()), "{what}");
        assert_eq!(keys.counters.counts().swaps, 1, "{what}");
    }
    server.set(Behaviour::Set(OTHER.to_owned()));
    until(&keys, "valid again", |counts| counts.swaps == 2).await;
}

#[tokio::test]
async fn many_requests_cause_one_fetch_at_a_time() {
    let server = Server::start(Behaviour::Silent).await;
    let reloader = KeyReloader::new(None, &[], vec![server.url.clone()]).unwrap();
    let trigger = reloader.keys().fetch_trigger.clone().unwrap();
    let watch = tokio::spawn(reloader.at_pace(QUICK).watch());
    let wait = async {
        while server.requests.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    for _ in 0..1_000 {
        trigger.request();
        tokio::task::yield_now().await;
    }
    assert_eq!(server.requests.load(SeqCst), 1, "there is one fetch at a time");
    watch.abort();
}

#[tokio::test]
async fn a_requested_fetch_waits_for_the_cooldown() {
    let pace = Pace {
        cooldown: Duration::from_millis(50),
        lifetime_min: Duration::from_secs(3600),
        lifetime_max: Duration::from_secs(3600),
        ..QUICK
    };
    let server = Server::start(Behaviour::Set(SET.to_owned())).await;
    let started = Instant::now();
    let (keys, _watch) = watched(&server, pace).await;
    server.set(Behaviour::Set(OTHER.to_owned()));
    keys.fetch_trigger.as_ref().unwrap().request();
    until(&keys, "the requested fetch", |counts| counts.fetches == 2).await;
    assert!(started.elapsed() >= pace.cooldown);
    assert!(keys.store.load().named("other").is_some());
    assert_eq!(server.open_max.load(SeqCst), 1);
}

#[tokio::test]
async fn redirects_are_followed_only_to_protected_urls() {
    let end = Server::start(Behaviour::Set(SET.to_owned())).await;
    let end_url = end.url.to_string();
    let moved = Server::start(Behaviour::Redirect(end_url.clone())).await;
    let moved_twice = Server::start(Behaviour::Redirect(moved.url.to_string())).await;
    let moved_thrice = Server::start(Behaviour::Redirect(moved_twice.url.to_string())).await;
    let redirect_to = |to: &str| Server::start(Behaviour::Redirect(to.to_owned()));
    for (source, problem, why) in [
        (&end, None, "no redirect"),
        (&moved, None, "one redirect"),
        (&moved_twice, None, "two redirects"),
        (&moved_thrice, Some("too many redirects"), "three redirects"),
        (&redirect_to("http://192.0.2.1/keys").await, Some("not protected"), "an unprotected network"),
        (&redirect_to("ftp://127.0.0.1/keys").await, Some("not protected"), "an unknown scheme"),
    ] {
        let fetched = Fetcher::new(&source.url).unwrap().fetch().await;
        match (fetched, problem) {
            (Ok(fetched), None) => {
                assert_eq!(fetched.text, SET, "{why}");
                assert_eq!(fetched.lifetime, Some(Duration::from_secs(350)), "{why}");
            }
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{why}: {error}"),
            (fetched, _) => panic!("{why}: {fetched:?}"),
        }
    }
}

#[tokio::test]
async fn keys_with_a_duplicate_kid_are_used_once_the_other_key_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, OTHER).unwrap();
    let server = Server::start(Behaviour::Set(OTHER.to_owned())).await;
    let reloader = KeyReloader::new(None, std::slice::from_ref(&path), vec![server.url.clone()]);
    let reloader = reloader.unwrap().at_pace(QUICK);
    let keys = reloader.keys().clone();
    let _watch = reloader.watch().await.unwrap();
    let counts = keys.counters.counts();
    assert_eq!((counts.swaps, counts.keys), (0, 1), "two keys of one name");

    std::fs::write(&path, OTHER.replace("other", "mine")).unwrap();
    until(&keys, "both", |counts| counts.keys == 2).await;
    let ring = keys.store.load();
    assert!(ring.named("mine").is_some() && ring.named("other").is_some());
}
