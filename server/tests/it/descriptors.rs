//! Exhausted descriptors: the gate keeps its sessions, does not spin, and recovers.

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{
    clients::{Client, get},
    servers::{TestProcess, soon},
    tokens::{SECRET, valid_token},
};

/// Fewer than [`CONNECTIONS`], more than the process needs without connections.
const DESCRIPTORS: u64 = 64;
const CONNECTIONS: usize = 200;
/// How long the gate is left without descriptors.
const EXHAUSTED_FOR: Duration = Duration::from_millis(500);
/// Pause of a shard after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn exhausted_descriptors_neither_end_nor_spin_the_gate() {
    let flags = ["--role=gate", "--listen=127.0.0.1:0", "--workers=1", "--secret", SECRET];
    let process = TestProcess::start(&flags);
    let gate: SocketAddr = process.ready["gate"].as_str().unwrap()["http://".len()..].parse().unwrap();
    let mut inside = Client::raw(gate, &valid_token("ann")).await;

    // The gate's own limit keeps it below its descriptors, so the limit of descriptors is lowered later.
    let pid = Pid::from_raw(process.ready["pid"].as_i64().unwrap() as i32);
    let few = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
    prlimit(pid, Resource::Nofile, few).unwrap();
    let cpu = || cpu_time(process.ready["pid"].as_i64().unwrap());
    let began = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            // Connections wait in the kernel's backlog once the gate accepts no more.
            TcpStream::connect(gate).unwrap()
        })
        .collect();
    for stream in &clients {
        std::io::Write::write_all(&mut &*stream, b"G").unwrap();
    }
    let before = cpu();
    tokio::time::sleep(EXHAUSTED_FOR).await;
    let spent = cpu() - before;
    assert!(spent < EXHAUSTED_FOR / 5, "it spun for {spent:?} of {EXHAUSTED_FOR:?}");
    inside.send("still here").await;
    assert_eq!(inside.text().await, "still here", "established sockets are served");

    drop(clients);
    soon("the recovery", async {
        while TcpStream::connect(gate).is_err() {
            tokio::task::yield_now().await;
        }
        Client::raw(gate, &valid_token("ann")).await;
    })
    .await;
    let page = get(gate, "/metrics").await;
    let failures = page
        .lines()
        .find_map(|line| line.strip_prefix("gatekeeper_accept_failures_total "))
        .unwrap()
        .parse::<u32>()
        .unwrap();
    let pauses = began.elapsed().as_millis() / ACCEPT_PAUSE.as_millis();
    assert!(failures > 0, "the descriptors did run out");
    assert!(u128::from(failures) <= pauses + 2, "{failures} failures in {pauses} pauses");
}

/// The processor time of a process, as the scheduler counts it for each of its threads.
fn cpu_time(pid: i64) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let spent_ns = threads.map(|thread| {
        let schedstat = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        let spent_ns = schedstat.split(' ').next().unwrap();
        spent_ns.parse::<u64>().unwrap()
    });
    Duration::from_nanos(spent_ns.sum())
}
