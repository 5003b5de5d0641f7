//! One run, from what was asked to its files and its exit code: the table of contents of the load generator.

pub mod embedded;
pub mod live;
pub mod observe;
pub mod progress;

mod context;
mod error;
mod figures;
mod interrupt;
mod load;
mod plan;
mod second;
mod server;
mod shards;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::SystemTime;

use reactor::raise_descriptor_limit;
use reports::render::{TextOptions, text};
use reports::schema::{Control, RunResult};
use reports::store::ResultDir;
use tokio::runtime::Runtime;
use url::Url;

use crate::drive::control;
use crate::ground::environment::{
    self, CoreShare, Ends, Need, allowed_cpus, check_descriptors, check_memory, check_ports,
};
use crate::ground::outcome::Outcome;
use crate::run::context::RunContext;
use crate::run::interrupt::Interrupt;
use crate::run::live::Page;
use crate::run::plan::{LoadPlan, Loaded};
use crate::run::progress::Progress;
use crate::run::server::Server;
use crate::speak::target::Target;
use crate::spec::{LoadSpec, Machine, Pin, RunArgs, RunSpec, ServerSpec, TokenPlan, TokenSource, Transport};
use crate::tokens::prepare;

pub use error::RunError;

/// Runs what the arguments ask, writes the result, prints its summary on standard output, and returns the exit code.
///
/// # Errors
///
/// What keeps a run from being begun, or its result from being written.
pub fn run(args: RunArgs) -> Result<u8, RunError> {
    let cpus = allowed_cpus();
    let spec = RunSpec::resolve(args, &Machine { cpus: cpus.clone(), now: SystemTime::now() })?;
    let descriptors = raise_descriptor_limit();
    for load in loads(&spec) {
        check_descriptors(load.sockets_at_once(), load.processes, descriptors)?;
    }
    let directory = ResultDir::create(&spec.report.out)?;
    let context = prepare_context(&spec, &cpus)?;
    let (result, log) = measure(&context, &spec)?;
    let written = directory.write_all(&result, &log);
    // Printed first: where the disk is full, the terminal is all there is.
    print_summary(&result, written.is_ok().then_some(&directory));
    written?;
    Ok(result.verdict.code)
}

/// The load of a run, and that of its warm-up.
fn loads(spec: &RunSpec) -> Vec<LoadSpec> {
    [Some(spec.load.clone()), spec.load.of_warmup()].into_iter().flatten().collect()
}

fn prepare_context(spec: &RunSpec, cpus: &[usize]) -> Result<RunContext, RunError> {
    // Before this thread keeps to a part of the processors.
    let environment = environment::read();
    let embedded = matches!(spec.server, ServerSpec::Embedded { .. });
    let share = CoreShare::new(cpus, embedded && spec.load.pin == Pin::Auto);
    share.keep_generator().map_err(RunError::Start)?;
    let runtime = runtime().map_err(RunError::Start)?;
    let control = Arc::new(control::Control::new());
    let interrupt = Interrupt::watch(&runtime, control.clone()).map_err(RunError::Start)?;
    let page = spec.report.prometheus.map(|address| Page::serve(&runtime, address));
    let progress = Progress::new(spec.report.quiet, spec.report.tui, page.transpose()?, interrupt.keys());
    Ok(RunContext { interrupt, progress, runtime, control, environment, share })
}

/// The run itself: its result, and the file `run.hlog`.
fn measure(context: &RunContext, spec: &RunSpec) -> Result<(RunResult, Vec<u8>), RunError> {
    let (server, tokens) = context.interruptible(Server::start(context, spec))?;
    let measured = measure_against(context, spec, &server, &tokens);
    context.progress.finish();
    context.runtime.block_on(server.stop());
    measured
}

fn measure_against(
    context: &RunContext,
    spec: &RunSpec,
    server: &Server,
    tokens: &TokenPlan,
) -> Result<(RunResult, Vec<u8>), RunError> {
    let targets = server.urls().iter().map(|url| reach(url, &spec.load));
    let targets: Vec<Arc<Target>> = targets.collect::<Result<_, RunError>>()?;
    check_machine(spec, &targets)?;
    let before_logins = server.observer().snapshot();
    context.progress.step(&preparing(tokens));
    let prepared = context.interruptible(async { Ok(prepare(&spec.load, tokens).await?) })?;
    let plan = LoadPlan { spec, load: Arc::new(spec.load.clone()), targets, prepared, server, warming_up: false };
    warm_up(context, &plan)?;
    let loaded = load::run(context, &plan)?;
    let loaded = Loaded { control: control(context, &plan, &loaded)?, ..loaded };
    let asked = spec.to_result(tokens);
    Ok(figures::result(context, &plan, &loaded, asked, &before_logins))
}

/// Whether this machine has ports and memory enough for the sockets of a run.
fn check_machine(spec: &RunSpec, targets: &[Arc<Target>]) -> Result<(), RunError> {
    let embedded = matches!(spec.server, ServerSpec::Embedded { .. });
    let ends = Ends {
        both: embedded || targets.iter().any(|target| target.is_on_this_machine()),
        embedded,
        tls: targets.iter().any(|target| target.tls.is_some()),
    };
    for load in loads(spec) {
        let sockets = load.sockets_at_once();
        for (target, part) in targets.iter().zip(load.targets.parts()) {
            check_ports(sockets, part, target.routes())?;
        }
        let polls = load.transport == Transport::Polling;
        check_memory(Need { sockets, processes: load.processes, polls, ends })?;
    }
    Ok(())
}

/// The same load before the measured one, where that was asked; nothing of it is kept.
fn warm_up(context: &RunContext, plan: &LoadPlan<'_>) -> Result<(), RunError> {
    let Some(warmup) = plan.load.of_warmup() else {
        return Ok(());
    };
    context.progress.step("warming up");
    let loaded = load::run(context, &plan.with(warmup))?;
    if let Some(broken) = loaded.broken.first() {
        return Err(RunError::Start(io::Error::other(broken.clone())));
    }
    if let Some(steps) = &plan.prepared.steps {
        steps.forget_tokens();
    }
    context.control.reset();
    if context.interrupt.has_come() {
        return Err(RunError::StoppedBeforeStart);
    }
    Ok(())
}

/// After false accepts, the same handshakes without any token: what the target makes of them.
fn control(context: &RunContext, plan: &LoadPlan<'_>, loaded: &Loaded) -> Result<Option<Control>, RunError> {
    let is_hole = loaded.collected.total.count(Outcome::FalseAccept) > 0;
    if !is_hole || context.interrupt.has_come() || plan.server.died().is_some() {
        return Ok(None);
    }
    context.progress.step("looking whether a handshake needs a token at all");
    context.control.reset();
    let without_token = load::run(context, &plan.with(plan.load.of_control()))?.collected.total;
    Ok(Some(Control { handshakes: without_token.ended(), accepted: without_token.count(Outcome::FalseAccept) }))
}

/// A target that takes connections, from the addresses that were asked for.
fn reach(url: &Url, load: &LoadSpec) -> Result<Arc<Target>, RunError> {
    let target = Target::resolve(url, &load.tls)?
        .reachable(load.connect_timeout)?
        .trusted(load.connect_timeout)?
        .from_sources(load.source_ips.clone())?;
    Ok(Arc::new(target))
}

fn preparing(tokens: &TokenPlan) -> String {
    match &tokens.source {
        TokenSource::Login(_) | TokenSource::Steps(_) => match tokens.users.len() {
            1 => "logging one user in".to_owned(),
            users => format!("logging {users} users in"),
        },
        TokenSource::Mint(_) => "making tokens".to_owned(),
        TokenSource::File(path) => format!("reading tokens from {}", path.display()),
    }
}

/// The runtime of logins, token requests, signals and child processes. One thread is enough for them, and it keeps to
/// the generator's processors.
fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("logins").enable_all().build()
}

/// Prints the summary on standard output, as wide and colourful as it takes, and where the files are, if they are.
fn print_summary(result: &RunResult, written: Option<&ResultDir>) {
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
