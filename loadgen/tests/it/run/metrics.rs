//! What a server says of its own cost, read from its page; what the page may look like, and what may go wrong with it.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use gatecrash::ground::outcome::Outcome;
use gatecrash::judge::verdict::{CONFIGURATION, PASS};
use insta::assert_snapshot;

use super::program::run;
use super::services::{LocalServer, SECRET};
use crate::engine_servers::{answering, read_head, serve, unused_addr};

const MINT: &str = "--token-source mint";

fn page(body: &str) -> String {
    let bytes = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n{body}")
}

/// The same page each time but for processor time, which grows by a quarter of a second with every reading, until `reads`
/// of them; then `afterwards`.
fn growing(reads: u64, afterwards: String) -> SocketAddr {
    let read = AtomicU64::new(0);
    serve(move |mut stream| {
        read_head(&mut stream);
        let number = read.fetch_add(1, Ordering::Relaxed);
        let answer = if number < reads {
            page(&format!(
                "# HELP process_cpu_seconds_total Total.\r\n# TYPE process_cpu_seconds_total counter\r\n\
                 process_cpu_seconds_total{{pid=\"1\",note=\"a}} \\\"b\\\"\"}} {:e} 1395066363000\n\
                 process_cpu_seconds_total{{pid=\"2\"}} 1\n\
                 process_cpu_seconds_total_created 1.7e9\n\
                 process_resident_memory_bytes 4.5e+07\n\
                 process_open_fds NaN\n# EOF\n",
                number as f64 * 0.25
            ))
        } else {
            afterwards.clone()
        };
        let _left = stream.write_all(answer.as_bytes());
    })
}

#[tokio::test]
async fn gatekeeper_metrics_page_is_read() {
    let server = LocalServer::start(&[]).await;
    let gate = server.gate;
    let flags = format!("--target http://{gate} {MINT} -c 400 --concurrency 8 --echo 1");
    let metrics =
        format!("--server-metrics http://{gate}/metrics --server-metrics-names sockets=gatekeeper_connections_open");
    let ended = run(&format!("{flags} {metrics}")).flag("--secret", SECRET).end().await;
    ended.exits_with(PASS, "the page is read beside the load");
    let server = ended.result().server.expect("it was asked for");
    assert_eq!(server.source, "metrics");
    assert!(server.cpu_us_per_handshake.unwrap() > 1.0, "{server:?}");
    assert!(server.rss_bytes_idle.unwrap() > 1_000_000, "{server:?}");
    // The connection that asks is one of them.
    let open = (server.open_sockets_idle, server.open_sockets_peak);
    assert!(open.0 <= Some(2) && open.1 >= Some(400), "{open:?}");
    assert!(server.samples.len() >= 2, "{server:?}");
    assert_eq!(server.missing, [""; 0]);
    assert!(ended.stdout.contains("Open at its peak"), "{}", ended.stdout);
}

#[tokio::test]
async fn missing_metrics_are_reported() {
    let server = LocalServer::start(&[]).await;
    let broken = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned();
    // The first is the check before the run, the second is made at T0, the third at the end.
    for (reads, cpu, sentence, why) in [
        (u64::MAX, true, "the page has no process_open_fds", "NaN is no figure"),
        (2, false, "the reading at the end failed, and with it processor time: HTTP 503", "it broke in mid-run"),
    ] {
        let metrics = growing(reads, broken.clone());
        let flags = format!("--target http://{} {MINT} -c 20 --concurrency 8", server.gate);
        let ended = run(&format!("{flags} --server-metrics http://{metrics}/")).flag("--secret", SECRET).end().await;
        ended.exits_with(PASS, why);
        ended.counts(&[(Outcome::Established, 20)], why);
        let server = ended.result().server.unwrap();
        let grown = server.cpu_us.map(|us| (us % 250_000.0, us > 0.0));
        assert_eq!(grown, cpu.then_some((0.0, true)), "{why}: {server:?}");
        assert_eq!(server.rss_bytes_idle, Some(45_000_000), "{why}");
        let said = |missing: &String| missing.contains(sentence);
        assert!(server.missing.iter().any(said), "{why}: {server:?}");
        assert!(ended.stdout.contains("Missing"), "{why}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn unreadable_metrics_page_is_an_error_before_the_run() {
    let server = LocalServer::start(&[]).await;
    let said = async |url: &str, more: &str| {
        let flags = format!("-q --target http://{} {MINT} {more}", server.gate);
        let ended = run(&format!("{flags} --server-metrics {url}")).flag("--secret", SECRET).end().await;
        ended.exits_with(CONFIGURATION, url);
        assert_eq!(ended.files(), [""; 0], "{url}");
        ended.stderr.replace(url, "URL")
    };
    let url = |addr: SocketAddr| format!("http://{addr}/");
    let empty = answering(page("# nothing here\n"));
    let long = answering(page(&"x 1\n".repeat(2 << 20)));
    let gone = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_snapshot!(said(&url(unused_addr()), "").await, @"gatecrash: --server-metrics URL: connection refused; is the service running?");
    assert_snapshot!(said(&url(gone), "").await, @"gatecrash: --server-metrics URL: HTTP 404; name the page itself");
    assert_snapshot!(said(&url(empty), "").await, @"gatecrash: --server-metrics URL: none of cpu=process_cpu_seconds_total,memory=process_resident_memory_bytes,sockets=process_open_fds is there; name them as the page has them, with --server-metrics-names");
    assert_snapshot!(said(&url(empty), "--server-metrics-names cpu=a,memory=b,sockets=c").await, @"gatecrash: --server-metrics URL: none of cpu=a,memory=b,sockets=c is there; name them as the page has them, with --server-metrics-names");
    assert_snapshot!(said(&url(long), "").await, @"gatecrash: --server-metrics URL: the page is longer than 4194304 bytes; name that of one service");
    // It never answers.
    let mute = serve(|mut stream| {
        let _left = std::io::copy(&mut stream, &mut std::io::sink());
    });
    assert_snapshot!(said(&url(mute), "").await, @"gatecrash: --server-metrics URL: no answer in time");
    let taken = server.gate.to_string();
    let ended = run(&format!("-q --prometheus {taken} -c 5")).end().await;
    ended.exits_with(CONFIGURATION, "the address is taken");
    assert_snapshot!(ended.stderr.replace(&taken, "ADDR"), @"gatecrash: --prometheus ADDR: Address already in use (os error 98); name an address of this machine and a port that is free, or port 0 for any");
}
