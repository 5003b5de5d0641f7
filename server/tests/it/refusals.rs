//! An invalid token of each kind, in each carrier, on each protocol: refused, with its reason.

use super::{
    clients::{Carrier, Client},
    servers::TestServer,
    tokens::{invalid_tokens, valid_token},
};

/// The target with what the carrier adds to its query.
fn target(path: &str, query: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    match query {
        "" => path.to_owned(),
        query => format!("{path}{separator}{query}"),
    }
}

const SOCKETIO_4: &str = "/socket.io/?EIO=4&transport=websocket";
const SOCKETIO_3: &str = "/socket.io/?EIO=3&transport=websocket";

#[tokio::test]
async fn a_raw_websocket_is_refused_with_401() {
    let server = TestServer::start(&["--origin=http://app"]).await;
    for carrier in Carrier::ALL {
        for invalid in invalid_tokens() {
            let (query, headers) = match &invalid.token {
                Some(token) => carrier.carry(token, "http://app"),
                None => Default::default(),
            };
            let opened = Client::open(server.gate, &target("/ws", &query), &headers).await;
            let why = format!("{} in {carrier:?}", invalid.kind);
            let Err(refused) = opened else {
                panic!("{why} was accepted");
            };
            let challenge = match invalid.reason {
                "too_long" => None,
                "missing" => Some(r#"Bearer realm="gatekeeper""#.to_owned()),
                reason => Some(format!(
                    "Bearer realm=\"gatekeeper\", error=\"invalid_token\", \
                     error_description=\"{reason}\""
                )),
            };
            let status = if invalid.reason == "too_long" { 431 } else { 401 };
            assert_eq!(refused.status, status, "{why}");
            assert_eq!(refused.challenge, challenge, "{why}");
            assert_eq!(refused.body, invalid.reason, "{why}");
        }
    }
    let refused = |reason| {
        let labels = format!(r#"{{outcome="refused",reason="{reason}"}}"#);
        server.metric(&format!("gatekeeper_handshakes_total{labels}"))
    };
    assert_eq!(refused("signature_invalid"), 8, "two kinds in four carriers");
    assert_eq!(refused("expired"), 4);
}

#[tokio::test]
async fn a_socketio_client_gets_the_error_not_valid_token() {
    let server = TestServer::start(&["--origin=http://app"]).await;
    for (path, carrier) in [SOCKETIO_4, SOCKETIO_3].iter().flat_map(|path| Carrier::ALL.map(|carrier| (path, carrier)))
    {
        for invalid in invalid_tokens() {
            let (query, headers) = match &invalid.token {
                Some(token) => carrier.carry(token, "http://app"),
                None => Default::default(),
            };
            let why = format!("{} in {carrier:?} at {path}", invalid.kind);
            let opened = Client::open(server.gate, &target(path, &query), &headers).await;
            if invalid.reason == "too_long" {
                assert_eq!(opened.err().map(|refused| refused.status), Some(431), "{why}");
                continue;
            }
            let mut client = opened.unwrap();
            assert!(client.text().await.starts_with("0{"), "{why}");
            let expected = if *path == SOCKETIO_4 {
                client.send("40").await;
                refusal_of_version_5(invalid.reason)
            } else {
                r#"44"not valid token""#.to_owned()
            };
            assert_eq!(client.text().await, expected, "{why}");
        }
    }
}

fn refusal_of_version_5(reason: &str) -> String {
    format!(r#"44{{"message":"not valid token","data":{{"reason":"{reason}"}}}}"#)
}

#[tokio::test]
async fn the_connect_payload_is_a_carrier_of_version_5() {
    let server = TestServer::start(&[]).await;
    let payload = |token: &Option<String>| match token {
        Some(token) => format!(r#"40{{"token":"{token}"}}"#),
        None => "40".to_owned(),
    };
    for invalid in invalid_tokens() {
        let mut client = Client::open(server.gate, SOCKETIO_4, &[]).await.unwrap();
        assert!(client.text().await.starts_with("0{"));
        client.send(payload(&invalid.token)).await;
        assert_eq!(client.text().await, refusal_of_version_5(invalid.reason), "{}", invalid.kind);
    }
    let mut client = Client::open(server.gate, SOCKETIO_4, &[]).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    client.send(payload(&Some(valid_token("ann")))).await;
    assert!(client.text().await.starts_with("40{\"sid\":\""));
}

#[tokio::test]
async fn a_valid_token_is_accepted_in_every_carrier() {
    let server = TestServer::start(&["--origin=http://app"]).await;
    for carrier in Carrier::ALL {
        let (query, headers) = carrier.carry(&valid_token("ann"), "http://app");
        let mut raw = Client::open(server.gate, &target("/ws", &query), &headers).await.unwrap();
        let selected = raw.upgrade.headers().get("sec-websocket-protocol");
        let expected = (carrier == Carrier::Subprotocol).then_some("gatecrash");
        assert_eq!(selected.map(|v| v.to_str().unwrap()), expected, "{carrier:?}");
        raw.send("hello").await;
        assert_eq!(raw.text().await, "hello", "{carrier:?}");

        for (path, connect, connected) in [(SOCKETIO_4, Some("40"), "40{"), (SOCKETIO_3, None, "40")] {
            let mut client = Client::open(server.gate, &target(path, &query), &headers).await.unwrap();
            assert!(client.text().await.starts_with("0{"));
            if let Some(connect) = connect {
                client.send(connect).await;
            }
            assert!(client.text().await.starts_with(connected), "{carrier:?} at {path}");
            client.send(r#"421["whoami"]"#).await;
            assert_eq!(client.text().await, r#"431["ann"]"#, "{carrier:?} at {path}");
        }
    }
}

#[tokio::test]
async fn the_first_carrier_in_order_decides() {
    use Carrier::{Cookie, Header, Query, Subprotocol};
    let server = TestServer::start(&["--origin=http://app"]).await;
    for (first, second) in [(Query, Header), (Header, Subprotocol), (Subprotocol, Cookie)] {
        for (one, other, accepted) in [("bad", &*valid_token("ann"), false), (&*valid_token("ann"), "bad", true)] {
            let (one_query, one_headers) = first.carry(one, "http://app");
            let (_, other_headers) = second.carry(other, "http://app");
            let headers = [other_headers, one_headers].concat();
            let opened = Client::open(server.gate, &target("/ws", &one_query), &headers).await;
            assert_eq!(opened.is_ok(), accepted, "{first:?} before {second:?}");
        }
    }
    let path = format!("{SOCKETIO_4}&token=bad");
    let mut client = Client::open(server.gate, &path, &[]).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    client.send(format!(r#"40{{"token":"{}"}}"#, valid_token("ann"))).await;
    let refusal = refusal_of_version_5("malformed");
    assert_eq!(client.text().await, refusal, "the payload rescues no query");
}

#[tokio::test]
async fn a_cookie_counts_only_with_an_allowed_origin() {
    let listed = TestServer::start(&["--origin=http://app"]).await;
    let default = TestServer::start(&[]).await;
    let own = format!("http://{}", default.frontend);
    let localhost = format!("http://localhost:{}", default.frontend.port());
    for (server, origin, accepted, why) in [
        (&listed, Some("http://app"), true, "on the list"),
        (&listed, Some("http://app.evil"), false, "not on the list"),
        (&listed, Some("null"), false, "a sandboxed page"),
        (&listed, None, false, "no origin"),
        (&default, Some(&*own), true, "the frontend's own"),
        (&default, Some(&*localhost), true, "under its other name"),
        (&default, Some("http://app"), false, "no list: other origins are refused"),
    ] {
        let mut headers = vec![("cookie", format!("a=b; token={}", valid_token("ann")))];
        headers.extend(origin.map(|origin| ("origin", origin.to_owned())));
        let opened = Client::open(server.gate, "/ws", &headers).await;
        match opened {
            Ok(_) => assert!(accepted, "{why}"),
            Err(refused) => {
                assert!(!accepted, "{why}: {refused:?}");
                assert_eq!(refused.body, "missing", "{why}: the cookie is ignored");
            }
        }
    }
}
