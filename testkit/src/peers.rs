//! Runs the peers that `scripts/install` installs: Node, Python, and scripts for them.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::SECRET;
use crate::http::fetch;
use crate::wait::soon;

/// Set where the tests must pass without Node, Python and Chromium.
const WITHOUT_PEERS: &str = "GATECRASH_WITHOUT_PEERS";
/// Holds the path of Python, as `scripts/install` prints it.
const PYTHON: &str = "GATECRASH_PYTHON";

/// The peers of this checkout.
pub struct Peers {
    /// The folder of the workspace.
    root: PathBuf,
    /// A PEM file with the certificate authority that the peers trust.
    trusted: Option<PathBuf>,
}

impl Peers {
    /// The peers. If `WITHOUT_PEERS` is set, writes a note to standard error and returns `None`.
    pub fn find() -> Option<Self> {
        if env::var_os(WITHOUT_PEERS).is_some() {
            let test = std::thread::current();
            let test = test.name().unwrap_or("a test");
            eprintln!("{test}: skipped, {WITHOUT_PEERS} is set");
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        Some(Self { root, trusted: None })
    }

    /// Makes the peers trust the certificate authority of a PEM file.
    pub fn trusting(mut self, authority: PathBuf) -> Self {
        self.trusted = Some(authority);
        self
    }

    /// The path of a file in a package of `scripts/peers/node/package.json`.
    pub fn package(&self, path: &str) -> PathBuf {
        existing(self.root.join("scripts/peers/node/node_modules").join(path))
    }

    /// Writes one line of JSON per case to `script`, a path below `scripts/peers`, and reads as many answers.
    pub async fn ask(&self, script: &str, args: &[&str], cases: &[Value]) -> Vec<Value> {
        let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
        let answers = self.run(script, args, lines).await;
        assert_eq!(answers.len(), cases.len(), "{script}: {answers:?}");
        answers
    }

    /// Runs `script` with `input` on its standard input; returns the lines of JSON that the script writes.
    pub async fn run(&self, script: &str, args: &[&str], input: String) -> Vec<Value> {
        let output = self.output(script, args, input).await;
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{script}: {line}: {error}"));
        output.lines().map(parse).collect()
    }

    /// Runs `script` with `input` on its standard input; returns its standard output. A failure of the script panics.
    pub async fn output(&self, script: &str, args: &[&str], input: String) -> String {
        let mut command = self.command(script);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = soon(script, async {
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let write = async move {
                // This fails when the script has ended without reading the input.
                let _ = stdin.write_all(input.as_bytes()).await;
            };
            tokio::join!(write, child.wait_with_output()).1.unwrap()
        })
        .await;
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}\n{log}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a server in Node, a file of `scripts/peers/node`, with the tests' secret.
    pub async fn serve(&self, script: &str, args: &[&str]) -> PeerServer {
        let mut command = self.command(&format!("node/{script}"));
        command.args(args).env("SECRET", SECRET).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let ready = ready_line(process.stdout.take().unwrap()).await;
        let addr = |port: &Value| {
            let port = u16::try_from(port.as_u64().unwrap()).unwrap();
            SocketAddr::from(([127, 0, 0, 1], port))
        };
        PeerServer { addr: addr(&ready["port"]), stats: addr(ready.get("stats").unwrap_or(&ready["port"])), process }
    }

    fn command(&self, script: &str) -> Command {
        let program = if script.ends_with(".py") {
            self.python()
        } else {
            self.package(".package-lock.json");
            self.node()
        };
        let mut command = Command::new(program);
        command.arg(existing(self.root.join("scripts/peers").join(script))).kill_on_drop(true);
        if let Some(authority) = &self.trusted {
            // The variables of Node and of OpenSSL, which Python uses.
            command.env("NODE_EXTRA_CA_CERTS", authority);
            command.env("SSL_CERT_FILE", authority);
        }
        command
    }

    /// The Node that `scripts/install` has installed where the machine's is too old, else the machine's.
    fn node(&self) -> PathBuf {
        let installed = self.root.join("target/peers/bin/node");
        if installed.exists() { installed } else { on_path("node") }
    }

    fn python(&self) -> PathBuf {
        match env::var_os(PYTHON) {
            Some(python) => existing(python.into()),
            None => existing(self.root.join("target/peers/python/bin/python")),
        }
    }
}

/// A server that runs until this is dropped.
pub struct PeerServer {
    /// The address that the server listens on.
    pub addr: SocketAddr,
    /// The address at which the server shows its counts, without TLS.
    stats: SocketAddr,
    process: Child,
}

impl PeerServer {
    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// The server's counts.
    pub async fn stats(&self) -> Value {
        serde_json::from_str(&fetch(self.stats, "/stats").await).unwrap()
    }
}

/// The line of JSON that a server writes when it is ready.
pub async fn ready_line(stdout: ChildStdout) -> Value {
    let mut line = String::new();
    soon("the ready line", BufReader::new(stdout).read_line(&mut line)).await.unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("`{line}` is not the ready line: {error}"))
}

/// The program `name` on the PATH.
pub fn on_path(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("no {name} on the PATH: {}", advice()))
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "no {}: {}", path.display(), advice());
    path
}

fn advice() -> String {
    format!("run scripts/install, or set {WITHOUT_PEERS}=1 to skip the tests with peers")
}
