//! Finds the real peers that `scripts/install` puts in place, and asks them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// Set where the tests are to pass without Node, Python and Chromium.
const WITHOUT_PEERS: &str = "GATECRASH_WITHOUT_PEERS";
/// Where Python is, as `scripts/install` says.
const PYTHON: &str = "GATECRASH_PYTHON";
/// What no peer should take. A browser on a busy machine is slow to start, so it is long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The peers of this checkout.
pub struct Peers {
    /// The workspace.
    root: PathBuf,
    /// An authority that they are to trust.
    trusted: Option<PathBuf>,
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
        Some(Self { root, trusted: None })
    }

    /// The same, trusting certificates by an authority, a PEM file.
    pub fn trusting(mut self, authority: PathBuf) -> Self {
        self.trusted = Some(authority);
        self
    }

    /// A file of a package that `scripts/peers/node/package.json` names.
    pub fn package(&self, path: &str) -> PathBuf {
        there(self.root.join("scripts/peers/node/node_modules").join(path))
    }

    /// Gives `script`, a path under `scripts/peers`, one line of JSON per case and reads as many answers.
    pub async fn ask(&self, script: &str, words: &[&str], cases: &[Value]) -> Vec<Value> {
        let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
        let answers = self.run(script, words, lines).await;
        assert_eq!(answers.len(), cases.len(), "{script}: {answers:?}");
        answers
    }

    /// Runs `script` with `input` on its standard input; the lines of JSON that it answers.
    pub async fn run(&self, script: &str, words: &[&str], input: String) -> Vec<Value> {
        let mut command = self.command(script);
        command.args(words).kill_on_drop(true);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = timeout(PATIENCE, async {
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let write = async move {
                // One that reads nothing has answered all the same, or says why it did not.
                let _ = stdin.write_all(input.as_bytes()).await;
            };
            tokio::join!(write, child.wait_with_output()).1.unwrap()
        });
        let Ok(output) = ended.await else {
            panic!("{script} took more than {PATIENCE:?}");
        };
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}\n{log}", output.status);
        let told = String::from_utf8(output.stdout).unwrap();
        told.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{script}: {line}: {error}\n{log}")))
            .collect()
    }

    fn command(&self, script: &str) -> Command {
        let program = if script.ends_with(".py") {
            self.python()
        } else {
            self.package(".package-lock.json");
            self.node()
        };
        let mut command = Command::new(program);
        command.arg(there(self.root.join("scripts/peers").join(script)));
        if let Some(authority) = &self.trusted {
            // Node's name for it, and OpenSSL's, which Python goes by.
            command.env("NODE_EXTRA_CA_CERTS", authority);
            command.env("SSL_CERT_FILE", authority);
        }
        command
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

fn there(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "no {}: {}", path.display(), advice());
    path
}

/// The program that `name` starts; every peer but these has a fixed place.
pub fn on_path(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("no {name} on the PATH: {}", advice()))
}

fn advice() -> String {
    format!("run scripts/install, or set {WITHOUT_PEERS}=1 to pass over the tests with peers")
}
