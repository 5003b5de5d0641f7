//! From flags to their meaning: defaults filled in, contradictions refused, secrets and keys read.

mod targets;
mod thresholds;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::ground::environment::{CoreShare, PROCESSES_MAX};
use crate::ground::values::{PerSecond, Period};
use crate::plan::hold::Hold;
use crate::plan::instants::read_instants;
use crate::plan::mix::Mix;
use crate::plan::model::{Arrivals, Model};
use crate::plan::stages::RateProfile;
use crate::spec::args::RunArgs;
use crate::spec::error::{SpecError, conflict, in_range, out_of_range};
use crate::spec::file::read_file;
use crate::spec::load::LoadSpec;
use crate::spec::protocol::{Protocol, TokenIn, Transport};
use crate::spec::run::{Observed, ReportSpec, RunSpec, ServerSpec};
use crate::spec::targets::Targets;
use crate::spec::tls::TlsPlan;
use crate::spec::values::{AnsweredBy, ArrivalsText, Close, Echo, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MIN, Pin};

use targets::{ResolvedTargets, TargetChoice};

/// The properties of this machine that decide defaults.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processors that this program may run on, at least one.
    pub cpus: Vec<usize>,
    /// The current time, which names the folder of the result.
    pub now: SystemTime,
}

/// A shard is a thread; more of them than this is a mistyped number.
const WORKERS_MAX: usize = 1024;

impl RunSpec {
    /// Reads the file that the flags name, lays the flags over it, and resolves what it all means.
    ///
    /// # Errors
    ///
    /// What contradicts itself, is out of range or missing, and files and secrets that cannot be read.
    pub fn resolve(args: RunArgs, machine: &Machine) -> Result<Self, SpecError> {
        let args = match &args.scenario {
            Some(path) => {
                let file = read_file(path)?;
                args.over(file)
            }
            None => args,
        };
        let ResolvedTargets { choice, protocol, targets } = targets::resolve(&args)?;
        let embedded = matches!(choice, TargetChoice::Embedded(_));
        let users = tokens::users(&args, embedded)?;
        let model = model(&args)?;
        let observed = Observed {
            pid: args.server_pid,
            metrics: targets::metrics(&args.server_metrics, &args.server_metrics_names)?,
        };
        let tokens = tokens::plan(&args, &choice, users)?;
        let load = load(&args, (model, protocol, targets), embedded, machine)?;
        let server = match choice {
            TargetChoice::Embedded(plan) => ServerSpec::Embedded { plan, tokens },
            TargetChoice::Named(urls) => ServerSpec::Named { urls, tokens: tokens::of_named(tokens)?, observed },
        };
        thresholds::check(&args.threshold, &load, &server)?;
        Ok(Self { server, load, report: report(args, machine) })
    }
}

fn load(
    args: &RunArgs,
    (model, protocol, targets): (Model, Protocol, Targets),
    embedded: bool,
    machine: &Machine,
) -> Result<LoadSpec, SpecError> {
    let pin = args.pin.unwrap_or(Pin::Auto);
    let processes = in_range("--processes", args.processes.unwrap_or(1), 1, PROCESSES_MAX)?;
    let workers = args.workers.unwrap_or_else(|| {
        let cpus = CoreShare::new(&machine.cpus, embedded && pin == Pin::Auto).generator.len();
        // Shards that share a processor wait for each other.
        (cpus / processes).max(1)
    });
    Ok(LoadSpec {
        protocol,
        transport: transport(args, protocol)?,
        namespace: namespace(args, protocol)?,
        connections: connections(args, &model)?,
        warmup: warmup(args, &model)?,
        model,
        duration: args.duration.map(|period| period.0),
        hold: args.hold.unwrap_or(Hold::UntilEnd),
        close: close(args, protocol)?,
        echo: echo(args, embedded, protocol)?,
        timeout: timeout("--timeout", args.timeout, 10)?,
        connect_timeout: timeout("--connect-timeout", args.connect_timeout, 5)?,
        auth_grace: args.auth_grace.map_or(Duration::from_millis(500), |period| period.0),
        refused_by: args.refused_by.clone().unwrap_or_default(),
        mix: Mix::new(&args.mix.clone().unwrap_or_default(), &args.expect, args.seed()),
        token_in: tokens::token_in(args, protocol)?,
        refresh: args.refresh.unwrap_or_default(),
        close_at_exp: args.expect_close_at_exp.map(|grace| grace.0),
        targets,
        source_ips: args.source_ip.clone().unwrap_or_default(),
        tls: TlsPlan::new(args.insecure.unwrap_or(false), args.cacert.clone(), args.tls_resumption)?,
        processes,
        workers: in_range("--workers", workers, 1, WORKERS_MAX)?,
        pin,
        seed: args.seed(),
    })
}

fn report(args: RunArgs, machine: &Machine) -> ReportSpec {
    ReportSpec {
        thresholds: args.threshold,
        out: args.out.unwrap_or_else(|| out(machine.now)),
        quiet: args.quiet.unwrap_or(false),
        tui: !args.no_tui.unwrap_or(false),
        prometheus: args.prometheus,
    }
}

fn transport(args: &RunArgs, protocol: Protocol) -> Result<Transport, SpecError> {
    let transport = args.transport.unwrap_or(Transport::WebSocket);
    if args.transport.is_some() && protocol == Protocol::WebSocket {
        return Err(conflict("--transport", "a raw WebSocket has no other transport; use --protocol socketio"));
    }
    if transport.polls() && args.token_in == Some(TokenIn::Subprotocol) {
        return Err(conflict(
            "--token-in subprotocol and --transport",
            "a poll offers no subprotocol; use --transport websocket, or another place",
        ));
    }
    Ok(transport)
}

fn namespace(args: &RunArgs, protocol: Protocol) -> Result<String, SpecError> {
    let Some(namespace) = args.namespace.clone() else {
        return Ok("/".to_owned());
    };
    if protocol == Protocol::WebSocket {
        return Err(conflict("--namespace", "a raw WebSocket has no namespaces; use --protocol socketio"));
    }
    let is_allowed = |c: char| c.is_ascii_graphic() && !matches!(c, ',' | '?');
    if !namespace.starts_with('/') || !namespace.chars().all(is_allowed) {
        let allowed = "it begins with / and holds no space, no comma, no ? and nothing beyond ASCII";
        return Err(out_of_range("--namespace", namespace, allowed));
    }
    Ok(namespace)
}

fn model(args: &RunArgs) -> Result<Model, SpecError> {
    match (args.concurrency, args.rate) {
        (Some(_), Some(_)) => Err(conflict(
            "--rate and --concurrency",
            "arrivals come by a schedule (open model) or as places become free (closed model), not both",
        )),
        (Some(_), None) if args.arrivals.is_some() => {
            Err(conflict("--arrivals and --concurrency", "the closed model has no schedule"))
        }
        (concurrency, rate) if !args.stage.is_empty() => {
            if concurrency.is_some() || rate.is_some() {
                return Err(conflict("--stage", "stages set the rate, in place of --rate and --concurrency"));
            }
            staged(args)
        }
        (Some(concurrency), None) => {
            Ok(Model::Closed { concurrency: in_range("--concurrency", concurrency, 1, u32::MAX)? })
        }
        (None, rate) => match &args.arrivals {
            Some(ArrivalsText::File(_)) if rate.is_some() => {
                Err(conflict("--rate and --arrivals FILE", "the file sets when each arrival is due"))
            }
            Some(ArrivalsText::File(path)) => Ok(Model::Listed(read_instants(path)?)),
            _ => Ok(Model::Open {
                rate_per_s: rate.map_or(500.0, PerSecond::get),
                arrivals: gaps(args).unwrap_or(Arrivals::Uniform),
            }),
        },
    }
}

fn staged(args: &RunArgs) -> Result<Model, SpecError> {
    let arrivals =
        gaps(args).ok_or_else(|| conflict("--stage and --arrivals FILE", "the file sets when each arrival is due"))?;
    let profile = RateProfile::new(args.stage.clone());
    let profile = profile.ok_or(SpecError::Missing("no --stage has a rate above 0/s: nothing would arrive"))?;
    Ok(Model::Staged { profile: Arc::new(profile), arrivals })
}

/// The gaps between arrivals; `None`: a file lists the instants.
fn gaps(args: &RunArgs) -> Option<Arrivals> {
    match &args.arrivals {
        None => Some(Arrivals::Uniform),
        Some(ArrivalsText::Gaps(gaps)) => Some(*gaps),
        Some(ArrivalsText::File(_)) => None,
    }
}

fn warmup(args: &RunArgs, model: &Model) -> Result<Duration, SpecError> {
    let warmup = args.warmup.map_or(Duration::ZERO, |period| period.0);
    if !warmup.is_zero() && matches!(model, Model::Listed(_)) {
        return Err(conflict("--warmup and --arrivals FILE", "a file of instants has no rate to warm up with"));
    }
    Ok(warmup)
}

fn connections(args: &RunArgs, model: &Model) -> Result<Option<u64>, SpecError> {
    // Stages and lists end by themselves.
    let ends = matches!(model, Model::Staged { .. } | Model::Listed(_));
    match (args.connections, args.duration) {
        (None, None) if ends => Ok(None),
        (Some(connections), _) => in_range("--connections", connections, 1, u64::from(u32::MAX)).map(Some),
        (None, None) => Ok(Some(5000)),
        (None, Some(_)) => Ok(None),
    }
}

fn close(args: &RunArgs, protocol: Protocol) -> Result<Close, SpecError> {
    match (args.close, protocol) {
        (Some(Close::Disconnect), Protocol::WebSocket) => {
            Err(conflict("--close disconnect", "a raw WebSocket has no disconnect packet; use frame, fin or reset"))
        }
        (Some(close), _) => Ok(close),
        (None, Protocol::WebSocket) => Ok(Close::Frame),
        (None, Protocol::SocketIo(_)) => Ok(Close::Disconnect),
    }
}

fn answered_by(args: &RunArgs, protocol: Protocol) -> Result<AnsweredBy, SpecError> {
    let answered_by = args.answered_by.unwrap_or(AnsweredBy::Any);
    if answered_by == AnsweredBy::Ack && protocol == Protocol::WebSocket {
        return Err(conflict("--answered-by ack", "a raw WebSocket has no acknowledgements; use echo or none"));
    }
    if answered_by == AnsweredBy::None && args.message_rate.is_none() {
        return Err(SpecError::Missing(
            "--answered-by none: where no answer is waited for, --message-rate must set when the next message follows",
        ));
    }
    Ok(answered_by)
}

fn echo(args: &RunArgs, embedded: bool, protocol: Protocol) -> Result<Echo, SpecError> {
    let event = args.message_event.clone().unwrap_or_else(|| "message".to_owned());
    // socket.io reserves these names and disconnects a client that sends one.
    let reserved = ["connect", "connect_error", "disconnect", "disconnecting"];
    if event.is_empty() || protocol != Protocol::WebSocket && reserved.contains(&event.as_str()) {
        let allowed = format!("it may not be empty, nor one of {}", reserved.join(", "));
        return Err(out_of_range("--message-event", event, &allowed));
    }
    Ok(Echo {
        count: args.echo.unwrap_or(u32::from(embedded)),
        rate_per_s: args.message_rate.map(PerSecond::get),
        bytes: in_range("--message-bytes", args.message_bytes.unwrap_or(32), MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX)?,
        event,
        answered_by: answered_by(args, protocol)?,
    })
}

fn timeout(flag: &'static str, given: Option<Period>, default_s: u64) -> Result<Duration, SpecError> {
    let time = given.map_or(Duration::from_secs(default_s), |period| period.0);
    // Durations are recorded up to an hour.
    let longest = Duration::from_secs(3600);
    if time.is_zero() || time > longest {
        return Err(out_of_range(flag, format!("{time:?}"), "it must be above 0s and at most 1h"));
    }
    Ok(time)
}

fn out(now: SystemTime) -> PathBuf {
    let time = reports::units::rfc3339(now);
    let seconds = time.split('.').next().unwrap_or(&time);
    let stamp: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    PathBuf::from("gatecrash-out").join(format!("{stamp}Z"))
}

#[cfg(test)]
impl RunSpec {
    /// The run of a line of flags on a machine with one processor, for tests.
    pub(crate) fn of_flags(flags: &str) -> Self {
        let machine = Machine { cpus: vec![0], now: SystemTime::UNIX_EPOCH };
        Self::resolve(RunArgs::parse_line(flags), &machine).unwrap_or_else(|error| panic!("{flags}: {error}"))
    }
}

#[cfg(test)]
mod tests;
