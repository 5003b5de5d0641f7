//! Tokens that are asked for when their arrival is due.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gatecrash::ground::outcome::{Failure, FailureKind, Outcome, Phase};
use gatecrash::ground::recorder::{Metric, Part};
use gatecrash::spec::{
    LoadSpec, LoginMethod, LoginPlan, MintPlan, Secret, TargetKey, TokenPer, TokenPlan, TokenSource, User,
};
use gatecrash::tokens::{Supply, prepare};

use crate::engine_driver::{load, open, start, target};
use crate::engine_servers::{WebSocket, answering, read_head, recording, serve};

/// What a token service answers.
const TOKEN: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\
    Connection: close\r\n\r\n\"a.b.c\"";

/// Tokens that are asked for when their arrival is due.
async fn on_demand(load: &LoadSpec, source: TokenSource) -> Supply {
    let user = User { name: "gonzalo".into(), password: Secret::new(*b"password"), columns: Default::default() };
    let plan = TokenPlan { users: [user].into(), source, per: TokenPer::Connection, key: TargetKey::default() };
    prepare(load, &plan).await.unwrap().supply
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn token_service(addr: SocketAddr) -> TokenSource {
    TokenSource::Login(LoginPlan {
        login_url: None,
        method: LoginMethod::Basic,
        token_url: format!("http://{addr}/token").parse().unwrap(),
        token_json_pointer: String::new(),
    })
}

#[test]
fn minted_tokens_need_no_request() {
    let runtime = runtime();
    let (addr, _) = recording(WebSocket::accept);
    let plan = MintPlan::with_secret(&Secret::new(*b"0123456789abcdef0123456789abcdef"), None);
    let load = load(25);
    let supply = runtime.block_on(on_demand(&load, TokenSource::Mint(plan.unwrap())));
    let measured = start(load, target(addr), supply).finish();
    measured.assert_outcomes(&[(Outcome::Established, 25)], "minted");
    let token = Metric::Phase(Phase::Token);
    assert_eq!(measured.recorder.latency(token, Outcome::Established).count(), 0, "no HTTP for it");
}

#[test]
fn token_time_is_not_part_of_the_handshake() {
    const SLOW: Duration = Duration::from_millis(300);
    let runtime = runtime();
    let (addr, _) = recording(WebSocket::accept);
    // The slow token service is what is tested here: its slowness must not show in the handshake.
    let tokens = serve(|mut stream| {
        read_head(&mut stream);
        std::thread::sleep(SLOW);
        let _ = stream.write_all(TOKEN.as_bytes());
    });
    let load = load(10);
    let supply = runtime.block_on(on_demand(&load, token_service(tokens)));
    let measured = start(load, target(addr), supply).finish();
    measured.assert_outcomes(&[(Outcome::Established, 10)], "late, but in");
    let least_ns = |metric| measured.recorder.latency(metric, Outcome::Established).quantile_ns(0.0);
    assert!(least_ns(Metric::Phase(Phase::Token)) >= 299_000_000);
    assert!(least_ns(Metric::Handshake(Part::Response)) < 299_000_000, "less the token's time");
}

#[test]
fn failed_token_request_fails_the_arrival() {
    let runtime = runtime();
    let (addr, heard) = recording(WebSocket::accept);
    // The first is for the trial before the run, so that the endpoint is known to be one.
    let asked = AtomicU64::new(0);
    let tokens = serve(move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(match asked.fetch_add(1, Ordering::Relaxed) {
            0 => TOKEN.as_bytes(),
            _ => b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        });
    });
    let load = load(10);
    let supply = runtime.block_on(on_demand(&load, token_service(tokens)));
    let measured = start(load, target(addr), supply).finish();
    measured.assert_outcomes(&[(Outcome::Failed, 10)], "no token");
    let failure = Failure { phase: Phase::Token, kind: FailureKind::Http(500) };
    assert_eq!(measured.failures(), [(failure, 10)]);
    assert!(heard.lock().unwrap().is_empty(), "nobody came without a token");
}

#[test]
fn arrivals_without_a_token_are_not_sent() {
    let load = LoadSpec { model: open(10_000.0), ..load(20) };
    let none = Supply::Ready(Arc::from([]));
    let measured = start(load, target(answering("")), none).finish();
    measured.assert_outcomes(&[(Outcome::NotSent, 20)], "no token, no arrival");
    let limit = Failure { phase: Phase::Token, kind: FailureKind::Limit };
    assert_eq!(measured.failures(), [(limit, 20)]);
}
