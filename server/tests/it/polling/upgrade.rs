//! Sessions that begin by polling and move to a WebSocket.

use super::{
    super::{clients::Client, servers::TestServer},
    BAD_REQUEST, Poller,
};

#[tokio::test]
async fn a_session_moves_to_a_websocket() {
    let server = TestServer::start(&[]).await;
    for _ in 0..8 {
        let poller = Poller::connected(server.gate).await;
        let waiting = poller.wait(&server).await;
        let mut socket = Client::open(server.gate, &poller.websocket(), &[]).await.unwrap();
        let mut another = Client::open(server.gate, &poller.websocket(), &[]).await.unwrap();
        assert_eq!(another.close_code().await, 1000, "one probe at a time");

        socket.send("2probe").await;
        assert_eq!(socket.text().await, "3probe");
        waiting.await.unwrap().check(200, "6", "the poll ends");
        poller.get().await.check(200, "6", "a poll during the probe ends too");
        poller.post("42[\"by post\"]").await.check(200, "ok", "packets are taken");
        socket.send("5").await;
        assert_eq!(socket.text().await, "42[\"by post\"]", "queued packets move to the WebSocket");
        socket.send("42[\"a\"]").await;
        assert_eq!(socket.text().await, "42[\"a\"]");

        poller.get().await.check(400, BAD_REQUEST, "an upgraded session refuses polls");
        poller.post("42[\"a\"]").await.check(400, BAD_REQUEST, "an upgraded session refuses POSTs");
        let mut late = Client::open(server.gate, &poller.websocket(), &[]).await.unwrap();
        assert_eq!(late.close_code().await, 1000, "the session already has a WebSocket");
        socket.send("421[\"whoami\"]").await;
        assert_eq!(socket.text().await, "431[\"ann\"]");
        drop(socket);
        server.metric_becomes("gatekeeper_sessions_open", 0).await;
        poller.check_over("the WebSocket is gone").await;
    }
}

#[tokio::test]
async fn a_failed_probe_does_not_end_the_session() {
    let server = TestServer::start(&[]).await;
    let poller = Poller::connected(server.gate).await;
    for (sent, code, why) in [("2", 1002, "no probe"), ("42[\"a\"]", 1002, "a message before the upgrade")] {
        let mut socket = Client::open(server.gate, &poller.websocket(), &[]).await.unwrap();
        socket.send(sent).await;
        assert_eq!(socket.close_code().await, code, "{why}");
    }
    poller.post("42[\"a\"]").await.check(200, "ok", "the session still polls");
    poller.get().await.check(200, "42[\"a\"]", "the session still polls");
}
