//! The gate, its verifier and the frontend with programs of other projects: npm's socket.io-client, ws and
//! jsonwebtoken, Python's websockets and PyJWT, and a browser.

mod jwt;
mod metrics;
mod page;
mod parsers;
mod polling;
mod session;
mod socketio;
mod tls;
mod websocket;

use serde_json::{Value, json};
use testkit::Peers;

use super::{
    servers::TestServer,
    tokens::{invalid_tokens, valid_token},
};

/// The origin whose pages may use the token cookie.
const ORIGIN: &str = "http://app";
const USER: &str = "gonzalo";

async fn server() -> TestServer {
    TestServer::start(&["--origin", ORIGIN]).await
}

/// A request to a peer program, and its expected answer.
struct Case {
    ask: Value,
    answer: Value,
    why: String,
}

/// Cases of one client: a valid token and each invalid kind in each of its `carriers`, the cookie of an untrusted
/// origin, and no token. `refused` gives the answer to an invalid token by its carrier and reason.
fn cases(
    url: &str,
    carriers: &[&str],
    accepted: impl Fn(&str) -> Value,
    refused: impl Fn(&str, &str) -> Value,
) -> Vec<Case> {
    let case = |carrier: &str, token: Option<&str>, origin: &str, answer: Value, kind: &str| Case {
        ask: json!({"url": url, "carrier": carrier, "token": token, "origin": origin}),
        answer,
        why: format!("{kind} in {carrier}"),
    };
    let mut cases = Vec::new();
    let (valid, invalid) = (valid_token(USER), invalid_tokens());
    for carrier in carriers {
        cases.push(case(carrier, Some(&valid), ORIGIN, accepted(carrier), "good"));
        for invalid in invalid.iter().filter(|invalid| invalid.token.is_some()) {
            let answer = refused(carrier, invalid.reason);
            let token = invalid.token.as_deref();
            cases.push(case(carrier, token, ORIGIN, answer, invalid.kind));
        }
    }
    let missing = || refused("none", "missing");
    cases.push(case("none", None, ORIGIN, missing(), "missing"));
    if carriers.contains(&"cookie") {
        let other_origin = "http://app.evil";
        let kind = "valid, from an untrusted origin,";
        cases.push(case("cookie", Some(&valid), other_origin, missing(), kind));
    }
    cases
}

async fn check(peers: &Peers, script: &str, words: &[&str], cases: Vec<Case>) {
    let asked: Vec<_> = cases.iter().map(|case| case.ask.clone()).collect();
    let answers = peers.ask(script, words, &asked).await;
    for (case, answer) in cases.iter().zip(answers) {
        assert_eq!(answer, case.answer, "{script} {words:?}: {}", case.why);
    }
}
