//! Servers to test: one within the test's process, one as a child process.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};

use clap::Parser;
use gatekeeper::{
    config::{Config, ServeArgs},
    metrics::Metrics,
    server::{ServeError, Server},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
};
use testkit::{LOOK_EVERY, PATIENCE};
use tokio::{sync::oneshot, task::JoinHandle};

pub use testkit::soon;

use super::tokens::SECRET;

/// A server on free ports, in this process.
pub struct TestServer {
    pub gate: SocketAddr,
    pub frontend: SocketAddr,
    pub metrics: Metrics,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), ServeError>>,
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    serve: ServeArgs,
}

impl TestServer {
    /// Starts a server with two shards, the tests' secret and further `flags`.
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, |config| config).await
    }

    /// Like [`Self::start`], with the parsed configuration changed by `change`.
    pub async fn start_with(flags: &[&str], change: impl FnOnce(Config) -> Config) -> Self {
        let own =
            ["gatekeeper", "--listen=127.0.0.1:0", "--frontend-listen=127.0.0.1:0", "--workers=2", "--secret", SECRET];
        let cli = Cli::parse_from(own.iter().chain(flags));
        let config = change(cli.serve.read().unwrap());
        let server = Server::start(config).await.unwrap();
        let addr = |url: Option<String>| addr(&url.unwrap().into());
        let (stop, stopped) = oneshot::channel();
        Self {
            gate: addr(server.gate_url()),
            frontend: addr(server.frontend_url()),
            metrics: server.metrics().unwrap().clone(),
            stop,
            running: tokio::spawn(server.run(async {
                let _ = stopped.await;
            })),
        }
    }

    /// Shuts the server down, as a signal would.
    pub fn stop(self) -> JoinHandle<Result<(), ServeError>> {
        self.stop.send(()).unwrap();
        self.running
    }

    /// One value of `/metrics`, by its name with its labels.
    pub fn metric(&self, sample: &str) -> u64 {
        let page = self.metrics.render();
        testkit::metric(&page, sample).unwrap_or_else(|| panic!("no {sample} in\n{page}")) as u64
    }

    /// Waits until a value of `/metrics` is what it must become.
    pub async fn metric_becomes(&self, sample: &str, value: u64) {
        soon(sample, async {
            while self.metric(sample) != value {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await;
    }
}

/// The address of a URL in the ready line.
pub fn addr(url: &serde_json::Value) -> SocketAddr {
    let (_, addr) = url.as_str().unwrap().split_once("://").unwrap();
    addr.parse().unwrap()
}

/// A `gatekeeper` process; it is killed with the test.
pub struct TestProcess {
    child: Child,
    log: BufReader<ChildStderr>,
    pub ready: serde_json::Value,
}

impl TestProcess {
    /// Starts a process and reads its ready line.
    pub fn start(flags: &[&str]) -> Self {
        let mut command = gatekeeper();
        command.args(flags);
        Self::spawn(command)
    }

    /// Like [`Self::start`], for a command with piped streams.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_while(command, |_| {})
    }

    /// Like [`Self::spawn`]; `act` receives the pid before the process is ready.
    pub fn spawn_while(mut command: Command, act: impl FnOnce(Pid)) -> Self {
        let mut child = command.spawn().unwrap();
        act(Pid::from_child(&child));
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut text = String::new();
            log.read_to_string(&mut text).unwrap();
            panic!("`{line}` is not the ready line: {error}\n{text}")
        });
        Self { child, log, ready }
    }

    /// Waits for a log line that contains `part`, and returns the line.
    pub fn logs(&mut self, part: &str) -> String {
        let patience = Timespec::try_from(PATIENCE).unwrap();
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            if self.log.buffer().is_empty() {
                let mut log = [PollFd::new(self.log.get_ref(), PollFlags::IN)];
                let ready = poll(&mut log, Some(&patience)).unwrap();
                assert!(ready > 0, "no log line with `{part}` within {PATIENCE:?}");
            }
            let bytes = self.log.read_line(&mut line).unwrap();
            assert!(bytes > 0, "the process ended without a log line with `{part}`");
        }
        line
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; returns the rest of standard output and of the log.
    pub fn wait(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut log) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap(), out, log)
    }
}

impl Drop for TestProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs the binary with piped streams.
pub fn gatekeeper() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatekeeper"));
    command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
