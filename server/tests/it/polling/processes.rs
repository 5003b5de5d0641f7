//! Sessions that poll a gate of several processes: each request may arrive at any process.

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    super::{
        clients::{Client, rest},
        processes::{FLAGS, metric},
        servers::{TestProcess, addr, soon},
        tokens::valid_token,
    },
    Poller, request,
};

#[tokio::test]
async fn sessions_are_found_from_every_process() {
    let process = TestProcess::start(&FLAGS);
    let gate = addr(&process.ready["gate"]);
    for round in 0..8 {
        let poller = Poller::connected(gate).await;
        poller.post("42[\"a\"]").await.check(200, "ok", "an event");
        poller.get().await.check(200, "42[\"a\"]", "it comes back");
        let large = format!("42[\"{}\"]", "x".repeat(200_000));
        let why = "a body that is longer than the bytes sent with a forwarded connection";
        poller.post(&large).await.check(200, "ok", why);
        poller.get().await.check(200, &large, why);

        let mut socket = Client::open(gate, &poller.websocket(), &[]).await.unwrap();
        socket.send("2probe").await;
        assert_eq!(socket.text().await, "3probe", "round {round}");
        socket.send("5").await;
        socket.send("42[\"b\"]").await;
        assert_eq!(socket.text().await, "42[\"b\"]", "round {round}");
    }
    let (old, opened) = Poller::open(gate, 3, &valid_token("ann")).await;
    assert!(opened.ends_with("}2:40"), "{opened}");
    old.post("6:42[\"a\"]").await.check(400, r#"{"code":3,"message":"Bad request"}"#, "7 units");
    old.check_over("a length that is wrong").await;
    let taken_in = metric(gate, "gatekeeper_connections_taken_in_total").await;
    assert!(taken_in > 0.0, "some requests were forwarded");
    let unknown = old.target.replace("sid=", "sid=__");
    let unknown = Poller { target: unknown, ..old };
    unknown.check_over("an id that names a shard which does not exist").await;
}

#[tokio::test]
async fn long_pipelined_requests_reach_another_process() {
    let process = TestProcess::start(&FLAGS);
    let gate = addr(&process.ready["gate"]);
    let large = format!("42[\"{}\"]", "x".repeat(300_000));
    // Enough rounds that the two sessions are in different processes at least once.
    for round in 0..6 {
        let waits = Poller::connected(gate).await;
        let other = Poller::connected(gate).await;
        let pipelined =
            request("GET", &waits.target, "", "") + &request("POST", &other.target, "Connection: close\r\n", &large);
        let mut stream = TcpStream::connect(gate).await.unwrap();
        stream.write_all(pipelined.as_bytes()).await.unwrap();
        soon("all is read", async { while metric(gate, "gatekeeper_buffered_bytes").await < large.len() as f64 {} })
            .await;
        waits.post("42[1]").await.check(200, "ok", "the poll ends");
        let answers = rest(&mut stream).await;
        assert!(answers.contains("42[1]"), "round {round}: {answers}");
        assert!(answers.ends_with("\r\n\r\nok"), "round {round}: {answers}");
        other.get().await.check(200, &large, "all of it");
    }
}
