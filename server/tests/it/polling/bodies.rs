//! Bodies of POSTs: in chunks, in pieces, behind a 100, and those whose end is unclear.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    super::{
        clients::{exchange, rest},
        servers::{TestServer, soon},
    },
    Answer, BAD_REQUEST, Poller, request,
};

const CHUNKED: &str = "Transfer-Encoding: chunked\r\nConnection: close\r\n";

fn post(target: &str, headers: &str, sent: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n{sent}")
}

#[tokio::test]
async fn a_body_may_come_in_chunks() {
    let server = TestServer::start(&[]).await;
    let poller = Poller::connected(server.gate).await;
    let sent = post(&poller.target, CHUNKED, "3\r\n42[\r\n4;x=y\r\n\"a\"]\r\n0\r\nA: b\r\n\r\n");
    Answer::parse(&exchange(server.gate, sent.as_bytes()).await).check(200, "ok", "two chunks");
    poller.get().await.check(200, "42[\"a\"]", "put together");

    let mut stream = TcpStream::connect(server.gate).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in sent.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    Answer::parse(&answer).check(200, "ok", "byte by byte");
    poller.get().await.check(200, "42[\"a\"]", "the same");

    // Another request may follow on the connection.
    let keep = CHUNKED.replace("Connection: close\r\n", "");
    let first = post(&poller.target, &keep, "1\r\n4\r\n4\r\n2[1]\r\n0\r\n\r\n");
    let both = first + &request("GET", &poller.target, "Connection: close\r\n", "");
    let answers = exchange(server.gate, both.as_bytes()).await;
    assert!(answers.ends_with("42[1]"), "{answers}");
}

#[tokio::test]
async fn invalid_bodies_are_refused_with_their_reason() {
    let server = TestServer::start(&["--max-message-bytes=100"]).await;
    let stays = Poller::connected(server.gate).await;
    let long = format!("65\r\n{}\r\n0\r\n\r\n", "4".repeat(101));
    let in_parts = "1\r\n4\r\n".repeat(101);
    let framed = format!("1;{}\r\n4\r\n", "x".repeat(250)).repeat(150);
    for (headers, sent, status, body, why) in [
        (CHUNKED, &*long, 413, "the body is too large", "a chunk above maxPayload"),
        (CHUNKED, &in_parts, 413, "the body is too large", "many small ones"),
        (CHUNKED, &framed, 413, "the body is too large", "more framing than body"),
        ("Transfer-Encoding: gzip\r\n", "", 501, "the one transfer coding is chunked", "another coding"),
        (
            "Expect: wonders\r\nContent-Length: 1\r\n",
            "",
            417,
            "expect nothing but 100-continue",
            "an unknown expectation",
        ),
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "",
            400,
            BAD_REQUEST,
            "two lengths that contradict each other",
        ),
    ] {
        let sent = post(&stays.target, headers, sent);
        let answer = Answer::parse(&exchange(server.gate, sent.as_bytes()).await);
        answer.check(status, body, why);
    }
    stays.post("42[\"a\"]").await.check(200, "ok", "the session still exists");

    let with_body = request("GET", &stays.target, "", "4");
    let answer = Answer::parse(&exchange(server.gate, with_body.as_bytes()).await);
    answer.check(400, BAD_REQUEST, "a GET has no body");

    let poller = Poller::connected(server.gate).await;
    let sent = post(&poller.target, CHUNKED, "x\r\n");
    let answer = Answer::parse(&exchange(server.gate, sent.as_bytes()).await);
    answer.check(400, BAD_REQUEST, "no chunk");
    poller.check_over("an invalid chunk ends the session").await;
}

#[tokio::test]
async fn a_client_that_expects_100_continue_receives_it() {
    let server = TestServer::start(&[]).await;
    let poller = Poller::connected(server.gate).await;
    let headers = "Expect: 100-continue\r\nContent-Length: 7\r\nConnection: close\r\n";
    let head = post(&poller.target, headers, "");
    let mut stream = TcpStream::connect(server.gate).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut received = [0; 25];
    soon("a 100", stream.read_exact(&mut received)).await.unwrap();
    assert_eq!(&received, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"42[\"a\"]").await.unwrap();
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    Answer::parse(&answer).check(200, "ok", "the body after the 100");

    let sent = format!("{head}42[\"b\"]");
    let answer = exchange(server.gate, sent.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "the body follows without a wait for the 100: {answer}");
    poller.get().await.check(200, "42[\"a\"]\u{1e}42[\"b\"]", "both bodies arrived");
}

#[tokio::test]
async fn a_body_is_never_read_as_a_request() {
    let server = TestServer::start(&["--app=conformance", "--auth=none"]).await;
    let hidden = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let framed = |framing: &str| framing.replace("{}", &hidden.len().to_string());
    for (line, framing, why) in [
        ("OPTIONS /socket.io/", "Content-Length: {}", "a preflight has no body"),
        ("GET /engine.io/?EIO=4&transport=polling", "Content-Length: {}", "a poll has no body"),
        (
            "GET /engine.io/?EIO=4&transport=polling",
            "Transfer-Encoding: chunked~",
            "a coding that is not UTF-8 still announces a body",
        ),
    ] {
        let framing = framed(framing);
        let sent = format!("{line} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{hidden}");
        let sent: Vec<u8> = sent.bytes().map(|it| if it == b'~' { 0x80 } else { it }).collect();
        let mut stream = TcpStream::connect(server.gate).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        let answers = rest(&mut stream).await;
        assert!(answers.starts_with("HTTP/1.1 400 "), "{why}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{why}: {answers}");
    }
}
