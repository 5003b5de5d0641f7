//! A bare HTTP client over TCP, independent of the libraries under test.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::soon;

/// Sends bytes over TCP and returns all bytes that are received until the end of the stream.
pub async fn exchange(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    rest(&mut stream).await
}

/// Reads to the end of the stream; with TLS an end without close_notify is a failure.
pub async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut received = Vec::new();
    soon("the end of a stream", stream.read_to_end(&mut received)).await.unwrap();
    String::from_utf8_lossy(&received).into_owned()
}

/// The response to a GET of `path`, with its head.
pub async fn get(addr: SocketAddr, path: &str) -> String {
    exchange(addr, request(path).as_bytes()).await
}

/// The body of a response to a GET of `path`, which must be 200.
pub async fn fetch(addr: SocketAddr, path: &str) -> String {
    let response = get(addr, path).await;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{addr}{path}: {head}");
    body.to_owned()
}

/// A GET of `path` after which the server closes the connection.
pub(crate) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
}

/// One value of a page of metrics, by its name with its labels.
pub fn metric(page: &str, sample: &str) -> Option<f64> {
    page.lines().find_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        (name == sample).then(|| value.parse().unwrap())
    })
}
