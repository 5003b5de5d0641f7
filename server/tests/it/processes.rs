//! A gate of several processes: shared address, metrics, signals.

use std::{net::SocketAddr, time::Duration};

use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    clients::{Client, exchange, get},
    servers::{TestProcess, addr, gatekeeper, soon},
    tokens::{SECRET, valid_token},
};

/// Three processes of two shards each on a free port.
pub const FLAGS: [&str; 6] =
    ["--role=gate", "--listen=127.0.0.1:0", "--processes=3", "--workers=2", "--secret", SECRET];

/// One value of the page that all processes share.
pub async fn metric(gate: SocketAddr, sample: &str) -> f64 {
    let page = get(gate, "/metrics").await;
    testkit::metric(&page, sample).unwrap_or_else(|| panic!("no {sample} in\n{page}"))
}

/// Waits until a value is as expected.
pub async fn metric_becomes(gate: SocketAddr, sample: &str, expected: f64) {
    soon(sample, async {
        while testkit::metric(&get(gate, "/metrics").await, sample) != Some(expected) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn metrics_add_up_all_processes() {
    let process = TestProcess::start(&FLAGS);
    let gate = addr(&process.ready["gate"]);
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(Client::raw(gate, &valid_token("ann")).await);
    }
    metric_becomes(gate, "gatekeeper_sessions_open", 60.0).await;
    let page = get(gate, "/metrics").await;
    let by_process: Vec<f64> = (0..3)
        .map(|i| format!("gatekeeper_process_sessions_open{{process=\"{i}\"}}"))
        .map(|sample| testkit::metric(&page, &sample).expect(&page))
        .collect();
    assert_eq!(by_process.iter().sum::<f64>(), 60.0);
    assert!(by_process.iter().all(|&open| open > 0.0), "{by_process:?}");
    for (sample, expected, why) in [
        (r#"gatekeeper_handshakes_total{outcome="established"}"#, 60.0, "a sum"),
        ("gatekeeper_keys", 1.0, "the same in each"),
        ("gatekeeper_process_restarts_total", 0.0, "the parent's own"),
    ] {
        assert_eq!(testkit::metric(&page, sample), Some(expected), "{why}: {page}");
    }
    for who in ["0", "1", "2", "parent"] {
        let sample = format!("process_resident_memory_bytes{{process=\"{who}\"}}");
        assert!(testkit::metric(&page, &sample).expect(&page) > 0.0, "{who}");
    }
    let head = "HEAD /metrics HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n";
    let answer = exchange(gate, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "no body: {answer}");

    process.signal(Signal::TERM);
    for mut client in clients {
        assert_eq!(client.close_code().await, 1001);
    }
    let (status, out, log) = process.wait();
    assert_eq!((status.code(), &*out), (Some(0), ""), "{log}");
}

#[tokio::test]
async fn metrics_answers_do_not_depend_on_the_number_of_processes() {
    let flags = |processes| {
        let own = ["--role=gate", "--listen=127.0.0.1:0", "--workers=1"];
        [&own[..], &[processes]].concat()
    };
    let gates = ["--processes=1", "--processes=2"].map(|it| TestProcess::start(&flags(it)));
    for (method, status, why) in [
        ("GET", "200 OK", "the page"),
        ("HEAD", "200 OK", "its head"),
        ("POST", "405 Method Not Allowed", "nothing to write"),
        ("DELETE", "405 Method Not Allowed", "nothing to delete"),
    ] {
        let request = format!("{method} /metrics HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n");
        let mut heads = Vec::new();
        for gate in &gates {
            let answer = exchange(addr(&gate.ready["gate"]), request.as_bytes()).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(status), "{why}: {head}");
            assert_eq!(body.is_empty(), method == "HEAD", "{why}: {body}");
            // The pages differ, and so their lengths.
            let lines = head.lines().filter(|it| !it.starts_with("Content-Length"));
            heads.push(lines.collect::<Vec<_>>().join("\n"));
        }
        assert_eq!(heads[0], heads[1], "{why}");
    }
}

#[tokio::test]
async fn many_scrapes_hold_few_descriptors() {
    let process = TestProcess::start(&FLAGS);
    let gate = addr(&process.ready["gate"]);
    let fds = format!("/proc/{}/fd", process.ready["pid"]);
    let open = || std::fs::read_dir(&fds).unwrap().count();
    let (before, mut most) = (open(), 0);
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(gate).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: gate\r\n\r\n";
        stream.write_all(request).await.unwrap();
        // An answer or, where there are too many, an end; the client closes neither.
        let _ = soon("either", stream.read(&mut [0])).await;
        clients.push(stream);
        most = most.max(open());
    }
    assert!(most > before, "open scrapes hold descriptors");
    assert!(most < before + 100, "{before} before, {most} with them");
    drop(clients);
    soon("a later scrape", async {
        let mut page = String::new();
        while !page.contains("\ngatekeeper_keys 1\n") {
            let mut stream = TcpStream::connect(gate).await.unwrap();
            let request = b"GET /metrics HTTP/1.1\r\nHost: gate\r\n\r\n";
            stream.write_all(request).await.unwrap();
            page.clear();
            // It may be refused until the gate has seen the clients close.
            let _ = stream.read_to_string(&mut page).await;
        }
    })
    .await;
}

#[tokio::test]
async fn child_processes_drain_when_their_parent_dies() {
    let process = TestProcess::start(&FLAGS);
    let gate = addr(&process.ready["gate"]);
    let mut client = Client::raw(gate, &valid_token("ann")).await;
    process.signal(Signal::KILL);
    assert_eq!(client.close_code().await, 1001, "the children drain");
}

#[tokio::test]
async fn sighup_makes_all_processes_reload_their_keys() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let keys = file.path().display().to_string();
    let public = include_str!("../keys/p256.public.pem");
    std::fs::write(file.path(), public).unwrap();
    let process = TestProcess::start(&[&FLAGS[..], &["--keys", &keys]].concat());
    let gate = addr(&process.ready["gate"]);
    assert_eq!(metric(gate, "gatekeeper_keys").await, 2.0);
    std::fs::write(file.path(), include_str!("../keys/jwks.json")).unwrap();
    process.signal(Signal::HUP);
    let read = r#"gatekeeper_key_file_changes_total{result="ok"}"#;
    metric_becomes(gate, read, 3.0).await;
}

#[tokio::test]
async fn one_frontend_runs_and_every_process_trusts_its_origin() {
    let flags = ["--listen=127.0.0.1:0", "--frontend-listen=127.0.0.1:0", "--processes=2", "--workers=1"];
    let process = TestProcess::start(&flags);
    let (gate, frontend) = (addr(&process.ready["gate"]), addr(&process.ready["frontend"]));
    assert!(get(frontend, "/healthz").await.contains("200 OK"));
    let preflight =
        format!("OPTIONS /socket.io/ HTTP/1.1\r\nHost: gate\r\nOrigin: http://{frontend}\r\nConnection: close\r\n\r\n");
    for _ in 0..8 {
        let answer = exchange(gate, preflight.as_bytes()).await;
        let trusted = format!("Access-Control-Allow-Origin: http://{frontend}");
        assert!(answer.contains(&trusted), "{answer}");
    }
}

#[test]
fn a_start_error_of_all_children_is_reported_once() {
    for (flags, code, log_part, why) in [
        (
            &["--processes=2", "--role=gate", "--listen=127.0.0.1:0", "--pin=0", "--max-connections=4000000000"][..],
            104,
            "descriptors",
            "a limit of each process",
        ),
        (&["--member", "--role=gate"], 104, "no parent on standard input", "started by hand"),
    ] {
        let output = gatekeeper().args(flags).output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{why}: {log}");
        assert_eq!(log.matches(log_part).count(), 1, "{why}: {log}");
    }
}
