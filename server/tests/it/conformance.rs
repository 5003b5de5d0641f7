//! `--app conformance --auth none`: the behaviour that the test suites of engine.io-protocol and socket.io-protocol require.

use tokio_tungstenite::tungstenite::Message;

use super::{
    clients::{Client, exchange, get},
    servers::TestServer,
    tokens::valid_token,
};

const OPEN: [&str; 2] = ["--app=conformance", "--auth=none"];

async fn open(server: &TestServer, path: &str) -> Client {
    let mut client = Client::open(server.gate, path, &[]).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    client
}

/// Sends each text and expects its answers (`SID` stands for any id); with `closes`, expects the gate to close then.
async fn check(path: &str, play: &[(&str, &[&str])], closes: bool, why: &str) {
    let server = TestServer::start(&OPEN).await;
    let mut client = open(&server, path).await;
    for (sent, answers) in play {
        client.send(*sent).await;
        for answer in *answers {
            let received = client.text().await;
            let received = match received.split_once(r#"{"sid":""#) {
                Some((before, _)) => format!(r#"{before}{{"sid":"SID"}}"#),
                None => received,
            };
            assert_eq!(received, *answer, "{why}: {sent}");
        }
    }
    if closes {
        assert!(client.closed().await.is_some(), "{why}");
    }
}

#[tokio::test]
async fn socketio_namespaces_connect_and_send_auth() {
    const PATH: &str = "/socket.io/?EIO=4&transport=websocket";
    let root = ("40", &[r#"40{"sid":"SID"}"#, r#"42["auth",{}]"#][..]);
    let custom = ("40/custom,", &[r#"40/custom,{"sid":"SID"}"#, r#"42/custom,["auth",{}]"#][..]);
    let with_payload =
        (r#"40/custom,{"token":"abc"}"#, &[r#"40/custom,{"sid":"SID"}"#, r#"42/custom,["auth",{"token":"abc"}]"#][..]);
    let unknown = ("40/random", &[r#"44/random,{"message":"Invalid namespace"}"#][..]);
    let message = (r#"42["message",1,"2",{"3":[true]}]"#, &[r#"42["message-back",1,"2",{"3":[true]}]"#][..]);
    let acknowledged = (r#"42456["message-with-ack",1,{"3":[false]}]"#, &[r#"43456[1,{"3":[false]}]"#][..]);
    let leave: (&str, &[&str]) = ("41/custom", &[]);
    for (play, closes, why) in [
        (vec![root, message, acknowledged], false, "the root"),
        (vec![with_payload], false, "a namespace of its own, alone"),
        (vec![unknown, root], false, "one that is not, then one that is"),
        (vec![root, custom, leave, message], false, "the root outlives the other"),
        (vec![root, ("41", &[])], true, "the last namespace is left"),
        (vec![root, ("40", &[])], true, "twice the same"),
        (vec![root, (r#"42/custom,["message"]"#, &[])], true, "a namespace not joined"),
        (vec![(r#"42["message"]"#, &[])], true, "nothing before the connect"),
        (vec![("4abc", &[])], true, "no packet"),
        (vec![root, ("45", &[])], true, "no attachments"),
        (vec![root, ("42{}", &[])], true, "no event"),
    ] {
        check(PATH, &play, closes, why).await;
    }
    let v3 = "/socket.io/?EIO=3&transport=websocket";
    let server = TestServer::start(&OPEN).await;
    let mut client = open(&server, v3).await;
    for (sent, answer) in [
        (None, "40"),
        (None, r#"42["auth",{}]"#),
        (Some("40/custom,"), "40/custom,"),
        (None, r#"42/custom,["auth",{}]"#),
        (Some(r#"42["message",1]"#), r#"42["message-back",1]"#),
    ] {
        if let Some(sent) = sent {
            client.send(sent).await;
        }
        assert_eq!(client.text().await, answer, "version 3");
    }
}

#[tokio::test]
async fn attachments_are_echoed_with_their_message() {
    let server = TestServer::start(&OPEN).await;
    let mut client = open(&server, "/socket.io/?EIO=4&transport=websocket").await;
    client.send("40").await;
    client.text().await;
    client.text().await;
    let places = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
    for (sent, answer) in [
        (format!(r#"452-["message",{places}]"#), format!(r#"452-["message-back",{places}]"#)),
        (format!(r#"452-789["message-with-ack",{places}]"#), format!("462-789[{places}]")),
    ] {
        client.send(sent).await;
        for attachment in [vec![1, 2, 3], vec![4]] {
            client.send(Message::binary(attachment)).await;
        }
        assert_eq!(client.text().await, answer);
        for attachment in [vec![1, 2, 3], vec![4]] {
            assert_eq!(client.next().await, Some(Message::binary(attachment)));
        }
    }
}

#[tokio::test]
async fn engineio_messages_are_echoed() {
    let server = TestServer::start(&OPEN).await;
    let mut client = open(&server, "/engine.io/?EIO=4&transport=websocket").await;
    client.send("4hello").await;
    assert_eq!(client.text().await, "4hello");
    client.send(Message::binary(vec![1, 2, 3, 4])).await;
    assert_eq!(client.next().await, Some(Message::binary(vec![1, 2, 3, 4])));
    client.send("abc").await;
    assert!(client.closed().await.is_some(), "no packet");

    for (eio, sent) in [(4, "4a\u{1e}bAQIDBA=="), (3, "2:4a10:b4AQIDBA==")] {
        // A client of version 3 that reads no binary payloads sends `b64=1`.
        let target = format!("/engine.io/?EIO={eio}&transport=polling&b64=1");
        let opened = get(server.gate, &target).await;
        let sid = opened.split(r#""sid":""#).nth(1).unwrap().split('"').next().unwrap();
        let target = format!("{target}&sid={sid}");
        let post = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{sent}",
            sent.len()
        );
        let posted = exchange(server.gate, post.as_bytes()).await;
        assert!(posted.ends_with("\r\n\r\nok"), "{posted}");
        let polled = get(server.gate, &target).await;
        assert!(polled.ends_with(&format!("\r\n\r\n{sent}")), "{polled}");
    }
}

#[tokio::test]
async fn engineio_without_socketio_requires_a_token_too() {
    let server = TestServer::start(&["--app=conformance"]).await;
    for (transport, token, status) in [
        ("websocket", valid_token("ann"), 101),
        ("websocket", "bad".to_owned(), 403),
        ("websocket", String::new(), 403),
        ("polling", valid_token("ann"), 200),
        ("polling", "bad".to_owned(), 403),
    ] {
        let path = format!("/engine.io/?EIO=4&transport={transport}&token={token}");
        let answered = match transport {
            "websocket" => match Client::open(server.gate, &path, &[]).await {
                Ok(_) => 101,
                Err(refused) => refused.status,
            },
            _ => get(server.gate, &path).await[9..12].parse().unwrap(),
        };
        assert_eq!(answered, status, "{transport}, {token}");
    }
    let echo = TestServer::start(&[]).await;
    let path = format!("/engine.io/?EIO=4&transport=polling&token={}", valid_token("ann"));
    let answer = get(echo.gate, &path).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "only there: {answer}");
}

#[tokio::test]
async fn raw_websockets_need_no_token_with_auth_none() {
    let server = TestServer::start(&["--auth=none"]).await;
    for path in ["/ws", "/ws?token=bad"] {
        let mut client = Client::open(server.gate, path, &[]).await.unwrap();
        client.send("hello").await;
        assert_eq!(client.text().await, "hello", "{path}");
    }
}

#[tokio::test]
async fn clients_with_b64_are_answered_in_base64() {
    let server = TestServer::start(&OPEN).await;
    for (query, sent, back, why) in [
        ("EIO=4&b64=1", "bAQID", Message::text("bAQID"), "version 4"),
        ("EIO=3&b64=1", "b4AQID", Message::text("b4AQID"), "version 3"),
        ("EIO=4", "bAQID", Message::binary(vec![1, 2, 3]), "it did not say that it reads no bytes"),
    ] {
        let path = format!("/engine.io/?{query}&transport=websocket");
        let mut client = open(&server, &path).await;
        client.send(sent).await;
        assert_eq!(client.next().await, Some(back), "{why}");
    }
    for (query, sent) in [("EIO=4", "b!"), ("EIO=3", "b5AQID")] {
        let path = format!("/engine.io/?{query}&transport=websocket");
        let mut client = open(&server, &path).await;
        client.send(sent).await;
        assert!(client.closed().await.is_some(), "{sent}");
    }
}

#[tokio::test]
async fn messages_of_the_maximum_length_are_echoed() {
    let flags = ["--max-message-bytes=12000000", OPEN[0], OPEN[1]];
    let server = TestServer::start(&flags).await;
    let mut client = Client::open(server.gate, "/ws", &[]).await.unwrap();
    let message = vec![7_u8; 12_000_000];
    client.send(message.clone()).await;
    let back = client.next().await.expect("an echo");
    assert!(back.into_data() == message);
}
