//! Accepted sockets: messages, pings, closing, Socket.IO's packets and heartbeats.

use tokio_tungstenite::tungstenite::{
    Bytes, Message,
    protocol::{
        CloseFrame,
        frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use super::{clients::Client, servers::TestServer, tokens::valid_token};

fn fragment(text: &'static str, opcode: Data, last: bool) -> Message {
    Message::Frame(Frame::message(Bytes::from_static(text.as_bytes()), OpCode::Data(opcode), last))
}

#[tokio::test]
async fn messages_are_echoed() {
    let server = TestServer::start(&[]).await;
    let mut client = Client::raw(server.gate, &valid_token("ann")).await;
    let long = "x".repeat(1_000_000);
    for message in [Message::text("hello"), Message::text(""), Message::binary(vec![0, 1, 255]), Message::text(long)] {
        client.send(message.clone()).await;
        let next = client.next().await.unwrap();
        assert!(next == message, "a message of {} bytes came back changed", message.len());
    }

    client.send(fragment("he", Data::Text, false)).await;
    client.send(Message::Ping(Bytes::from_static(b"between"))).await;
    client.send(fragment("llo", Data::Continue, true)).await;
    let pong = Message::Pong(Bytes::from_static(b"between"));
    assert_eq!(client.next().await.unwrap(), pong, "a ping between fragments");
    assert_eq!(client.text().await, "hello", "fragments are one message");
}

#[tokio::test]
async fn the_idle_application_sends_nothing() {
    let server = TestServer::start(&["--app=idle"]).await;
    let mut client = Client::raw(server.gate, &valid_token("ann")).await;
    client.send("hello").await;
    client.send(Message::Ping(Bytes::from_static(b"after"))).await;
    let pong = Message::Pong(Bytes::from_static(b"after"));
    assert_eq!(client.next().await.unwrap(), pong, "the message was ignored");

    let mut client = Client::socketio(server.gate, &valid_token("ann")).await;
    client.send(r#"42["hello"]"#).await;
    client.send(r#"421["whoami"]"#).await;
    assert_eq!(client.text().await, r#"431["ann"]"#);
}

#[tokio::test]
async fn a_client_may_close() {
    let server = TestServer::start(&[]).await;
    for code in [CloseCode::Normal, CloseCode::Away, CloseCode::from(4001)] {
        let mut client = Client::raw(server.gate, &valid_token("ann")).await;
        let frame = CloseFrame { code, reason: "bye".into() };
        client.send(Message::Close(Some(frame))).await;
        assert_eq!(client.close_code().await, u16::from(code), "its code comes back");
    }
    let ended = r#"gatekeeper_sessions_ended_total{reason="client"}"#;
    server.metric_becomes(ended, 3).await;
    assert_eq!(server.metric("gatekeeper_sessions_open"), 0);
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_closed() {
    let server = TestServer::start(&["--max-message-bytes=100"]).await;
    let huge = Message::text("x".repeat(101));
    for (message, code, why) in
        [(fragment("a", Data::Continue, true), 1002, "nothing to continue"), (huge, 1009, "above the limit")]
    {
        let mut client = Client::raw(server.gate, &valid_token("ann")).await;
        client.send(message).await;
        assert_eq!(client.close_code().await, code, "{why}");
    }
    let mut client = Client::socketio(server.gate, &valid_token("ann")).await;
    client.send("no packet").await;
    assert_eq!(client.close_code().await, 1002, "no packet of Engine.IO");
}

#[tokio::test]
async fn socketio_packets_are_answered() {
    let server = TestServer::start(&[]).await;
    let mut client = Client::socketio(server.gate, &valid_token("ann")).await;
    for (sent, answer) in [
        (r#"42["a",1,{"b":[]}]"#, r#"42["a",1,{"b":[]}]"#),
        (r#"4212["a",1,{"b":[]}]"#, r#"4312[1,{"b":[]}]"#),
        (r#"421["whoami"]"#, r#"431["ann"]"#),
        ("40/admin,", r#"44/admin,{"message":"Invalid namespace"}"#),
    ] {
        client.send(sent).await;
        assert_eq!(client.text().await, answer, "to {sent}");
    }
    let event = r#"451-["b",{"_placeholder":true,"num":0}]"#;
    client.send(event).await;
    client.send(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(client.text().await, event);
    assert_eq!(client.next().await.unwrap(), Message::binary(vec![1, 2, 3]));

    client.send("41").await;
    client.send("1").await;
    client.closed().await;
    server.metric_becomes("gatekeeper_sessions_open", 0).await;
}

#[tokio::test]
async fn a_silent_version_4_client_is_closed_after_a_ping() {
    let server = TestServer::start(&["--ping-interval=20", "--ping-timeout=3000"]).await;
    let mut client = Client::socketio(server.gate, &valid_token("ann")).await;
    for _ in 0..3 {
        assert_eq!(client.text().await, "2");
        client.send("3").await;
    }
    assert_eq!(client.text().await, "2");
    assert_eq!(client.close_code().await, 1000, "no pong came");
    let ended = r#"gatekeeper_sessions_ended_total{reason="ping_timeout"}"#;
    server.metric_becomes(ended, 1).await;
}

#[tokio::test]
async fn a_silent_version_3_client_is_closed() {
    let server = TestServer::start(&["--ping-interval=500", "--ping-timeout=500"]).await;
    let path = format!("/socket.io/?EIO=3&transport=websocket&token={}", valid_token("ann"));
    let mut client = Client::open(server.gate, &path, &[]).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    assert_eq!(client.text().await, "40");
    for (ping, pong) in [("2", "3"), ("2probe", "3probe")] {
        client.send(ping).await;
        assert_eq!(client.text().await, pong);
    }
    assert_eq!(client.close_code().await, 1000, "no ping came");
}

#[tokio::test]
async fn a_silent_raw_client_is_pinged() {
    let server = TestServer::start(&["--ping-interval=20", "--ping-timeout=10000"]).await;
    let mut client = Client::raw(server.gate, &valid_token("ann")).await;
    for _ in 0..2 {
        // The client's library answers by itself.
        assert!(matches!(client.next().await, Some(Message::Ping(_))));
    }
}
