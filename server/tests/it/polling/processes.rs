//! Sessions that poll a gate of several processes: each request comes to any of them.

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    super::{
        clients::{Client, rest},
        processes::{FLAGS, metric},
        servers::{TestProcess, addr, soon},
        tokens::good,
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
        let why = "a body that is longer than what goes along";
        poller.post(&large).await.check(200, "ok", why);
        poller.get().await.check(200, &large, why);

        let mut socket = Client::open(gate, &poller.websocket(), &[]).await.unwrap();
        socket.send("2probe").await;
        assert_eq!(socket.text().await, "3probe", "round {round}");
        socket.send("5").await;
        socket.send("42[\"b\"]").await;
        assert_eq!(socket.text().await, "42[\"b\"]", "round {round}");
    }
    let (old, opened) = Poller::open(gate, 3, &good("ann")).await;
    assert!(opened.ends_with("}2:40"), "{opened}");
    old.post("6:42[\"a\"]").await.check(400, r#"{"code":3,"message":"Bad request"}"#, "7 units");
    old.check_over("a length that is wrong").await;
    let taken_in = metric(gate, "gatekeeper_connections_taken_in_total").await;
    assert!(taken_in > 0.0, "some requests had to travel");
    let unknown = old.target.replace("sid=", "sid=__");
    let stranger = Poller { target: unknown, ..old };
    stranger.check_over("a shard that there is not").await;
}

#[tokio::test]
async fn much_that_is_sent_ahead_reaches_another_process() {
    let process = TestProcess::start(&FLAGS);
    let gate = addr(&process.ready["gate"]);
    let large = format!("42[\"{}\"]", "x".repeat(300_000));
    // As many as it takes for some two to be in different processes.
    for round in 0..6 {
        let waits = Poller::connected(gate).await;
        let other = Poller::connected(gate).await;
        let ahead =
            request("GET", &waits.target, "", "") + &request("POST", &other.target, "Connection: close\r\n", &large);
        let mut stream = TcpStream::connect(gate).await.unwrap();
        stream.write_all(ahead.as_bytes()).await.unwrap();
        soon("all is read", async { while metric(gate, "gatekeeper_buffered_bytes").await < large.len() as f64 {} })
            .await;
        waits.post("42[1]").await.check(200, "ok", "the poll ends");
        let answers = rest(&mut stream).await;
        assert!(answers.contains("42[1]"), "round {round}: {answers}");
        assert!(answers.ends_with("\r\n\r\nok"), "round {round}: {answers}");
        other.get().await.check(200, &large, "all of it");
    }
}
