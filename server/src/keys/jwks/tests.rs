//! A keeper that follows a source of every temper.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::keys::{Keeper, KeyCounts, Keys, Watch};

const SET: &str = include_str!("../../../tests/keys/jwks.json");
/// RFC 8037 appendix A.2, under a name.
const OTHER: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"other",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// What no test should take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything at once, so that tests wait for events alone.
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
enum Temper {
    Says(String),
    Status(u16),
    /// More than fits, with no length told before.
    Endless,
    /// It ends in the middle.
    Cut,
    /// It takes the request and says nothing.
    Silent,
    /// To another address.
    Leads(String),
}

/// A server on loopback whose temper can be changed.
struct Server {
    url: JwksUrl,
    temper: Arc<Mutex<Temper>>,
    /// Requests under way, and the most that ever were.
    open: Arc<AtomicUsize>,
    open_max: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    async fn start(temper: Temper) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let server = Self {
            url: url.parse().unwrap(),
            temper: Arc::new(Mutex::new(temper)),
            open: Arc::default(),
            open_max: Arc::default(),
            asked: Arc::default(),
        };
        let (temper, open) = (Arc::clone(&server.temper), Arc::clone(&server.open));
        let (open_max, asked) = (Arc::clone(&server.open_max), Arc::clone(&server.asked));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let temper = temper.lock().unwrap().clone();
                let (open, open_max) = (Arc::clone(&open), Arc::clone(&open_max));
                asked.fetch_add(1, SeqCst);
                tokio::spawn(async move {
                    open_max.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
                    // A client that hangs up is no fault here.
                    let _ = answer(stream, temper).await;
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
        server
    }

    fn becomes(&self, temper: Temper) {
        *self.temper.lock().unwrap() = temper;
    }
}

async fn answer(mut stream: TcpStream, temper: Temper) -> std::io::Result<()> {
    let mut head = [0; 4096];
    let _ = stream.read(&mut head).await?;
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{more}\r\n");
    match temper {
        Temper::Says(text) => {
            // As from a cache on the way.
            let more = "Cache-Control: max-age=600\r\nAge: 250\r\n";
            stream.write_all(head(200, more).as_bytes()).await?;
            stream.write_all(text.as_bytes()).await
        }
        Temper::Status(status) => {
            let more = "Content-Length: 0\r\n";
            stream.write_all(head(status, more).as_bytes()).await
        }
        Temper::Leads(to) => {
            let more = format!("Content-Length: 0\r\nLocation: {to}\r\n");
            stream.write_all(head(302, &more).as_bytes()).await
        }
        Temper::Endless => {
            stream.write_all(head(200, "").as_bytes()).await?;
            loop {
                stream.write_all(&[b' '; 64 * 1024]).await?;
            }
        }
        Temper::Cut => {
            let more = "Content-Length: 1000\r\n";
            stream.write_all(head(200, more).as_bytes()).await?;
            stream.write_all(b"{\"keys\":[").await
        }
        Temper::Silent => {
            // Until the client has enough.
            stream.read(&mut [0; 1]).await.map(|_| ())
        }
    }
}

async fn watched(server: &Server, pace: Pace) -> (Keys, Watch) {
    let keeper = Keeper::new(None, &[], vec![server.url.clone()]).unwrap();
    let keeper = keeper.at_pace(pace);
    let keys = keeper.keys().clone();
    (keys, keeper.watch().await.unwrap())
}

/// Waits until the counters are as they must become.
async fn until(keys: &Keys, what: &str, is_so: impl Fn(KeyCounts) -> bool) {
    let wait = async {
        while !is_so(keys.tally.counts()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "{what}: {:?}", keys.tally.counts());
}

#[tokio::test]
async fn a_set_is_there_when_the_watch_begins_and_follows_its_source() {
    let server = Server::start(Temper::Says(SET.to_owned())).await;
    let (keys, _watch) = watched(&server, QUICK).await;
    let ring = keys.store.load_full();
    assert!(ring.named("p256").is_some(), "the first fetch was waited for");
    assert!(ring.named("secret").is_none(), "a published secret is none");

    until(&keys, "fetched again", |counts| counts.fetches > 5).await;
    let same = keys.store.load_full();
    assert!(Arc::ptr_eq(&ring, &same), "what did not change is kept");

    server.becomes(Temper::Says(OTHER.to_owned()));
    until(&keys, "changed", |counts| counts.swaps == 2).await;
    let ring = keys.store.load_full();
    assert!(ring.named("other").is_some(), "a new key is there");
    assert!(ring.named("p256").is_none(), "an old one is gone");
}

#[tokio::test]
async fn the_old_set_stays_while_its_source_fails() {
    let server = Server::start(Temper::Says(SET.to_owned())).await;
    let (keys, _watch) = watched(&server, QUICK).await;
    let ring = keys.store.load_full();
    for temper in [
        Temper::Status(500),
        Temper::Status(404),
        Temper::Status(204),
        Temper::Says("<html>".to_owned()),
        Temper::Says(String::new()),
        Temper::Says(r#"{"keys":[]}"#.to_owned()),
        Temper::Says(format!("{SET}{}", " ".repeat(JWKS_BYTES_MAX))),
        Temper::Endless,
        Temper::Cut,
    ] {
        let before = keys.tally.counts();
        server.becomes(temper.clone());
        let what = format!("{temper:?}").chars().take(40).collect::<String>();
        // Two of them: the first may have begun before the temper changed.
        until(&keys, &what, |counts| counts.fetches_failed >= before.fetches_failed + 2).await;
        assert!(Arc::ptr_eq(&ring, &keys.store.load_full()), "{what}");
        assert_eq!(keys.tally.counts().swaps, 1, "{what}");
    }
    server.becomes(Temper::Says(OTHER.to_owned()));
    until(&keys, "well again", |counts| counts.swaps == 2).await;
}

#[tokio::test]
async fn a_source_is_asked_once_at_a_time_however_many_want_something() {
    let server = Server::start(Temper::Silent).await;
    let keeper = Keeper::new(None, &[], vec![server.url.clone()]).unwrap();
    let wanted = keeper.keys().wanted.clone().unwrap();
    let watch = tokio::spawn(keeper.at_pace(QUICK).watch());
    let wait = async {
        while server.asked.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    for _ in 0..1_000 {
        wanted.ask();
        tokio::task::yield_now().await;
    }
    assert_eq!(server.asked.load(SeqCst), 1, "one fetch under way is enough");
    watch.abort();
}

#[tokio::test]
async fn what_tokens_want_is_fetched_after_the_cooldown() {
    let pace = Pace {
        cooldown: Duration::from_millis(50),
        lifetime_min: Duration::from_secs(3600),
        lifetime_max: Duration::from_secs(3600),
        ..QUICK
    };
    let server = Server::start(Temper::Says(SET.to_owned())).await;
    let begun = Instant::now();
    let (keys, _watch) = watched(&server, pace).await;
    server.becomes(Temper::Says(OTHER.to_owned()));
    keys.wanted.as_ref().unwrap().ask();
    until(&keys, "asked for", |counts| counts.fetches == 2).await;
    assert!(begun.elapsed() >= pace.cooldown);
    assert!(keys.store.load().named("other").is_some());
    assert_eq!(server.open_max.load(SeqCst), 1);
}

#[tokio::test]
async fn a_source_may_move_but_not_to_where_its_set_could_be_changed() {
    let end = Server::start(Temper::Says(SET.to_owned())).await;
    let end_url = end.url.to_string();
    let moved = Server::start(Temper::Leads(end_url.clone())).await;
    let moved_twice = Server::start(Temper::Leads(moved.url.to_string())).await;
    let moved_thrice = Server::start(Temper::Leads(moved_twice.url.to_string())).await;
    let astray = |to: &str| Server::start(Temper::Leads(to.to_owned()));
    for (source, problem, why) in [
        (&end, None, "where it always was"),
        (&moved, None, "elsewhere on this machine"),
        (&moved_twice, None, "by way of another"),
        (&moved_thrice, Some("from one address"), "by way of too many"),
        (&astray("http://192.0.2.1/keys").await, Some("not protected"), "over a network"),
        (&astray("ftp://127.0.0.1/keys").await, Some("not protected"), "by no way that is known"),
    ] {
        let fetched = Fetcher::new(&source.url).unwrap().fetch().await;
        match (fetched, problem) {
            (Ok(fetched), None) => {
                assert_eq!(fetched.text, SET, "{why}");
                assert_eq!(fetched.lifetime, Some(Duration::from_secs(350)), "{why}");
            }
            (Err(error), Some(part)) => {
                assert!(error.to_string().contains(part), "{why}: {error}");
            }
            (fetched, _) => panic!("{why}: {fetched:?}"),
        }
    }
}

#[tokio::test]
async fn keys_that_do_not_go_with_others_wait_until_those_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, OTHER).unwrap();
    let server = Server::start(Temper::Says(OTHER.to_owned())).await;
    let keeper = Keeper::new(None, std::slice::from_ref(&path), vec![server.url.clone()]);
    let keeper = keeper.unwrap().at_pace(QUICK);
    let keys = keeper.keys().clone();
    let _watch = keeper.watch().await.unwrap();
    let counts = keys.tally.counts();
    assert_eq!((counts.swaps, counts.keys), (0, 1), "two keys of one name");

    std::fs::write(&path, OTHER.replace("other", "mine")).unwrap();
    until(&keys, "both", |counts| counts.keys == 2).await;
    let ring = keys.store.load();
    assert!(ring.named("mine").is_some() && ring.named("other").is_some());
}
