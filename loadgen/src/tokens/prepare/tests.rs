//! The queue of token requests and what answers it, without any socket of the load.

use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::spec::{Machine, RunArgs, RunSpec, ServerSpec};
use crate::tokens::requests::QueueFull;
use crate::tokens::ticket::Ticket;

const SECRET: &str = "a secret of more than thirty-two bytes";

fn resolve(args: RunArgs) -> (LoadSpec, TokenPlan) {
    let machine = Machine { cpus: vec![0, 1], now: SystemTime::UNIX_EPOCH };
    let spec = RunSpec::resolve(args, &machine).unwrap();
    match spec.server {
        ServerSpec::Named { tokens, .. } => (spec.load, tokens),
        ServerSpec::Embedded { .. } => panic!("a target was named"),
    }
}

async fn prepare(run: &(LoadSpec, TokenPlan)) -> Result<Prepared, TokenError> {
    super::prepare(&run.0, &run.1).await
}

fn minting(per: TokenPer) -> (LoadSpec, TokenPlan) {
    resolve(RunArgs {
        target: "http://127.0.0.1:1".parse().ok(),
        token_source: "mint".parse().ok(),
        secret: SECRET.parse().ok(),
        token_per: Some(per),
        user: vec!["ann:x".parse().unwrap(), "bob:x".parse().unwrap()],
        ..RunArgs::default()
    })
}

fn connect(requests: &Requests, index: usize) -> Receiver<Answer> {
    let (sender, receiver) = channel();
    requests.connect_shard(index, move |answer| {
        let _no_longer_wanted = sender.send(answer);
    });
    receiver
}

/// The user in a token.
fn user_of(token: &str) -> String {
    let name = claims_of(token)["user"]["username"].take();
    name.as_str().unwrap().to_owned()
}

/// The claims of a token, after its signature was checked.
fn claims_of(token: &str) -> serde_json::Value {
    let mut validation = jsonwebtoken::Validation::default();
    validation.required_spec_claims.clear();
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).unwrap();
    token.claims
}

#[tokio::test]
async fn claims_are_filled_from_the_columns_of_users() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.csv");
    std::fs::write(&users, "name,password,tenant\nann,hunter2,north\nbob,hunter3,south\n").unwrap();
    let claims = r#"{"user":null,"sub":"{{username}}","org":{"id":"{{tenant}}"}}"#;
    let args = RunArgs {
        target: "http://127.0.0.1:1".parse().ok(),
        token_source: "mint".parse().ok(),
        secret: SECRET.parse().ok(),
        token_per: Some(TokenPer::User),
        users: Some(users),
        claims: claims.parse().ok(),
        ..RunArgs::default()
    };
    let Supply::Ready(tokens) = prepare(&resolve(args)).await.unwrap().supply else {
        panic!("user tokens are made before T0");
    };
    let claims: Vec<_> = tokens.iter().map(|token| claims_of(token)).collect();
    for (claims, name, tenant) in [(&claims[0], "ann", "north"), (&claims[1], "bob", "south")] {
        assert_eq!(claims["sub"], name, "{claims}");
        assert_eq!(claims["org"]["id"], tenant, "{claims}");
        assert!(claims["user"].is_null(), "{claims}");
    }
}

#[tokio::test]
async fn tokens_of_users_are_ready_in_their_order() {
    let Supply::Ready(tokens) = prepare(&minting(TokenPer::User)).await.unwrap().supply else {
        panic!("user tokens are made before T0");
    };
    let users: Vec<String> = tokens.iter().map(|token| user_of(token)).collect();
    assert_eq!(users, ["ann", "bob"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_ticket_is_answered_once_to_its_shard() {
    let Supply::OnDemand(requests) = prepare(&minting(TokenPer::Connection)).await.unwrap().supply else {
        panic!("connection tokens are made on demand");
    };
    let receivers = [connect(&requests, 0), connect(&requests, 1)];
    for number in 0..100 {
        let shard = (number % 2) as usize;
        requests.ask(Ticket { shard, number, refused: None }).unwrap();
    }
    drop(requests);
    for (shard, receiver) in receivers.iter().enumerate() {
        // Ends when the queue has closed and dropped its senders.
        let mut numbers: Vec<u64> = receiver
            .iter()
            .map(|answer| {
                let expected = ["ann", "bob"][shard];
                assert_eq!(user_of(&answer.result.unwrap()), expected, "user is number % users");
                assert_eq!(answer.token_ns, None, "no request was made");
                answer.number
            })
            .collect();
        numbers.sort_unstable();
        let expected: Vec<u64> = (0..100).filter(|number| number % 2 == shard as u64).collect();
        assert_eq!(numbers, expected);
    }
}

/// A service that gives every request the same answer.
async fn answers(answer: &'static str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while socket.read(&mut head).await.is_ok_and(|length| length > 0) {
                    let length = answer.len();
                    let head = format!("HTTP/1.1 200 OK\r\nSet-Cookie: id=1\r\nContent-Length: {length}\r\n\r\n");
                    let _peer_gone = socket.write_all((head + answer).as_bytes()).await;
                }
            });
        }
    });
    format!("http://{addr}/token")
}

fn logging_in(token_url: &str, per: TokenPer) -> (LoadSpec, TokenPlan) {
    resolve(RunArgs {
        target: "http://127.0.0.1:1".parse().ok(),
        login_url: token_url.parse().ok(),
        token_url: token_url.parse().ok(),
        token_per: Some(per),
        user: vec!["ann:x".parse().unwrap(), "bob:x".parse().unwrap()],
        ..RunArgs::default()
    })
}

#[tokio::test]
async fn an_endpoint_without_tokens_fails_before_the_run() {
    let url = answers("<!doctype html>").await;
    for per in [TokenPer::User, TokenPer::Connection] {
        let error = prepare(&logging_in(&url, per)).await.unwrap_err().to_string();
        assert!(error.starts_with("token of user ann at http://127.0.0.1:"), "{error}");
        assert!(error.contains("<!doctype html>"), "{error}");
    }
}

#[tokio::test]
async fn logins_and_tokens_before_the_run_are_timed() {
    use crate::ground::recorder::Metric;

    let url = answers("\"a.b.c\"").await;
    for (per, tokens) in [(TokenPer::User, 2), (TokenPer::Connection, 0)] {
        let prepared = prepare(&logging_in(&url, per)).await.unwrap();
        let count = |phase| {
            let metric = Metric::Phase(phase);
            prepared.recorder.latency(metric, Outcome::Established).count()
        };
        assert_eq!((count(Phase::Login), count(Phase::Token)), (2, tokens), "{per:?}");
    }
}

#[tokio::test]
async fn tokens_of_a_run_come_from_the_users_session() {
    let url = answers("\"a.b.c\"").await;
    let prepared = prepare(&logging_in(&url, TokenPer::Connection)).await.unwrap();
    let Supply::OnDemand(requests) = prepared.supply else {
        panic!("connection tokens are made on demand");
    };
    let receiver = connect(&requests, 0);
    let ticket = Ticket { shard: 0, number: 7, refused: None };
    requests.ask(ticket).unwrap();
    let answer = tokio::task::spawn_blocking(move || receiver.recv().unwrap()).await.unwrap();
    assert_eq!((answer.number, answer.result.as_deref()), (7, Ok("a.b.c")));
    assert!(answer.token_ns.is_some_and(|ns| ns > 0), "the request is timed");
}

#[test]
fn a_full_queue_refuses_at_once() {
    let (requests, service) = Requests::open(1);
    let ticket = Ticket { shard: 0, number: 0, refused: None };
    let taken = std::iter::repeat_with(|| requests.ask(ticket.clone())).take_while(Result::is_ok).count();
    assert_eq!(taken, crate::tokens::requests::TICKETS_WAITING_MAX);
    drop(service);
    assert_eq!(requests.ask(ticket), Err(QueueFull));
}

#[tokio::test]
async fn a_file_gives_its_tokens_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    for (text, expected, why) in [
        ("a.b.c\n\n d.e.f \n", Ok(vec!["a.b.c", "d.e.f"]), "one a line, spaces around it trimmed"),
        ("", Err("it holds none"), "no arrival could have a token"),
        ("a.b.c\nd e f\n", Err("line 2 is no token"), "the line is named, not shown"),
    ] {
        std::fs::write(&path, text).unwrap();
        let run = resolve(RunArgs {
            target: "ws://127.0.0.1:1".parse().ok(),
            token_source: format!("file:{}", path.display()).parse().ok(),
            ..RunArgs::default()
        });
        match (prepare(&run).await, expected) {
            (Ok(prepared), Ok(expected)) => match prepared.supply {
                Supply::Ready(tokens) => {
                    let tokens: Vec<&str> = tokens.iter().map(|token| &**token).collect();
                    assert_eq!(tokens, expected, "{why}");
                }
                Supply::OnDemand(_) | Supply::Kept(..) => panic!("{why}: a file is ready before T0"),
            },
            (Err(error), Err(part)) => {
                let error = error.to_string();
                assert!(error.contains(part) && !error.contains("d e f"), "{why}: {error}");
            }
            (got, _) => panic!("{why}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn the_pool_keeps_its_order_and_its_limit() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    // No task passes the barrier until the limit of tasks has reached it.
    let barrier = Arc::new(tokio::sync::Barrier::new(LOGINS_AT_ONCE));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let work = (0..5 * LOGINS_AT_ONCE).map(|number| {
        let (barrier, running, most) = (barrier.clone(), running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            barrier.wait().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(number)
        }
    });
    let results = pooled(work).await.unwrap();
    assert_eq!(results, (0..5 * LOGINS_AT_ONCE).collect::<Vec<_>>());
    assert_eq!(most.load(Ordering::SeqCst), LOGINS_AT_ONCE);
}
