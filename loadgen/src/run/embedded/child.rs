//! One child process: started, waited for until it is ready, watched, stopped.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use url::Url;

/// How long a child may take to be ready: it reads a secret and binds a port.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// How long it may take to end after SIGTERM; then it is killed.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// How long its standard error may stay open after its end, by a process that it left behind.
const STDERR_WITHIN: Duration = Duration::from_millis(500);
/// Bytes of its standard error that are kept, the last ones.
const TAIL_BYTES_MAX: usize = 4096;
/// The one line of its standard output is far shorter.
const READY_LINE_BYTES_MAX: u64 = 4096;

/// A child that was ready once.
#[derive(Debug)]
pub(super) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    /// Its own number, and those of the processes that it reports to have started.
    pids: Vec<u32>,
    stderr: Tail,
}

/// Why a child did not come up.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The system would not start it.
    #[error("cannot start the embedded {name}: {error}")]
    Spawn {
        /// `gate` or `frontend`.
        name: &'static str,
        /// What the system says.
        error: std::io::Error,
    },
    /// It ended before it was ready.
    #[error("the embedded {name} did not start ({status}){stderr}")]
    Ended {
        /// `gate` or `frontend`.
        name: &'static str,
        /// How it ended.
        status: String,
        /// The end of its standard error.
        stderr: String,
    },
    /// It did not report where it listens.
    #[error("the embedded {name} was not ready within {READY_WITHIN:?}{stderr}")]
    NotReady {
        /// `gate` or `frontend`.
        name: &'static str,
        /// The end of its standard error.
        stderr: String,
    },
}

impl Child {
    /// Starts a command and waits for its line of JSON on standard output, whose member `name` is the URL it serves.
    pub(super) async fn start(name: &'static str, mut command: Command) -> Result<(Self, Url), ChildError> {
        Self::start_within(READY_WITHIN, name, &mut command).await
    }

    async fn start_within(
        deadline: Duration,
        name: &'static str,
        command: &mut Command,
    ) -> Result<(Self, Url), ChildError> {
        let spawn = |error| ChildError::Spawn { name, error };
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(spawn)?;
        let missing = || spawn(std::io::Error::other("it ended at once"));
        let pid = process.id().ok_or_else(missing)?;
        let stdout = process.stdout.take().ok_or_else(missing)?;
        let stderr = Tail::follow(process.stderr.take().ok_or_else(missing)?);
        let mut child = Self { name, process, pids: vec![pid], stderr };
        match timeout(deadline, ready_line(stdout)).await {
            Ok(Some(line)) => match ready_of(name, &line) {
                Some((url, pids)) => {
                    child.pids.extend(pids);
                    Ok((child, url))
                }
                None => Err(child.not_ready().await),
            },
            // Its standard output is closed: it has ended, or is about to.
            Ok(None) => match timeout(STOPPED_WITHIN, child.process.wait()).await {
                Ok(status) => {
                    Err(ChildError::Ended { name, status: shown(status), stderr: child.stderr.whole().await })
                }
                Err(_) => Err(child.not_ready().await),
            },
            Err(_) => Err(child.not_ready().await),
        }
    }

    /// Its own process first.
    pub(super) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Waits for an unexpected end. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> String {
        let status = shown(self.process.wait().await);
        let stderr = self.stderr.whole().await;
        format!("the embedded {} (process {}) ended in mid-run ({status}){stderr}", self.name, self.pids[0])
    }

    /// Asks it to end, waits, and kills it where it does not.
    pub(super) async fn stop(self) {
        self.stop_within(STOPPED_WITHIN).await;
    }

    async fn stop_within(mut self, deadline: Duration) {
        // None where its end was waited for already: its number may be another's by now.
        let running = self.process.id().and_then(|pid| i32::try_from(pid).ok());
        let Some(pid) = running.and_then(Pid::from_raw) else {
            return;
        };
        // Fails only if it ended just now.
        let _ended_already = kill_process(pid, Signal::TERM);
        if timeout(deadline, self.process.wait()).await.is_err() {
            let _ended_already = self.process.kill().await;
        }
    }

    async fn not_ready(mut self) -> ChildError {
        let _ended_already = self.process.kill().await;
        ChildError::NotReady { name: self.name, stderr: self.stderr.whole().await }
    }
}

async fn ready_line(stdout: ChildStdout) -> Option<String> {
    let mut line = String::new();
    let read = BufReader::new(stdout.take(READY_LINE_BYTES_MAX)).read_line(&mut line).await;
    (read.is_ok() && line.ends_with('\n')).then_some(line)
}

/// The URL that a child serves, and the processes that it has started.
fn ready_of(name: &str, line: &str) -> Option<(Url, Vec<u32>)> {
    let ready: serde_json::Value = serde_json::from_str(line).ok()?;
    let url = ready.get(name)?.as_str()?.parse().ok()?;
    let pids = ready.get(format!("{name}_pids")).and_then(serde_json::Value::as_array);
    let pids = pids.into_iter().flatten().filter_map(|pid| pid.as_u64());
    Some((url, pids.filter_map(|pid| pid.try_into().ok()).collect()))
}

fn shown(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// The end of a child's standard error, kept up by a task.
#[derive(Debug)]
struct Tail {
    kept: Arc<Mutex<Vec<u8>>>,
    following: JoinHandle<()>,
}

impl Tail {
    fn follow(mut stderr: ChildStderr) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keeper = kept.clone();
        let following = tokio::spawn(async move {
            let mut chunk = [0; 1024];
            while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
                let mut kept = keeper.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&chunk[..length]);
                let over = kept.len().saturating_sub(TAIL_BYTES_MAX);
                kept.drain(..over);
            }
        });
        Self { kept, following }
    }

    /// The end of the standard error of a child that has ended, to be put behind a sentence; empty where there is none.
    async fn whole(&mut self) -> String {
        if !self.following.is_finished() {
            let _left_open = timeout(STDERR_WITHIN, &mut self.following).await;
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        match text.trim() {
            "" => String::new(),
            end => format!(": {end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = r#"echo '{"gate":"http://127.0.0.1:5","pid":1}'"#;
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    async fn start(script: &str, deadline: Duration) -> Result<(Child, Url), ChildError> {
        let mut command = Command::new("/bin/sh");
        Child::start_within(deadline, "gate", command.args(["-c", script])).await
    }

    #[tokio::test]
    async fn a_child_that_does_not_come_up_says_why() {
        for (script, deadline, expected, why) in [
            (
                "echo no secret >&2; exit 104",
                LONG,
                "the embedded gate did not start (exit status: 104): no secret",
                "its own words",
            ),
            ("exit 1", LONG, "the embedded gate did not start (exit status: 1)", "no output"),
            ("sleep 60", SHORT, "the embedded gate was not ready within 15s", "it hangs"),
            ("echo hello; sleep 60", LONG, "the embedded gate was not ready", "another program"),
            ("echo '{\"frontend\":\"x\"}'; sleep 60", LONG, "not ready", "the wrong role"),
        ] {
            let error = start(script, deadline).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{why}: {error}");
        }
    }

    #[tokio::test]
    async fn an_end_in_mid_run_is_reported() {
        let script = format!("{READY}; echo broken >&2; kill -9 $$");
        let (mut child, url) = start(&script, LONG).await.unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:5/");
        let how = child.ended().await;
        assert!(how.contains("ended in mid-run (signal: 9 (SIGKILL)): broken"), "{how}");
    }

    #[tokio::test]
    async fn a_child_is_stopped_by_force_where_it_must_be() {
        for (script, deadline, why) in [
            ("exec sleep 60", LONG, "it ends when asked"),
            ("trap '' TERM; sleep 60", SHORT, "it does not"),
            ("exit 0", LONG, "it has ended already"),
        ] {
            let (child, _) = start(&format!("{READY}; {script}"), LONG).await.unwrap();
            let pid = child.pids()[0];
            child.stop_within(deadline).await;
            let gone = !std::path::Path::new(&format!("/proc/{pid}")).exists();
            assert!(gone, "{why}");
        }
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_log_is_kept() {
        let script = "i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1";
        let error = start(script, LONG).await.unwrap_err().to_string();
        assert!(error.ends_with("line 1999"), "{error}");
        assert!(error.len() < TAIL_BYTES_MAX + 200, "{}", error.len());
    }
}
