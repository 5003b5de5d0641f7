//! The targets of the sockets: the embedded server, one target or several, with protocol and path.

use std::fmt::Write as _;

use url::Url;
use wire::engineio::Version;

use crate::spec::args::RunArgs;
use crate::spec::error::{SpecError, conflict, in_range, out_of_range};
use crate::spec::header::HeaderText;
use crate::spec::metrics::{MetricNames, MetricsPlan};
use crate::spec::protocol::{Protocol, ProtocolName, TokenIn};
use crate::spec::run::{EMBEDDED_ORIGIN, EmbeddedPlan};
use crate::spec::secret::Secret;
use crate::spec::targets::{TARGETS_MAX, TargetSpec, TargetTable, Targets};
use crate::spec::urls::{shown, without_secrets};

/// The servers of the run.
pub(super) enum TargetChoice {
    /// The server that this program starts.
    Embedded(EmbeddedPlan),
    /// Running servers, at least one.
    Named(Vec<Url>),
}

/// The targets of the sockets and their protocol.
pub(super) struct ResolvedTargets {
    /// The servers of the run.
    pub choice: TargetChoice,
    /// The protocol of all targets.
    pub protocol: Protocol,
    /// Path and headers of each target.
    pub targets: Targets,
}

/// Bytes of an HS256 key (RFC 7518 section 3.2), for the secret that the embedded server is given.
const SECRET_BYTES: usize = 32;

/// The targets, and the protocol that all of them speak.
pub(super) fn resolve(args: &RunArgs) -> Result<ResolvedTargets, SpecError> {
    if !args.targets.is_empty() {
        return several(args);
    }
    let choice = one(args)?;
    let urls = match &choice {
        TargetChoice::Named(urls) => urls.as_slice(),
        TargetChoice::Embedded(_) => &[],
    };
    let protocol = protocol(args, urls)?;
    let target = TargetSpec {
        name: urls.first().map(without_secrets).unwrap_or_default(),
        weight: 1.0,
        path: path("--path", args.path.as_deref(), urls.first(), protocol)?,
        headers: headers(args, matches!(choice, TargetChoice::Embedded(_))),
    };
    Ok(ResolvedTargets { choice, protocol, targets: Targets::new(vec![target], args.seed()) })
}

/// The run's headers; the embedded server takes cookies of one origin's pages alone.
fn headers(args: &RunArgs, embedded: bool) -> Vec<(String, String)> {
    let given = args.header.iter().map(|header| (header.name.clone(), header.value.clone()));
    let mut headers: Vec<(String, String)> = given.collect();
    let by_cookie = matches!(args.token_in, Some(TokenIn::Cookie(_)));
    if embedded && by_cookie && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("origin")) {
        headers.push(("Origin".to_owned(), EMBEDDED_ORIGIN.to_owned()));
    }
    headers
}

fn one(args: &RunArgs) -> Result<TargetChoice, SpecError> {
    let Some(url) = &args.target else {
        for (flag, given) in
            [("--server-pid", args.server_pid.is_some()), ("--server-metrics", args.server_metrics.is_some())]
        {
            if given {
                return Err(conflict(flag, "the embedded server is observed as it is"));
            }
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
            close_at_exp: args.expect_close_at_exp.is_some(),
        }));
    };
    check("--target", url)?;
    Ok(TargetChoice::Named(vec![url.clone()]))
}

/// The page of the server's metrics, if one is read.
pub(super) fn metrics(url: &Option<Url>, names: &Option<MetricNames>) -> Result<Option<MetricsPlan>, SpecError> {
    match url {
        Some(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(MetricsPlan::new(url.clone(), names.clone()))),
        Some(url) => Err(out_of_range("--server-metrics", url, "a page of metrics has an http or https URL")),
        None if names.is_some() => {
            Err(conflict("--server-metrics-names", "name the page as well, with --server-metrics URL"))
        }
        None => Ok(None),
    }
}

fn several(args: &RunArgs) -> Result<ResolvedTargets, SpecError> {
    if args.target.is_some() {
        return Err(conflict("target and [[targets]]", "name one target, or several, not both"));
    }
    let tables = &args.targets;
    in_range("[[targets]]: a count of", tables.len(), 1, TARGETS_MAX)?;
    let urls: Vec<Url> = tables.iter().map(|table| table.url.clone()).collect();
    for url in &urls {
        check("[[targets]] url", url)?;
    }
    let protocol = protocol(args, &urls)?;
    let list: Vec<TargetSpec> = tables.iter().map(|table| weighted(args, table, protocol)).collect::<Result<_, _>>()?;
    for (place, target) in list.iter().enumerate() {
        if list[..place].iter().any(|other| other.name == target.name) {
            return Err(out_of_range(
                "[[targets]] name",
                &target.name,
                "two targets have it; results distinguish them by it",
            ));
        }
    }
    Ok(ResolvedTargets { choice: TargetChoice::Named(urls), protocol, targets: Targets::new(list, args.seed()) })
}

fn weighted(args: &RunArgs, table: &TargetTable, protocol: Protocol) -> Result<TargetSpec, SpecError> {
    let weight = table.weight.unwrap_or(1.0);
    if !(weight > 0.0 && weight.is_finite()) {
        return Err(out_of_range("[[targets]] weight", weight, "it must be a number above 0"));
    }
    let given = table.path.as_deref().or(args.path.as_deref());
    let same = |one: &HeaderText, other: &HeaderText| one.name.eq_ignore_ascii_case(&other.name);
    let of_the_run = args.header.iter().filter(|header| !table.header.iter().any(|own| same(own, header)));
    Ok(TargetSpec {
        name: table.name.clone().unwrap_or_else(|| without_secrets(&table.url)),
        weight,
        path: path("[[targets]] path", given, Some(&table.url), protocol)?,
        headers: of_the_run.chain(&table.header).map(|header| (header.name.clone(), header.value.clone())).collect(),
    })
}

fn check(flag: &'static str, url: &Url) -> Result<(), SpecError> {
    let allowed = |allowed: &str| out_of_range(flag, shown(url), allowed);
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") || url.host().is_none() {
        return Err(allowed("it must begin with http://, https://, ws:// or wss:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(allowed("it may not hold credentials; name users with --user"));
    }
    Ok(())
}

/// The protocol: as it was given, or as all URLs have it.
fn protocol(args: &RunArgs, urls: &[Url]) -> Result<Protocol, SpecError> {
    let is_raw = |url: &Url| matches!(url.scheme(), "ws" | "wss");
    let raw = urls.iter().filter(|url| is_raw(url)).count();
    let named = match args.protocol {
        Some(named) => named,
        None if raw == 0 => ProtocolName::SocketIo,
        None if raw == urls.len() => ProtocolName::WebSocket,
        None => {
            return Err(conflict(
                "[[targets]] of ws:// and of http://",
                "a run speaks one protocol; choose it with --protocol",
            ));
        }
    };
    if let Some((url, eio)) = urls.iter().find_map(|url| Some((url, engineio_version(url)?)))
        && args.protocol.is_none()
    {
        let (scheme, port) = (if url.scheme() == "wss" { "https" } else { "http" }, url.port());
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let allowed = format!(
            "EIO={eio} in its query is that of Socket.IO, which is no raw WebSocket: use --target {scheme}://{}{port} \
             --protocol socketio --eio {eio} --path {}",
            url.host_str().unwrap_or_default(),
            url.path()
        );
        return Err(out_of_range("--target", shown(url), &allowed));
    }
    match named {
        ProtocolName::SocketIo => Ok(Protocol::SocketIo(args.eio.map_or(Version::V4, |eio| eio.0))),
        ProtocolName::WebSocket if args.eio.is_some() => {
            Err(conflict("--eio", "a raw WebSocket has no Engine.IO; use --protocol socketio"))
        }
        ProtocolName::WebSocket if args.message_event.is_some() => {
            Err(conflict("--message-event", "a raw WebSocket has no events; use --protocol socketio"))
        }
        ProtocolName::WebSocket => Ok(Protocol::WebSocket),
    }
}

/// The version of Engine.IO in the query of a ws or wss URL, as a browser's network tab shows it.
fn engineio_version(url: &Url) -> Option<String> {
    let mut query = url.query_pairs().filter(|_| matches!(url.scheme(), "ws" | "wss"));
    query.find(|(name, _)| name == "EIO").map(|(_, version)| version.into_owned())
}

/// The path of the handshake: as it was asked for, that of the URL, or the protocol's usual one.
fn path(flag: &'static str, given: Option<&str>, url: Option<&Url>, protocol: Protocol) -> Result<String, SpecError> {
    if let Some(path) = given {
        if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(out_of_range(flag, path, "it begins with / and holds no space, no # and nothing beyond ASCII"));
        }
        return Ok(path.to_owned());
    }
    match url {
        Some(url) if !matches!(url.path(), "" | "/") || url.query().is_some() => {
            if matches!(url.scheme(), "http" | "https") {
                return Err(conflict(
                    "--target with a path",
                    "under http:// it may mean a namespace or a page; name the handshake's with --path",
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
            Protocol::SocketIo(_) => "/socket.io/",
            Protocol::WebSocket if url.is_some() => "/",
            // The embedded server's own.
            Protocol::WebSocket => "/ws",
        }
        .to_owned()),
    }
}

fn random_secret() -> Secret {
    let mut text = String::with_capacity(2 * SECRET_BYTES);
    for byte in rand::random::<[u8; SECRET_BYTES]>() {
        let _infallible = write!(text, "{byte:02x}");
    }
    Secret::new(text.into_bytes())
}
