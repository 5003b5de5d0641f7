//! The embedded server: a gate and a frontend as child processes, so that their processor time and memory stay apart
//! from the load's.
//!
//! Both are this program again (`gatecrash serve`), each in a process group of its own, so that Ctrl-C reaches the
//! run alone, and ended with their parent by the kernel. The secret that they share travels in their environment, never in
//! their arguments, which every user of the machine can read.

mod child;
mod error;
mod users;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use url::Url;

use crate::ground::environment::CoreShare;
use crate::spec::{EMBEDDED_ORIGIN, EmbeddedPlan, LoginMethod, LoginPlan, User};

use child::Child;
use users::UsersFile;

pub use child::ChildError;
pub use error::EmbeddedError;

/// A started pair of gate and frontend. Dropping it kills both; [`Embedded::stop`] lets them end in order.
#[derive(Debug)]
pub struct Embedded {
    gate: Child,
    frontend: Child,
    gate_url: Url,
    frontend_url: Url,
    users: Arc<[User]>,
}

/// Users that are made where none were named: enough for sessions to differ, few enough for logins to take no time.
pub const MADE_USERS: usize = 100;

/// The variable that the secret travels in.
const SECRET_VARIABLE: &str = "GATECRASH_EMBEDDED_SECRET";
/// How much the children log: what goes wrong, unless it was asked for otherwise. The end of it is shown where one dies.
const LOG_VARIABLE: &str = "RUST_LOG";
/// How long the gate may take to close its sockets at the end; less than it is waited for.
const DRAIN: &str = "5s";

impl Embedded {
    /// Starts both from `program`, which takes `serve`: the gate first, since the frontend's page names it.
    ///
    /// The kernel counts the thread that spawns as the parent to end with, so this belongs on a thread that lives as
    /// long as the run: the one of `main`.
    pub async fn start(
        program: &Path,
        plan: &EmbeddedPlan,
        users: &Arc<[User]>,
        gate_processes: u16,
        share: &CoreShare,
    ) -> Result<Self, EmbeddedError> {
        let users = if users.is_empty() { users::made(MADE_USERS).into() } else { users.clone() };
        let mut command = serve(program, "gate", plan, share);
        command.args(["--listen", "127.0.0.1:0", "--origin", EMBEDDED_ORIGIN]);
        if gate_processes > 1 {
            command.args(["--processes", &gate_processes.to_string()]);
        }
        if plan.close_at_exp {
            command.args(["--on-expiry", "close"]);
        }
        let (gate, gate_url) = Child::start("gate", command).await?;

        let file = UsersFile::write(&users)?;
        let mut command = serve(program, "frontend", plan, share);
        command.args(["--frontend-listen", "127.0.0.1:0", "--gate-url", gate_url.as_str()]);
        command.arg("--users").arg(file.path());
        if let Some(ttl) = plan.token_ttl {
            command.args(["--token-ttl", &milliseconds(ttl)]);
        }
        let (frontend, frontend_url) = Child::start("frontend", command).await?;
        // It has read its users: nothing of them needs to stay on the disk.
        drop(file);
        Ok(Self { gate, frontend, gate_url, frontend_url, users })
    }

    /// Its users: those that were named, or those that it has made.
    pub fn users(&self) -> Arc<[User]> {
        self.users.clone()
    }

    /// Where its users log in and get their tokens.
    pub fn login(&self) -> LoginPlan {
        let page = |path: &str| {
            let mut url = self.frontend_url.clone();
            url.set_path(path);
            url
        };
        LoginPlan {
            login_url: Some(page("/login")),
            method: LoginMethod::Basic,
            token_url: page("/getIoConnectionToken"),
            token_json_pointer: String::new(),
        }
    }

    /// Where the sockets go.
    pub fn gate_url(&self) -> &Url {
        &self.gate_url
    }

    /// Where users log in.
    pub fn frontend_url(&self) -> &Url {
        &self.frontend_url
    }

    /// The gate's processes: the one that was started, and those that it has started.
    pub fn gate_pids(&self) -> &[u32] {
        self.gate.pids()
    }

    /// The frontend's process.
    pub fn frontend_pid(&self) -> u32 {
        self.frontend.pids()[0]
    }

    /// Waits until one of the two ends by itself, which it never should, and returns a sentence about it. May be dropped and
    /// called again.
    pub async fn watch(&mut self) -> String {
        tokio::select! {
            how = self.gate.ended() => how,
            how = self.frontend.ended() => how,
        }
    }

    /// Ends both: in order, and by force where that takes too long.
    pub async fn stop(self) {
        tokio::join!(self.gate.stop(), self.frontend.stop());
    }
}

/// `gatecrash serve` in this role, without its addresses.
fn serve(program: &Path, role: &str, plan: &EmbeddedPlan, share: &CoreShare) -> Command {
    let mut command = Command::new(program);
    command.env(SECRET_VARIABLE, OsString::from_vec(plan.secret.expose().to_vec()));
    if std::env::var_os(LOG_VARIABLE).is_none() {
        command.env(LOG_VARIABLE, "warn");
    }
    command.args(["serve", "--role", role, "--die-with-parent", "--drain", DRAIN]);
    command.args(["--secret", &format!("env:{SECRET_VARIABLE}")]);
    if share.pinned {
        command.args(["--pin", &cpu_list(&share.server)]);
    }
    command
}

/// As `taskset` writes it.
fn cpu_list(cpus: &[usize]) -> String {
    let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
    cpus.join(",")
}

fn milliseconds(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}
