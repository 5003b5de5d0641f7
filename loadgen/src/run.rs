//! One run, from what was asked to its files and its exit code: the table of contents of the load generator.

pub mod embedded;
pub mod live;
pub mod observe;
pub mod progress;

mod error;
mod figures;
mod interrupt;
mod load;
mod second;
mod server;
mod shards;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::SystemTime;

use reactor::raise_descriptor_limit;
use reports::render::{TextOptions, text};
use reports::schema::{Environment, RunResult};
use reports::store::ResultDir;
use tokio::runtime::Runtime;
use url::Url;

use crate::cli::RunArgs;
use crate::drive::control::Control;
use crate::ground::environment::{self, CoreShare, Ends, allowed_cpus, check_descriptors, check_memory, check_ports};
use crate::run::live::Page;
use crate::run::progress::Progress;
use crate::speak::target::Target;
use crate::spec::{Machine, Scenario, TargetChoice};
use crate::tokens::prepare;

pub use error::RunError;

use interrupt::Interrupt;
use load::LoadPlan;
use server::Server;

/// Runs what the arguments ask, writes the result, tells it on standard output, and answers the exit code.
///
/// # Errors
///
/// What keeps a run from being begun, or its result from being written.
pub fn run(args: RunArgs) -> Result<u8, RunError> {
    let cpus = allowed_cpus();
    let machine = Machine { cpus: cpus.clone(), now: SystemTime::now() };
    let scenario = Scenario::resolve(args, &machine)?;
    let descriptors = raise_descriptor_limit();
    for load in [Some(&scenario), scenario.of_warmup().as_ref()].into_iter().flatten() {
        check_descriptors(load, descriptors)?;
    }
    let directory = ResultDir::create(&scenario.out)?;

    // Before this thread keeps to a part of the processors.
    let environment = environment::read();
    let embedded = matches!(scenario.target, TargetChoice::Embedded(_));
    let share = CoreShare::new(&cpus, embedded, scenario.pin);
    share.keep_generator().map_err(RunError::Start)?;
    let runtime = runtime().map_err(RunError::Start)?;
    let control = Arc::new(Control::new());
    let interrupt = Interrupt::listen(&runtime, control.clone()).map_err(RunError::Start)?;
    let page = scenario.prometheus;
    let page = page.map(|address| Page::serve(&runtime, address));
    let progress = Progress::new(scenario.quiet, scenario.tui, page.transpose()?, interrupt.keys());
    let rig = Rig { interrupt, progress, runtime, control, environment, share };
    let (result, log) = rig.measure(scenario)?;
    let written = directory.write_all(&result, &log);
    // Told first: where the disk is full, the terminal is all there is.
    tell(&result, written.is_ok().then_some(&directory));
    written?;
    Ok(result.verdict.code)
}

/// What every step of a run needs.
struct Rig {
    runtime: Runtime,
    control: Arc<Control>,
    interrupt: Interrupt,
    progress: Progress,
    environment: Environment,
    share: CoreShare,
}

impl Rig {
    /// The run itself: its result, and the file `run.hlog`.
    fn measure(&self, mut scenario: Scenario) -> Result<(RunResult, Vec<u8>), RunError> {
        let server = self.interruptible(Server::start(self, &mut scenario))?;
        let measured = self.measure_against(&server, scenario);
        self.progress.finish();
        self.runtime.block_on(server.stop());
        measured
    }

    fn measure_against(&self, server: &Server, scenario: Scenario) -> Result<(RunResult, Vec<u8>), RunError> {
        let targets = server.urls().iter().map(|url| reach(url, &scenario));
        let targets: Vec<Arc<Target>> = targets.collect::<Result<_, RunError>>()?;
        for load in [Some(&scenario), scenario.of_warmup().as_ref()].into_iter().flatten() {
            for (target, share) in targets.iter().zip(scenario.shares()) {
                check_ports(load, share, target.routes())?;
            }
            let ends = Ends::of(load, targets.iter().map(|target| &**target));
            check_memory(load, ends)?;
        }
        let before_logins = server.observer().snapshot();
        self.progress.step(&preparing(&scenario));
        let prepared = self.interruptible(async { Ok(prepare(&scenario).await?) })?;
        let plan = LoadPlan { scenario: Arc::new(scenario), targets, prepared, server, warming_up: false };
        self.warm_up(&plan)?;
        let loaded = load::run(self, &plan)?;
        Ok(figures::result(self, &plan, &loaded, &before_logins))
    }

    /// The same load before the measured one, where that was asked; nothing of it is kept.
    fn warm_up(&self, plan: &LoadPlan<'_>) -> Result<(), RunError> {
        let Some(warmup) = plan.scenario.of_warmup() else {
            return Ok(());
        };
        self.progress.step("warming up");
        let loaded = load::run(self, &plan.with(warmup))?;
        if let Some(broken) = loaded.broken.first() {
            return Err(RunError::Start(io::Error::other(broken.clone())));
        }
        if let Some(steps) = &plan.prepared.steps {
            steps.forget_tokens();
        }
        self.control.reset();
        if self.interrupt.has_come() {
            return Err(RunError::StoppedBeforeStart);
        }
        Ok(())
    }

    /// Waits for a step before T0, unless a signal comes first: then nothing was measured.
    fn interruptible<T>(&self, step: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
        self.runtime.block_on(async {
            tokio::select! {
                done = step => done,
                () = self.interrupt.came() => Err(RunError::StoppedBeforeStart),
            }
        })
    }
}

/// A target that takes connections, from the addresses that were asked for.
fn reach(url: &Url, scenario: &Scenario) -> Result<Arc<Target>, RunError> {
    let target = Target::resolve(url, &scenario.tls)?
        .reachable(scenario.connect_timeout)?
        .trusted(scenario.connect_timeout)?
        .from_sources(scenario.source_ips.clone())?;
    Ok(Arc::new(target))
}

fn preparing(scenario: &Scenario) -> String {
    use crate::spec::TokenSource;
    match &scenario.tokens.source {
        TokenSource::Login(_) | TokenSource::Steps(_) | TokenSource::EmbeddedLogin => match scenario.users.len() {
            1 => "logging one user in".to_owned(),
            users => format!("logging {users} users in"),
        },
        TokenSource::Mint(_) => "making tokens".to_owned(),
        TokenSource::File(path) => format!("reading tokens from {}", path.display()),
        TokenSource::Given => "taking tokens".to_owned(),
    }
}

/// The runtime of logins, token requests, signals and child processes. One thread is enough for them, and it keeps to
/// the generator's processors.
fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("logins").enable_all().build()
}

/// The summary on standard output, as wide and colourful as it takes; it says where the files are, if they are.
fn tell(result: &RunResult, written: Option<&ResultDir>) {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let width = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    let page = text(
        result,
        &TextOptions {
            columns: if width == 0 { COLUMNS } else { width },
            color: terminal && std::env::var_os("NO_COLOR").is_none(),
            directory: written.map(ResultDir::path),
        },
    );
    // Standard output may be closed; that is no reason to fail.
    let _closed = stdout.lock().write_all(page.as_bytes());
}

/// Where standard output has no width of its own.
const COLUMNS: usize = 100;
