//! Runs the `gatecrash` binary: flags in; output, files and an exit code out.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use gatecrash::ground::outcome::Outcome;
use gatecrash::judge::verdict::{INVALID, PASS};
use reports::schema::RunResult;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use testkit::{PATIENCE, until};

use super::process::{Process, children_of};
use super::services::SECRET;

/// Texts that no output may contain: the secret, and every JWT of these tests, which begins with `{"typ":` or `{"alg":` in
/// base64url.
const SECRETS: [&str; 3] = [SECRET, "eyJ0eXAi", "eyJhbGci"];

/// A run that is to be started.
pub struct Program {
    words: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    /// A line for `sh`, which then executes the run in its own process.
    shell: Option<String>,
    /// Holds the result in `out`, unless `--out` names another folder.
    folder: TempDir,
}

/// `gatecrash run` with flags separated by spaces. Each run has its own result folder.
pub fn run(flags: &str) -> Program {
    let words = ["run"].into_iter().chain(flags.split_whitespace());
    Program {
        words: words.map(OsString::from).collect(),
        environment: Vec::new(),
        shell: None,
        folder: tempfile::tempdir().unwrap(),
    }
}

impl Program {
    /// Adds a flag whose value may contain spaces.
    pub fn flag(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.words.extend([name.into(), value.into()]);
        self
    }

    /// Adds a scenario file with this text.
    pub fn scenario(mut self, text: &str) -> Self {
        let path = self.folder.path().join("scenario.toml");
        fs::write(&path, text).unwrap();
        self.words.push(path.into());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Lets `sh` do something first, such as lower a limit.
    pub fn after(mut self, shell: &str) -> Self {
        self.shell = Some(format!("{shell}; exec \"$0\" \"$@\""));
        self
    }

    /// Runs it to its end.
    pub async fn end(self) -> Ended {
        self.start().end().await
    }

    /// Starts the run. The run is killed when the test ends.
    pub fn start(mut self) -> Running {
        let out = self.folder.path().join("out");
        if !self.words.iter().any(|word| word == "--out") {
            self = self.flag("--out", &out);
        }
        let binary = env!("CARGO_BIN_EXE_gatecrash");
        let mut command = match &self.shell {
            Some(line) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(line).arg(binary);
                shell
            }
            None => Command::new(binary),
        };
        command
            .args(&self.words)
            .envs(self.environment)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        Running {
            stdout: follow(child.stdout.take().unwrap()),
            stderr: follow(child.stderr.take().unwrap()),
            child,
            out,
            folder: self.folder,
        }
    }
}

/// A run in progress.
pub struct Running {
    child: Child,
    stdout: Pipe,
    stderr: Pipe,
    out: PathBuf,
    folder: TempDir,
}

impl Running {
    /// Sends a signal to it and to all of its process group, as a terminal does.
    pub fn signal(&self, signal: Signal) {
        kill_process_group(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    /// Its embedded gate and frontend, once both are there.
    pub async fn servers(&self) -> Servers {
        let found = |role| {
            let children = children_of(self.pid());
            children.into_iter().find(|child| child.has_argument(role))
        };
        until("gate and frontend to start", || Some(Servers { gate: found("gate")?, frontend: found("frontend")? }))
            .await
    }

    /// Waits for the first line on standard error.
    pub async fn first_line(&self) -> String {
        until("a line on standard error", || {
            let said = self.stderr.bytes.lock().unwrap();
            let said = String::from_utf8_lossy(&said);
            Some(said.split_once('\n')?.0.to_owned())
        })
        .await
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            self.child.kill().await.unwrap();
            let (said, told) = (self.stderr.whole().await, self.stdout.whole().await);
            panic!("still running after {PATIENCE:?}\n{said}\n{told}");
        };
        let ended = Ended {
            status: status.unwrap(),
            stdout: self.stdout.whole().await,
            stderr: self.stderr.whole().await,
            out: self.out,
            _folder: self.folder,
        };
        ended.assert_shows_no_secret();
        ended
    }

    /// The process id.
    pub fn pid(&self) -> i32 {
        self.child.id().expect("not waited for yet").cast_signed()
    }
}

/// The processes of an embedded server.
pub struct Servers {
    /// Takes the sockets.
    pub gate: Process,
    /// Logs in and hands out tokens.
    pub frontend: Process,
}

impl Servers {
    /// Whether both processes have ended.
    pub fn are_gone(&self) -> bool {
        !self.gate.is_there() && !self.frontend.is_there()
    }
}

/// A finished run with its output and files.
pub struct Ended {
    status: ExitStatus,
    /// Text on standard output.
    pub stdout: String,
    /// Text on standard error.
    pub stderr: String,
    /// The default result folder.
    pub out: PathBuf,
    _folder: TempDir,
}

impl Ended {
    /// The exit code, which must be `code`.
    pub fn exits_with(&self, code: u8, why: &str) -> &Self {
        assert_eq!(self.status.code(), Some(code.into()), "{why}: {}{}\n{}", self.status, self.stderr, self.stdout);
        self
    }

    /// It passed, or other tests on the machine delayed its arrivals: the open model then says so, and must.
    pub fn passes_or_was_late(&self, why: &str) -> &Self {
        if self.status.code() == Some(INVALID.into()) {
            let reasons = self.result().validity.reasons;
            let late =
                |reason: &String| reason.starts_with("arrivals began late") || reason.starts_with("the generator used");
            assert!(reasons.iter().all(late), "{why}: {reasons:?}");
            return self;
        }
        self.exits_with(PASS, why)
    }

    /// What it wrote into `result.json`, which agrees with itself and with the exit code.
    pub fn result(&self) -> RunResult {
        let json = fs::read(self.out.join("result.json"))
            .unwrap_or_else(|error| panic!("no result.json: {error}\n{}{}", self.stderr, self.stdout));
        let result: RunResult = serde_json::from_slice(&json).unwrap();
        let totals = &result.totals;
        let sum: u64 = totals.outcomes().iter().map(|(_, count)| count).sum();
        assert_eq!(totals.planned, sum, "{totals:?}");
        assert_eq!(totals.started + totals.not_sent, sum, "{totals:?}");
        let code = Some(i32::from(result.verdict.code));
        assert_eq!(self.status.code(), code, "{:?}", result.verdict);
        result
    }

    /// The outcomes that happened, and nothing else did.
    pub fn counts(&self, expected: &[(Outcome, u64)], why: &str) -> RunResult {
        let result = self.result();
        let counted: Vec<_> = result.totals.outcomes().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, expected, "{why}: {:?} {:?}\n{}", result.failures, result.refusals, self.stderr);
        result
    }

    /// The names of the files that it wrote, in order.
    pub fn files(&self) -> Vec<String> {
        files(&self.out).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    fn assert_shows_no_secret(&self) {
        let written =
            files(&self.out).into_iter().map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned());
        for text in written.chain([self.stdout.clone(), self.stderr.clone()]) {
            for words in SECRETS {
                assert!(!text.contains(words), "{words} is shown in\n{text}");
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Output of a process.
struct Pipe {
    /// Received so far.
    bytes: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Pipe {
    async fn whole(self) -> String {
        self.task.await.unwrap();
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

fn follow(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Pipe {
    let received = Arc::new(Mutex::new(Vec::new()));
    let into = received.clone();
    let task = tokio::spawn(async move {
        let mut bytes = [0; 4096];
        while let length @ 1.. = pipe.read(&mut bytes).await.unwrap() {
            into.lock().unwrap().extend_from_slice(&bytes[..length]);
        }
    });
    Pipe { bytes: received, task }
}
