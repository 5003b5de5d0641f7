//! Finds the real peers that `scripts/install` puts in place, and starts them.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::run::process::PATIENCE;
use crate::run::services::{SECRET, fetch};

/// Set where the tests are to pass without Node and Python.
const WITHOUT_PEERS: &str = "GATECRASH_WITHOUT_PEERS";
/// Where Python is, as `scripts/install` says.
const PYTHON: &str = "GATECRASH_PYTHON";

/// The peers of this checkout.
pub struct Peers {
    /// The workspace.
    root: PathBuf,
}

impl Peers {
    /// The peers; `None`, which is told, where the environment says to do without them.
    pub fn find() -> Option<Self> {
        if env::var_os(WITHOUT_PEERS).is_some() {
            let test = std::thread::current();
            let test = test.name().unwrap_or("a test");
            eprintln!("{test}: passed over, {WITHOUT_PEERS} is set");
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        Some(Self { root })
    }

    /// Runs a Python script, a path under `scripts/peers`, to its successful end; what it said.
    pub async fn run(&self, script: &str, words: &[&str]) -> String {
        let mut command = Command::new(self.python());
        command.arg(self.script(script)).args(words);
        let output = timeout(PATIENCE, command.kill_on_drop(true).output());
        let output = output.await.unwrap().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {log}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a server of Node's, a file of `scripts/peers/node`, with the tests' secret.
    pub async fn serve(&self, script: &str, words: &[&str]) -> PeerServer {
        there(self.root.join("scripts/peers/node/node_modules/.package-lock.json"));
        let mut process = Command::new(self.node())
            .arg(self.script(&format!("node/{script}")))
            .args(words)
            .env("SECRET", SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let ready = timeout(PATIENCE, stdout.read_line(&mut line)).await;
        ready.unwrap().unwrap();
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{script} {words:?}: {line:?}: {error}"));
        let addr = |port: &Value| {
            let port = u16::try_from(port.as_u64().unwrap()).unwrap();
            SocketAddr::from(([127, 0, 0, 1], port))
        };
        PeerServer { addr: addr(&ready["port"]), stats: addr(ready.get("stats").unwrap_or(&ready["port"])), process }
    }

    fn script(&self, path: &str) -> PathBuf {
        there(self.root.join("scripts/peers").join(path))
    }

    /// The one that was installed where the machine's is too old, else the machine's.
    fn node(&self) -> PathBuf {
        let installed = self.root.join("target/peers/bin/node");
        if installed.exists() { installed } else { on_path("node") }
    }

    fn python(&self) -> PathBuf {
        match env::var_os(PYTHON) {
            Some(python) => there(python.into()),
            None => there(self.root.join("target/peers/python/bin/python")),
        }
    }
}

/// A server that runs as long as this is kept.
pub struct PeerServer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where it tells its counts, without TLS.
    stats: SocketAddr,
    process: Child,
}

impl PeerServer {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// What it counted so far.
    pub async fn stats(&self) -> Value {
        serde_json::from_str(&fetch(self.stats, "/stats").await).unwrap()
    }
}

fn there(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "no {}: {}", path.display(), advice());
    path
}

fn on_path(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("no {name} on the PATH: {}", advice()))
}

fn advice() -> String {
    format!("run scripts/install, or set {WITHOUT_PEERS}=1 to pass over the tests with peers")
}
