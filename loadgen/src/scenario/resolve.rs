//! From what was said to what is meant: defaults filled in, contradictions refused, secrets and keys read.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use url::Url;
use wire::engineio::Version;

use super::users::read_users;
use super::{
    Echo, EmbeddedPlan, FileError, Hold, Load, LoginMethod, LoginPlan, MESSAGE_BYTES_MAX,
    MESSAGE_BYTES_MIN, MintPlan, Pin, Protocol, ProtocolName, Scenario, Secret, SecretError,
    SigningError, TargetChoice, TokenIn, TokenPer, TokenPlan, TokenSource, TokenSourceName, User,
    UsersError, read_file,
};
use crate::arrival::Arrivals;
use crate::cli::RunArgs;
use crate::environment::CoreShare;

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
/// Bytes of an HS256 key (RFC 7518 section 3.2), for the secret that the embedded server is given.
const SECRET_BYTES: usize = 32;

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
        let target = target(&args)?;
        let embedded = matches!(target, TargetChoice::Embedded(_));
        let protocol = protocol(&args, &target)?;
        let pin = args.pin.unwrap_or(Pin::Auto);
        let workers = args.workers.unwrap_or_else(|| {
            CoreShare::new(&machine.cpus, embedded, pin).generator.len()
        });
        Ok(Self {
            path: path(&args, &target, protocol)?,
            load: load(&args)?,
            connections: connections(&args)?,
            duration: args.duration.map(|period| period.0),
            hold: args.hold.unwrap_or(Hold::UntilEnd),
            echo: echo(&args, embedded, protocol)?,
            timeout: timeout("--timeout", args.timeout, 10)?,
            connect_timeout: timeout("--connect-timeout", args.connect_timeout, 5)?,
            auth_grace: args.auth_grace.map_or(Duration::from_millis(500), |period| period.0),
            users: users(&args, embedded)?,
            tokens: tokens(&args, &target)?,
            token_in: token_in(&args, protocol)?,
            headers: args.header.into_iter().map(|header| (header.name, header.value)).collect(),
            insecure: args.insecure.unwrap_or(false),
            thresholds: args.threshold,
            workers: in_range("--workers", workers, 1, WORKERS_MAX)?,
            pin,
            seed: args.seed.unwrap_or(1),
            out: args.out.unwrap_or_else(|| out(machine.now)),
            quiet: args.quiet.unwrap_or(false),
            tui: !args.no_tui.unwrap_or(false),
            server_pid: args.server_pid,
            target,
            protocol,
        })
    }
}

fn target(args: &RunArgs) -> Result<TargetChoice, ScenarioError> {
    let Some(url) = &args.target else {
        if args.server_pid.is_some() {
            return Err(conflict("--server-pid", "the embedded server is observed as it is"));
        }
        if args.key.is_some() || args.alg.is_some_and(|alg| alg != jsonwebtoken::Algorithm::HS256) {
            return Err(conflict(
                "--key or --alg",
                "the embedded server knows no key but its HS256 --secret; name your own with --target",
            ));
        }
        return Ok(TargetChoice::Embedded(EmbeddedPlan {
            secret: match &args.secret {
                Some(source) => source.read("the --secret")?,
                None => random_secret(),
            },
            token_ttl: args.token_ttl.map(|period| period.0),
        }));
    };
    let allowed = |allowed: &str| ScenarioError::OutOfRange {
        flag: "--target",
        given: shown(url),
        allowed: allowed.to_owned(),
    };
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") || url.host().is_none() {
        return Err(allowed("it must begin with http://, https://, ws:// or wss:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(allowed("it may not hold credentials; name users with --user"));
    }
    Ok(TargetChoice::Url(url.clone()))
}

fn protocol(args: &RunArgs, target: &TargetChoice) -> Result<Protocol, ScenarioError> {
    let named = args.protocol.unwrap_or(match target {
        TargetChoice::Url(url) if matches!(url.scheme(), "ws" | "wss") => ProtocolName::WebSocket,
        _ => ProtocolName::SocketIo,
    });
    match named {
        ProtocolName::SocketIo => {
            Ok(Protocol::SocketIo(args.eio.map_or(Version::V4, |eio| eio.0)))
        }
        ProtocolName::WebSocket if args.eio.is_some() => {
            Err(conflict("--eio", "a raw WebSocket has no Engine.IO; say --protocol socketio"))
        }
        ProtocolName::WebSocket if args.message_event.is_some() => {
            Err(conflict("--message-event", "a raw WebSocket has no events; say --protocol socketio"))
        }
        ProtocolName::WebSocket => Ok(Protocol::WebSocket),
    }
}

fn path(
    args: &RunArgs,
    target: &TargetChoice,
    protocol: Protocol,
) -> Result<String, ScenarioError> {
    if let Some(path) = &args.path {
        if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(ScenarioError::OutOfRange {
                flag: "--path",
                given: path.clone(),
                allowed: "it begins with / and holds no space, no # and nothing beyond ASCII".to_owned(),
            });
        }
        return Ok(path.clone());
    }
    match target {
        TargetChoice::Url(url) if !matches!(url.path(), "" | "/") || url.query().is_some() => {
            if matches!(url.scheme(), "http" | "https") {
                return Err(conflict(
                    "--target with a path",
                    "under http:// it may mean a namespace or a page; say the handshake's with --path",
                ));
            }
            let mut path = url.path().to_owned();
            if let Some(query) = url.query() {
                path.push('?');
                path.push_str(query);
            }
            Ok(path)
        }
        _ => Ok(match protocol {
            Protocol::WebSocket => "/ws",
            Protocol::SocketIo(_) => "/socket.io/",
        }
        .to_owned()),
    }
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
        (Some(concurrency), None) => Ok(Load::Closed {
            concurrency: in_range("--concurrency", concurrency, 1, u32::MAX)?,
        }),
        (None, rate) => Ok(Load::Open {
            rate_per_s: rate.map_or(500.0, super::PerSecond::get),
            arrivals: args.arrivals.unwrap_or(Arrivals::Uniform),
        }),
    }
}

fn connections(args: &RunArgs) -> Result<Option<u64>, ScenarioError> {
    match (args.connections, args.duration) {
        (Some(connections), _) => {
            in_range("--connections", connections, 1, u64::from(u32::MAX)).map(Some)
        }
        (None, None) => Ok(Some(5000)),
        (None, Some(_)) => Ok(None),
    }
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
        rate_per_s: args.message_rate.map(super::PerSecond::get),
        bytes: in_range(
            "--message-bytes",
            args.message_bytes.unwrap_or(32),
            MESSAGE_BYTES_MIN,
            MESSAGE_BYTES_MAX,
        )?,
        event,
    })
}

fn timeout(
    flag: &'static str,
    asked: Option<super::Period>,
    default_s: u64,
) -> Result<Duration, ScenarioError> {
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

fn users(args: &RunArgs, embedded: bool) -> Result<Vec<User>, ScenarioError> {
    if args.users.is_some() && !args.user.is_empty() {
        return Err(conflict("--user and --users", "users are named here or in a file, not both"));
    }
    if let Some(path) = &args.users {
        return Ok(read_users(path)?);
    }
    let users: Vec<User> =
        args.user.iter().map(super::UserText::read).collect::<Result<_, UsersError>>()?;
    let needs_login = matches!(args.token_source, None | Some(TokenSourceName::Login));
    if users.is_empty() && !embedded && !needs_login {
        // Tokens that nobody logs in for still have a name in them.
        return Ok(vec![User {
            name: "gatecrash".to_owned(),
            password: Secret::new(*b""),
        }]);
    }
    Ok(users)
}

fn tokens(args: &RunArgs, target: &TargetChoice) -> Result<TokenPlan, ScenarioError> {
    let embedded = matches!(target, TargetChoice::Embedded(_));
    let source = args.token_source.clone().unwrap_or(TokenSourceName::Login);
    refuse_what_has_no_meaning(args, &source, embedded)?;
    let source = match source {
        TokenSourceName::Login => login(args, embedded)?,
        TokenSourceName::Mint => TokenSource::Mint(mint(args, target)?),
        TokenSourceName::File(path) => TokenSource::File(path),
    };
    Ok(TokenPlan {
        source,
        per: args.token_per.unwrap_or(TokenPer::Connection),
    })
}

fn refuse_what_has_no_meaning(
    args: &RunArgs,
    source: &TokenSourceName,
    embedded: bool,
) -> Result<(), ScenarioError> {
    let login = *source == TokenSourceName::Login;
    let mint = *source == TokenSourceName::Mint;
    let file = matches!(source, TokenSourceName::File(_));
    let only_login = "only --token-source login asks a service for tokens";
    let only_mint = "only --token-source mint makes tokens here";
    for (flag, given, has_meaning, why) in [
        ("--login-url", args.login_url.is_some(), login, only_login),
        ("--token-url", args.token_url.is_some(), login, only_login),
        ("--login-method", args.login_method.is_some(), login, only_login),
        ("--token-json-pointer", args.token_json_pointer.is_some(), login, only_login),
        ("--secret", args.secret.is_some(), mint || embedded, only_mint),
        ("--key", args.key.is_some(), mint, only_mint),
        ("--alg", args.alg.is_some(), mint, only_mint),
        ("--kid", args.kid.is_some(), mint, only_mint),
        ("--claims", args.claims.is_some(), mint, only_mint),
        ("--token-ttl", args.token_ttl.is_some(), mint || embedded && !file, only_mint),
        (
            "--token-per",
            args.token_per.is_some(),
            !file,
            "the tokens of a file are taken in turn, one for each connection",
        ),
    ] {
        if given && !has_meaning {
            return Err(conflict(flag, why));
        }
    }
    Ok(())
}

fn login(args: &RunArgs, embedded: bool) -> Result<TokenSource, ScenarioError> {
    let Some(token_url) = &args.token_url else {
        return if !embedded {
            Err(ScenarioError::Missing(
                "a target's tokens must come from somewhere: name its service with --login-url, --token-url and \
                 --user, make them here with --token-source mint --secret env:NAME, or bring them with \
                 --token-source file:PATH",
            ))
        } else if args.login_url.is_some() {
            Err(ScenarioError::Missing("--login-url gets a session; say with --token-url where its token is had"))
        } else {
            Ok(TokenSource::EmbeddedLogin)
        };
    };
    if args.user.is_empty() && args.users.is_none() {
        return Err(ScenarioError::Missing(
            "--token-url needs somebody to ask for: name users with --user NAME:PASSWORD or --users FILE.csv",
        ));
    }
    for (flag, url) in [("--login-url", args.login_url.as_ref()), ("--token-url", Some(token_url))] {
        let Some(url) = url else { continue };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ScenarioError::OutOfRange {
                flag,
                given: shown(url),
                allowed: "it must begin with http:// or https://".to_owned(),
            });
        }
    }
    let pointer = args.token_json_pointer.clone().unwrap_or_default();
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(ScenarioError::OutOfRange {
            flag: "--token-json-pointer",
            given: pointer,
            allowed: "it begins with /, as in /data/token (RFC 6901)".to_owned(),
        });
    }
    Ok(TokenSource::Login(LoginPlan {
        login_url: args.login_url.clone(),
        method: args.login_method.unwrap_or(LoginMethod::Basic),
        token_url: token_url.clone(),
        token_json_pointer: pointer,
    }))
}

fn mint(args: &RunArgs, target: &TargetChoice) -> Result<MintPlan, ScenarioError> {
    let plan = match (target, &args.secret, &args.key) {
        (_, Some(_), Some(_)) => {
            return Err(conflict("--secret and --key", "a token has one signature"));
        }
        (TargetChoice::Embedded(embedded), _, _) => MintPlan::with_secret(&embedded.secret, None)?,
        (_, Some(secret), None) => {
            MintPlan::with_secret(&secret.read("the --secret")?, args.alg)?
        }
        (_, None, Some(path)) => MintPlan::with_key_file(path, args.alg)?,
        (_, None, None) => {
            return Err(ScenarioError::Missing(
                "--token-source mint signs with the target's key: give --secret env:NAME, or --key FILE.pem",
            ));
        }
    };
    Ok(plan
        .with_kid(args.kid.clone())
        .with_claims(args.claims.clone().unwrap_or_default())
        .with_ttl(args.token_ttl.map(|period| period.0)))
}

fn token_in(args: &RunArgs, protocol: Protocol) -> Result<TokenIn, ScenarioError> {
    let token_in = args.token_in.clone().unwrap_or(TokenIn::Query("token".to_owned()));
    match (&token_in, protocol) {
        (TokenIn::Auth(_), Protocol::WebSocket) => Err(conflict(
            "--token-in auth",
            "a raw WebSocket has no connect packet to carry it; say --protocol socketio, or another place",
        )),
        (TokenIn::Auth(_), Protocol::SocketIo(Version::V3)) => Err(conflict(
            "--token-in auth and --eio 3",
            "the connect packet has a payload from Socket.IO 3 on, which is --eio 4; use query:NAME with --eio 3",
        )),
        _ => Ok(token_in),
    }
}

fn out(now: SystemTime) -> PathBuf {
    let time = reports::units::rfc3339(now);
    let seconds = time.split('.').next().unwrap_or(&time);
    let stamp: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    PathBuf::from("gatecrash-out").join(format!("{stamp}Z"))
}

fn random_secret() -> Secret {
    let mut text = String::with_capacity(2 * SECRET_BYTES);
    for byte in rand::random::<[u8; SECRET_BYTES]>() {
        let _infallible = write!(text, "{byte:02x}");
    }
    Secret::new(text.into_bytes())
}

fn in_range<T>(flag: &'static str, given: T, min: T, max: T) -> Result<T, ScenarioError>
where
    T: PartialOrd + std::fmt::Display,
{
    if given >= min && given <= max {
        return Ok(given);
    }
    Err(ScenarioError::OutOfRange {
        flag,
        given: given.to_string(),
        allowed: format!("{min} to {max}"),
    })
}

fn conflict(asked: &str, why: &'static str) -> ScenarioError {
    ScenarioError::Conflict {
        asked: asked.to_owned(),
        why,
    }
}

/// A URL without what may be secret in it.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or(""), url.path())
}
