//! What a run comes to: thresholds, exit codes, and what is said on a terminal and off it.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use gatecrash::ground::outcome::Outcome;
use reports::schema::Phase;

use super::program::{Program, run};
use crate::engine_servers::{WebSocket, read_head, serve};

fn load(addr: SocketAddr, flags: &str) -> Program {
    let mint = "--token-source mint --secret any-secret-will-do";
    run(&format!("--target ws://{addr} -c 100 --concurrency 10 --hold 0s {mint} {flags}"))
}

/// Lets all in but every tenth, which it answers with a 500.
fn mostly_well() -> SocketAddr {
    let asked = AtomicU64::new(0);
    serve(move |mut stream| {
        // The run looks first whether somebody is there, and says nothing.
        if !matches!(stream.peek(&mut [0]), Ok(1)) {
            return;
        }
        if asked.fetch_add(1, Ordering::Relaxed) % 10 == 9 {
            read_head(&mut stream);
            let answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(answer);
        } else if let Some(mut socket) = WebSocket::accept(stream) {
            socket.receive_all();
        }
    })
}

#[tokio::test]
async fn failures_rank_as_infinitely_slow() {
    let addr = mostly_well();
    for (threshold, passes, observed, why) in [
        ("handshake.p50<30s", true, true, "half of all are well"),
        ("handshake.p99<30s", false, false, "one in ten is not, and never ends"),
        ("handshake.max<30s", false, false, "the slowest failed"),
        ("handshake.service.p90<30s", true, true, "the ninetieth is the last that is well"),
        ("handshake.p50<1us", false, true, "no handshake is so fast"),
        ("errors<=10%", true, true, "exactly ten of a hundred"),
        ("errors<10%", false, true, "exactly ten of a hundred"),
        ("established==90,false_accept==0", true, true, "a comma means and"),
        ("rate(established)>0/s", true, true, "a rate"),
    ] {
        // Ten errors are expected here, and asked before what this row is about.
        let errors = if threshold.starts_with("errors") { "" } else { "--threshold errors==10" };
        let ended = load(addr, errors).flag("--threshold", threshold).end().await;
        ended.exits_with(if passes { 0 } else { 99 }, &format!("{threshold}: {why}"));
        let expected = [(Outcome::Established, 90), (Outcome::Failed, 10)];
        let result = ended.counts(&expected, why);
        let failure = &result.failures[0];
        let named = (failure.phase, failure.kind.as_str(), failure.count);
        assert_eq!(named, (Phase::Upgrade, "http-500", 10), "{why}");
        let last = result.thresholds.last().unwrap();
        assert_eq!((last.pass, last.observed.is_some()), (passes, observed), "{threshold}: {why}");
    }
}

#[tokio::test]
async fn every_missed_threshold_is_reported() {
    let ended = load(mostly_well(), "--threshold errors<1% --threshold handshake.p50<30s")
        .flag("--threshold", "established==100")
        .end()
        .await;
    ended.exits_with(99, "two of three break");
    let sentence = ended.result().verdict.sentence;
    assert_eq!(
        sentence,
        "Does not hold: errors<1% (it is 10 %), established==100 (90). 10 failed in upgrade: http-500 (HTTP 500 \
         Internal Server Error)."
    );
    assert!(ended.stdout.starts_with("THRESHOLD MISSED"), "{}", ended.stdout);
    let on_one_line = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(on_one_line.contains(&sentence), "{}", ended.stdout);
}

#[tokio::test]
async fn quiet_prints_only_the_summary() {
    let ended = load(mostly_well(), "-q --threshold errors==10").end().await;
    ended.exits_with(0, "quiet");
    assert_eq!(ended.stderr, "");
    assert!(ended.stdout.contains("Arrivals"), "{}", ended.stdout);
    let loud = load(mostly_well(), "").end().await;
    assert_eq!(loud.stderr, "making tokens\n");
}

#[tokio::test]
async fn live_view_is_drawn_only_on_a_terminal() {
    for (flags, colour, redrawn, why) in [
        ("", None, true, "a display"),
        ("--no-tui", Some("1"), false, "plain lines, no colours"),
        ("-q", Some("1"), false, "no display at all"),
    ] {
        // `script` gives its command a terminal.
        let on_terminal = "exec script -qec \"$0 $*\" /dev/null";
        let mut program =
            load(mostly_well(), &format!("{flags} --threshold errors==10")).after(on_terminal).env("TERM", "xterm");
        if let Some(value) = colour {
            program = program.env("NO_COLOR", value);
        }
        let ended = program.end().await;
        ended.exits_with(0, why);
        assert_eq!(ended.stdout.contains('\x1b'), redrawn, "{why}: {:?}", ended.stdout);
        let told = ended.stdout.contains("making tokens\r\n");
        assert_eq!(told, flags == "--no-tui", "{why}: {:?}", ended.stdout);
    }
}
