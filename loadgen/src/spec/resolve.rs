//! From what was said to what is meant: defaults filled in, contradictions refused, secrets and keys read.

mod targets;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use url::Url;

use crate::cli::RunArgs;
use crate::drive::processes::PROCESSES_MAX;
use crate::ground::environment::CoreShare;
use crate::ground::outcome::TokenKind;
use crate::plan::arrival::{Arrivals, InstantsError, RateProfile, read_instants};
use crate::spec::{
    AnsweredBy, ArrivalsText, CacertError, Close, Echo, FileError, Hold, Load, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MIN,
    Mix, Pin, Protocol, Scenario, SecretError, SigningError, StepsError, TargetChoice, TlsPlan, TokenIn, Transport,
    UsersError, read_file,
};

/// What of this machine decides a default.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processors that this program may run on, at least one.
    pub cpus: Vec<usize>,
    /// Names the folder of the result.
    pub now: SystemTime,
}

/// Why a scenario cannot be run as asked.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Two things were asked that exclude each other.
    #[error("{asked}: {why}")]
    Conflict {
        /// The flags.
        asked: String,
        /// Why they cannot both be.
        why: &'static str,
    },
    /// A value is outside of what it may be.
    #[error("{flag} {given} is not allowed: {allowed}")]
    OutOfRange {
        /// The flag.
        flag: &'static str,
        /// What was given.
        given: String,
        /// What may be given.
        allowed: String,
    },
    /// Something is missing that nothing can stand in for.
    #[error("{0}")]
    Missing(&'static str),
    /// The scenario file is at fault.
    #[error(transparent)]
    File(#[from] FileError),
    /// A secret could not be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A key does not sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A bad token of the mix cannot be made from what was given.
    #[error("--mix {}: {why}", .kind.as_str())]
    CannotSpoil {
        /// Which.
        kind: TokenKind,
        /// What is missing.
        why: &'static str,
    },
    /// The instants of the arrivals could not be had.
    #[error(transparent)]
    Instants(#[from] InstantsError),
    /// The certificate authorities could not be had.
    #[error(transparent)]
    Cacert(#[from] CacertError),
    /// A step of a login is at fault.
    #[error(transparent)]
    Steps(#[from] StepsError),
    /// The users could not be had.
    #[error(transparent)]
    Users(#[from] UsersError),
}

impl ScenarioError {
    /// 2 where the command line contradicts itself, 104 where what it names is at fault.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Conflict { .. } | Self::OutOfRange { .. } => 2,
            _ => 104,
        }
    }
}

/// A shard is a thread; more of them than this is a slip of the finger.
const WORKERS_MAX: usize = 1024;
/// Runs are alike unless they are asked to differ.
const SEED: u64 = 1;

impl Scenario {
    /// Reads the file that the flags name, lays the flags over it, and settles what it all means.
    pub fn resolve(args: RunArgs, machine: &Machine) -> Result<Self, ScenarioError> {
        let args = match &args.scenario {
            Some(path) => {
                let file = read_file(path)?;
                args.over(file)
            }
            None => args,
        };
        let (target, protocol, path) = targets::resolve(&args)?;
        let embedded = matches!(target, TargetChoice::Embedded(_));
        let load = load(&args)?;
        let users = tokens::users(&args, embedded)?;
        let pin = args.pin.unwrap_or(Pin::Auto);
        let processes = in_range("--processes", args.processes.unwrap_or(1), 1, PROCESSES_MAX)?;
        let workers = args.workers.unwrap_or_else(|| {
            let cpus = CoreShare::new(&machine.cpus, embedded, pin).generator.len();
            // Shards that share a processor wait for each other.
            (cpus / processes).max(1)
        });
        Ok(Self {
            transport: transport(&args, protocol)?,
            namespace: namespace(&args, protocol)?,
            path,
            connections: connections(&args, &load)?,
            warmup: warmup(&args, &load)?,
            load,
            duration: args.duration.map(|period| period.0),
            hold: args.hold.unwrap_or(Hold::UntilEnd),
            close: close(&args, protocol)?,
            echo: echo(&args, embedded, protocol)?,
            timeout: timeout("--timeout", args.timeout, 10)?,
            connect_timeout: timeout("--connect-timeout", args.connect_timeout, 5)?,
            auth_grace: args.auth_grace.map_or(Duration::from_millis(500), |period| period.0),
            tokens: tokens::plan(&args, &target, &users)?,
            users,
            mix: Mix::new(&args.mix.clone().unwrap_or_default(), &args.expect, args.seed.unwrap_or(SEED)),
            token_in: tokens::carrier(&args, protocol)?,
            headers: args.header.into_iter().map(|header| (header.name, header.value)).collect(),
            source_ips: args.source_ip.unwrap_or_default(),
            tls: TlsPlan::new(args.insecure.unwrap_or(false), args.cacert, args.tls_resumption)?,
            thresholds: args.threshold,
            processes,
            workers: in_range("--workers", workers, 1, WORKERS_MAX)?,
            pin,
            seed: args.seed.unwrap_or(SEED),
            out: args.out.unwrap_or_else(|| out(machine.now)),
            quiet: args.quiet.unwrap_or(false),
            tui: !args.no_tui.unwrap_or(false),
            server_pid: args.server_pid,
            server_metrics: targets::metrics(args.server_metrics, args.server_metrics_names)?,
            prometheus: args.prometheus,
            target,
            protocol,
        })
    }
}

fn transport(args: &RunArgs, protocol: Protocol) -> Result<Transport, ScenarioError> {
    let transport = args.transport.unwrap_or(Transport::WebSocket);
    if args.transport.is_some() && protocol == Protocol::WebSocket {
        return Err(conflict("--transport", "a raw WebSocket has no other transport; say --protocol socketio"));
    }
    if transport.polls() && args.token_in == Some(TokenIn::Subprotocol) {
        return Err(conflict(
            "--token-in subprotocol and --transport",
            "a poll offers no subprotocol; use --transport websocket, or another place",
        ));
    }
    Ok(transport)
}

fn namespace(args: &RunArgs, protocol: Protocol) -> Result<String, ScenarioError> {
    let Some(namespace) = args.namespace.clone() else {
        return Ok("/".to_owned());
    };
    if protocol == Protocol::WebSocket {
        return Err(conflict("--namespace", "a raw WebSocket has no namespaces; say --protocol socketio"));
    }
    let clean = |c: char| c.is_ascii_graphic() && !matches!(c, ',' | '?');
    if !namespace.starts_with('/') || !namespace.chars().all(clean) {
        return Err(ScenarioError::OutOfRange {
            flag: "--namespace",
            given: namespace,
            allowed: "it begins with / and holds no space, no comma, no ? and nothing beyond ASCII".to_owned(),
        });
    }
    Ok(namespace)
}

fn load(args: &RunArgs) -> Result<Load, ScenarioError> {
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
                return Err(conflict("--stage", "stages say the rate, in place of --rate and --concurrency"));
            }
            staged(args)
        }
        (Some(concurrency), None) => {
            Ok(Load::Closed { concurrency: in_range("--concurrency", concurrency, 1, u32::MAX)? })
        }
        (None, rate) => match &args.arrivals {
            Some(ArrivalsText::File(_)) if rate.is_some() => {
                Err(conflict("--rate and --arrivals FILE", "the file says when each arrival is due"))
            }
            Some(ArrivalsText::File(path)) => Ok(Load::Listed(read_instants(path)?)),
            _ => Ok(Load::Open {
                rate_per_s: rate.map_or(500.0, crate::spec::PerSecond::get),
                arrivals: gaps(args).unwrap_or(Arrivals::Uniform),
            }),
        },
    }
}

fn staged(args: &RunArgs) -> Result<Load, ScenarioError> {
    let arrivals =
        gaps(args).ok_or_else(|| conflict("--stage and --arrivals FILE", "the file says when each arrival is due"))?;
    let profile = RateProfile::new(args.stage.clone());
    let profile = profile.ok_or(ScenarioError::Missing("no --stage has a rate above 0/s: nothing would arrive"))?;
    Ok(Load::Staged { profile: Arc::new(profile), arrivals })
}

/// The gaps that were asked for; `None`: a file lists the instants.
fn gaps(args: &RunArgs) -> Option<Arrivals> {
    match &args.arrivals {
        None => Some(Arrivals::Uniform),
        Some(ArrivalsText::Gaps(gaps)) => Some(*gaps),
        Some(ArrivalsText::File(_)) => None,
    }
}

fn warmup(args: &RunArgs, load: &Load) -> Result<Duration, ScenarioError> {
    let warmup = args.warmup.map_or(Duration::ZERO, |period| period.0);
    if !warmup.is_zero() && matches!(load, Load::Listed(_)) {
        return Err(conflict("--warmup and --arrivals FILE", "a file of instants has no rate to warm up with"));
    }
    Ok(warmup)
}

fn connections(args: &RunArgs, load: &Load) -> Result<Option<u64>, ScenarioError> {
    // Stages and lists end by themselves.
    let ends = matches!(load, Load::Staged { .. } | Load::Listed(_));
    match (args.connections, args.duration) {
        (None, None) if ends => Ok(None),
        (Some(connections), _) => in_range("--connections", connections, 1, u64::from(u32::MAX)).map(Some),
        (None, None) => Ok(Some(5000)),
        (None, Some(_)) => Ok(None),
    }
}

fn close(args: &RunArgs, protocol: Protocol) -> Result<Close, ScenarioError> {
    match (args.close, protocol) {
        (Some(Close::Disconnect), Protocol::WebSocket) => {
            Err(conflict("--close disconnect", "a raw WebSocket has no disconnect packet; say frame, fin or reset"))
        }
        (Some(close), _) => Ok(close),
        (None, Protocol::WebSocket) => Ok(Close::Frame),
        (None, Protocol::SocketIo(_)) => Ok(Close::Disconnect),
    }
}

fn answered_by(args: &RunArgs, protocol: Protocol) -> Result<AnsweredBy, ScenarioError> {
    let answered_by = args.answered_by.unwrap_or(AnsweredBy::Any);
    if answered_by == AnsweredBy::Ack && protocol == Protocol::WebSocket {
        return Err(conflict("--answered-by ack", "a raw WebSocket has no acknowledgements; say echo or none"));
    }
    if answered_by == AnsweredBy::None && args.message_rate.is_none() {
        return Err(ScenarioError::Missing(
            "--answered-by none: where no answer is waited for, say with --message-rate when the next message follows",
        ));
    }
    Ok(answered_by)
}

fn echo(args: &RunArgs, embedded: bool, protocol: Protocol) -> Result<Echo, ScenarioError> {
    let event = args.message_event.clone().unwrap_or_else(|| "message".to_owned());
    // socket.io keeps these names for itself: a client that sends one is thrown out.
    let reserved = ["connect", "connect_error", "disconnect", "disconnecting"];
    if event.is_empty() || protocol != Protocol::WebSocket && reserved.contains(&event.as_str()) {
        return Err(ScenarioError::OutOfRange {
            flag: "--message-event",
            given: event,
            allowed: format!("it may not be empty, nor one of {}", reserved.join(", ")),
        });
    }
    Ok(Echo {
        count: args.echo.unwrap_or(u32::from(embedded)),
        rate_per_s: args.message_rate.map(crate::spec::PerSecond::get),
        bytes: in_range("--message-bytes", args.message_bytes.unwrap_or(32), MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX)?,
        event,
        answered_by: answered_by(args, protocol)?,
    })
}

fn timeout(flag: &'static str, asked: Option<crate::spec::Period>, default_s: u64) -> Result<Duration, ScenarioError> {
    let time = asked.map_or(Duration::from_secs(default_s), |period| period.0);
    // Durations are recorded up to an hour.
    let longest = Duration::from_secs(3600);
    if time.is_zero() || time > longest {
        return Err(ScenarioError::OutOfRange {
            flag,
            given: format!("{time:?}"),
            allowed: "it must be above 0s and at most 1h".to_owned(),
        });
    }
    Ok(time)
}

fn out(now: SystemTime) -> PathBuf {
    let time = reports::units::rfc3339(now);
    let seconds = time.split('.').next().unwrap_or(&time);
    let stamp: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    PathBuf::from("gatecrash-out").join(format!("{stamp}Z"))
}

fn in_range<T>(flag: &'static str, given: T, min: T, max: T) -> Result<T, ScenarioError>
where
    T: PartialOrd + std::fmt::Display,
{
    if given >= min && given <= max {
        return Ok(given);
    }
    Err(ScenarioError::OutOfRange { flag, given: given.to_string(), allowed: format!("{min} to {max}") })
}

fn conflict(asked: &str, why: &'static str) -> ScenarioError {
    ScenarioError::Conflict { asked: asked.to_owned(), why }
}

/// A URL without what may be secret in it.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or(""), url.path())
}

#[cfg(test)]
mod tests;
