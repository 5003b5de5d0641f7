//! Takeovers under load: listeners pass from one process to the next without a refused or reset connection.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::{net::sockopt::set_socket_linger, process::Signal};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    clients::{Client, get},
    servers::{TestProcess, addr, gatekeeper, soon},
    tokens::{SECRET, valid_token},
};

/// Handshakes in flight at any time.
const CLIENTS: usize = 12;

/// Handshakes that must complete between two restarts.
const BETWEEN_RESTARTS: usize = 300;

/// The protocol of a handshake.
#[derive(Clone, Copy)]
enum Protocol {
    Raw,
    SocketIo,
    /// By long-polling, over one connection.
    Polling,
}

/// Clients that make handshakes without end, each over a new connection which they reset.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    /// Each client returns the error that stopped it.
    clients: JoinSet<Option<String>>,
}

impl Load {
    fn start(gate: SocketAddr) -> Self {
        let (stop, done) = (Arc::default(), Arc::default());
        let mut clients = JoinSet::new();
        for i in 0..CLIENTS {
            let protocol = [Protocol::Raw, Protocol::SocketIo, Protocol::Polling][i % 3];
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            clients.spawn(async move {
                while !AtomicBool::load(&stop, Relaxed) {
                    if let Err(error) = handshake(gate, protocol).await {
                        // One error stops all clients.
                        AtomicBool::store(&stop, true, Relaxed);
                        return Some(error.to_string());
                    }
                    AtomicUsize::fetch_add(&done, 1, Relaxed);
                }
                None
            });
        }
        Self { stop, done, clients }
    }

    /// Waits until [`BETWEEN_RESTARTS`] more handshakes are done, or one has failed.
    async fn wait_for_handshakes(&self) {
        let enough = self.done.load(Relaxed) + BETWEEN_RESTARTS;
        soon("handshakes", async {
            while self.done.load(Relaxed) < enough && !self.stop.load(Relaxed) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// Stops the load and checks that no handshake has failed.
    async fn check(self, why: &str) {
        let done = Arc::clone(&self.done);
        let faults = self.faults().await;
        assert_eq!(faults, [""; 0], "{why}, after {done:?} handshakes");
    }

    async fn faults(self) -> Vec<String> {
        self.stop.store(true, Relaxed);
        let ended = self.clients.join_all().await;
        ended.into_iter().flatten().collect()
    }
}

async fn handshake(gate: SocketAddr, protocol: Protocol) -> io::Result<()> {
    let mut stream = TcpStream::connect(gate).await?;
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    let token = valid_token("ann");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let head = |method, target: &str, headers| format!("{method} {target} HTTP/1.1\r\nHost: gate\r\n{headers}\r\n");
    match protocol {
        Protocol::Raw => {
            let request = head("GET", &format!("/ws?token={token}"), upgrade);
            ask(&mut stream, request.as_bytes(), "HTTP/1.1 101").await?;
        }
        Protocol::SocketIo => {
            let target = format!("/socket.io/?EIO=4&transport=websocket&token={token}");
            let request = head("GET", &target, upgrade);
            ask(&mut stream, request.as_bytes(), "0{\"sid\"").await?;
            // `40` under a mask of zeros.
            ask(&mut stream, b"\x81\x82\x00\x00\x00\x0040", "40{\"sid\"").await?;
        }
        Protocol::Polling => {
            let target = format!("/socket.io/?EIO=4&transport=polling&token={token}");
            let opened = ask(&mut stream, head("GET", &target, "").as_bytes(), "}").await?;
            let sid = opened.split('"').skip_while(|word| *word != "sid").nth(2);
            let target = format!("{target}&sid={}", sid.unwrap_or_default());
            let post = head("POST", &target, "Content-Length: 2\r\n") + "40";
            ask(&mut stream, post.as_bytes(), "ok").await?;
            ask(&mut stream, head("GET", &target, "").as_bytes(), "40{\"sid\"").await?;
        }
    }
    Ok(())
}

/// Sends `bytes`, and reads until the answer contains `awaited`.
async fn ask(stream: &mut TcpStream, bytes: &[u8], awaited: &str) -> io::Result<String> {
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            let message = format!("the end after `{}`", String::from_utf8_lossy(&answer));
            return Err(io::Error::other(message));
        }
        let text = String::from_utf8_lossy(&answer);
        if text.contains(awaited) {
            return Ok(text.into_owned());
        }
        if text.starts_with("HTTP/1.1 4") {
            return Err(io::Error::other(text.into_owned()));
        }
    }
}

fn start_with_takeover(path: &Path, listen: &str, flags: &[&str]) -> TestProcess {
    let path = path.display().to_string();
    let own = ["--takeover", &path, "--listen", listen, "--secret", SECRET];
    TestProcess::start(&[&own[..], flags].concat())
}

/// Waits for the end of a replaced process, which must drain and exit with 0.
async fn check_ended(process: TestProcess, why: &str) {
    let (status, _, log) = tokio::task::spawn_blocking(|| process.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{why}: {log}");
    assert!(log.contains("draining"), "{why}: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_takes_over_without_a_lost_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    let gate_alone = ["--role=gate", "--workers=2"];
    let both = ["--frontend-listen=127.0.0.1:0", "--workers=1"];
    let processes = ["--role=gate", "--processes=2", "--workers=1"];
    for (stages, why) in [
        (&[&gate_alone[..], &gate_alone, &gate_alone][..], "one process"),
        (&[&processes[..], &processes, &processes], "several"),
        (&[&gate_alone[..], &processes, &gate_alone], "one, several, one"),
        (&[&both[..], &both, &both], "with a frontend"),
    ] {
        let mut running = start_with_takeover(&path, "127.0.0.1:0", stages[0]);
        let gate = addr(&running.ready["gate"]);
        let frontend = running.ready["frontend"].clone();
        let load = Load::start(gate);
        for flags in &stages[1..] {
            load.wait_for_handshakes().await;
            let mut raw = Client::raw(gate, &valid_token("ann")).await;
            let mut socketio = Client::socketio(gate, &valid_token("ann")).await;
            let successor = start_with_takeover(&path, &gate.to_string(), flags);
            assert_eq!(successor.ready["frontend"], frontend, "{why}: the same");
            assert_eq!(raw.close_code().await, 1001, "{why}: going away");
            assert_eq!(socketio.close_code().await, 1001, "{why}: going away");
            load.wait_for_handshakes().await;
            check_ended(std::mem::replace(&mut running, successor), why).await;
        }
        load.wait_for_handshakes().await;
        load.check(why).await;
        if !frontend.is_null() {
            assert!(get(addr(&frontend), "/healthz").await.contains("200 OK"));
        }
        running.signal(Signal::TERM);
        check_ended(running, why).await;
        assert!(!path.exists(), "{why}: the takeover socket is removed");
    }
}

#[tokio::test]
async fn a_server_without_a_successor_loses_handshakes() {
    let process = TestProcess::start(&["--role=gate", "--listen=127.0.0.1:0", "--secret", SECRET]);
    let load = Load::start(addr(&process.ready["gate"]));
    load.wait_for_handshakes().await;
    process.signal(Signal::TERM);
    check_ended(process, "no successor").await;
    soon("a fault", async {
        while !load.stop.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let faults = load.faults().await;
    assert!(!faults.is_empty(), "the load detects lost handshakes");
}

/// Starts a server as systemd does, with `listeners` from descriptor 3 on.
fn activated(listener: &TcpListener, environment: &str, flags: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!(r#"exec 3<&0 </dev/null; export {environment}; exec "$0" "$@""#);
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_gatekeeper"), "--secret", SECRET])
        .args(flags)
        .env_remove("RUST_LOG")
        .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

const ONE: &str = "LISTEN_PID=$$ LISTEN_FDS=1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_passed_by_listen_fds_outlives_its_servers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = listener.local_addr().unwrap();
    let load = Load::start(gate);
    for flags in [
        &["--role=gate", "--workers=2"][..],
        &["--role=gate", "--processes=2", "--workers=2"],
        &["--role=gate", "--workers=1"],
    ] {
        let process = TestProcess::spawn(activated(&listener, ONE, flags));
        assert_eq!(addr(&process.ready["gate"]), gate, "{flags:?}");
        load.wait_for_handshakes().await;
        process.signal(Signal::TERM);
        check_ended(process, &flags.join(" ")).await;
    }
    // Connections made now wait for the last server.
    let last = TestProcess::spawn(activated(&listener, ONE, &["--role=gate"]));
    load.wait_for_handshakes().await;
    load.check("LISTEN_FDS").await;
    drop(last);
}

#[tokio::test]
async fn the_descriptor_name_marks_the_frontends_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr_given = listener.local_addr().unwrap();
    let named = format!("{ONE} LISTEN_FDNAMES=frontend");
    let process = TestProcess::spawn(activated(&listener, &named, &["--listen=127.0.0.1:0"]));
    assert_eq!(addr(&process.ready["frontend"]), addr_given);
    assert!(get(addr_given, "/healthz").await.contains("200 OK"));
}

#[tokio::test]
async fn a_handshake_under_way_is_completed_during_a_drain() {
    let process = TestProcess::start(&["--role=gate", "--listen=127.0.0.1:0", "--secret", SECRET]);
    let gate = addr(&process.ready["gate"]);
    let path = format!("/socket.io/?EIO=4&transport=websocket&token={}", valid_token("ann"));
    let mut socketio = Client::open(gate, &path, &[]).await.unwrap();
    assert!(socketio.text().await.starts_with("0{"));
    let mut established = Client::raw(gate, &valid_token("ann")).await;
    process.signal(Signal::TERM);
    assert_eq!(established.close_code().await, 1001, "it drains");
    socketio.send("40").await;
    assert!(socketio.text().await.starts_with("40{"), "the handshake completes");
    assert_eq!(socketio.close_code().await, 1001, "the drain closes the new session");
    check_ended(process, "within the drain").await;
}

#[test]
fn failed_takeovers_are_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let elsewhere = format!("--listen={}", other.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let file = format!("--takeover={}", file.display());
    let nowhere = "--takeover=/nonexistent/gate.sock";
    for (environment, flags, log_part, why) in [
        (ONE, &["--role=gate", &elsewhere][..], "was handed over is at", "another address"),
        (
            "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=frontend",
            &["--role=gate"],
            "has no use for it",
            "a frontend that does not run",
        ),
        ("LISTEN_PID=$$ LISTEN_FDS=2", &["--role=gate"], "descriptor 4", "one too few"),
        ("LISTEN_PID=$$ LISTEN_FDS=many", &["--role=gate"], "`many` is no count", "no count"),
        (ONE, &["--role=gate", nowhere], "use one of them", "both ways"),
        (
            "UNUSED=1",
            &["--role=gate", "--listen=127.0.0.1:0", nowhere],
            "--takeover /nonexistent/gate.sock: No such file",
            "no folder",
        ),
        ("UNUSED=1", &["--role=gate", "--listen=127.0.0.1:0", &file], "that is no socket", "a file"),
    ] {
        let output = activated(&listener, environment, flags).output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains(log_part), "{why}: {log}");
        assert_eq!(output.status.code(), Some(104), "{why}: {log}");
    }
}

#[tokio::test]
async fn a_successor_that_cannot_serve_leaves_the_predecessor_running() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    let running = start_with_takeover(&path, "127.0.0.1:0", &["--role=gate"]);
    let gate = addr(&running.ready["gate"]);
    let (at, path) = (gate.to_string(), path.display().to_string());
    for (flags, log_part, why) in [
        (&["--role=gate", "--listen=127.0.0.2:0"][..], "was handed over is at", "elsewhere"),
        (&["--role=frontend", "--listen", &at], "has no use for it", "no gate"),
        (&["--role=gate", "--keys=/nonexistent"], "/nonexistent", "no key"),
        (&["--role=gate", "--processes=2", "--pin=1023"], "--pin", "no such cpu"),
    ] {
        let mut command = gatekeeper();
        let output = command.args(["--takeover", &path]).args(flags).output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains(log_part), "{why}: {log}");
        assert_eq!(output.status.code(), Some(104), "{why}: {log}");
        Client::raw(gate, &valid_token("ann")).await;
    }
    running.signal(Signal::TERM);
    let (status, _, log) = running.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}
