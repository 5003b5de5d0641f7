//! The flags of a run, which a scenario file has as its keys: raw values, each valid by itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use jsonwebtoken::Algorithm;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::ground::expression::Expression;
use crate::ground::values::{PerSecond, Period};
use crate::plan::hold::Hold;
use crate::plan::mix::{Expectation, Weights};
use crate::plan::stages::Stage;
use crate::spec::claims::Claims;
use crate::spec::header::HeaderText;
use crate::spec::login::LoginMethod;
use crate::spec::metrics::MetricNames;
use crate::spec::protocol::{EngineIo, ProtocolName, TokenIn, Transport};
use crate::spec::refused_by::RefusedBy;
use crate::spec::secret::SecretSource;
use crate::spec::source_ips::SourceIps;
use crate::spec::steps::StepTable;
use crate::spec::targets::TargetTable;
use crate::spec::text::{from_text, many_from_text};
use crate::spec::tls::TlsResumption;
use crate::spec::users::UserText;
use crate::spec::values::{AnsweredBy, ArrivalsText, Close, Pin, Refresh, TokenPer, TokenSourceName};

/// What a run is asked to do, by flags or by the same names in a scenario file; what is `None` or empty was not given.
#[derive(Clone, Debug, Default, Args, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RunArgs {
    /// A file with the flags' names as keys; a flag wins over its key
    #[arg(value_name = "SCENARIO.toml")]
    #[serde(skip)]
    pub scenario: Option<PathBuf>,

    /// Where the sockets go: http, https, ws or wss [default: the embedded server]
    #[arg(long, value_name = "URL", help_heading = "Target")]
    #[serde(deserialize_with = "from_text")]
    #[schemars(with = "Option<String>")]
    pub target: Option<Url>,
    /// Several targets in place of one, each with its part of the arrivals
    #[arg(skip)]
    pub targets: Vec<TargetTable>,
    /// Protocol of the sockets [default: socketio; websocket where the target is ws:// or wss://]
    #[arg(long, value_enum, value_name = "PROTOCOL", help_heading = "Target")]
    pub protocol: Option<ProtocolName>,
    /// Version of Engine.IO: 4 for Socket.IO 3 and 4, 3 for Socket.IO 1 and 2 [default: 4]
    #[arg(long, value_name = "3|4", help_heading = "Target")]
    #[serde(deserialize_with = "from_text")]
    pub eio: Option<EngineIo>,
    /// How Socket.IO travels: over a WebSocket, by HTTP long-polling, or by polling first and then over a WebSocket, as
    /// browsers do [default: websocket]
    #[arg(long, value_enum, value_name = "TRANSPORT", help_heading = "Target")]
    pub transport: Option<Transport>,
    /// Namespace of Socket.IO to join, such as /admin [default: /]
    #[arg(long, value_name = "NAMESPACE", help_heading = "Target")]
    pub namespace: Option<String>,
    /// Path of the handshake [default: /socket.io/ or /ws, or the path of a ws:// target]
    #[arg(long, help_heading = "Target")]
    pub path: Option<String>,
    /// Sent with every handshake, as `Name: value`; repeatable
    #[arg(short = 'H', long, value_name = "HEADER", help_heading = "Target")]
    #[serde(deserialize_with = "many_from_text")]
    pub header: Vec<HeaderText>,
    /// Does not check certificates
    #[arg(short = 'k', long, num_args = 0, default_missing_value = "true", help_heading = "Target")]
    pub insecure: Option<bool>,
    /// Certificate authorities to trust beside this machine's own, a PEM file; at logins as well
    #[arg(long, value_name = "FILE.pem", help_heading = "Target")]
    pub cacert: Option<PathBuf>,
    /// Whether sockets resume the TLS sessions of earlier ones, as returning clients do [default: off]
    #[arg(long, value_enum, value_name = "on|off", help_heading = "Target")]
    pub tls_resumption: Option<TlsResumption>,
    /// Addresses of this machine that sockets come from in turn: a list of addresses, ranges (127.0.0.2-127.0.0.17) and
    /// networks (10.0.0.0/28); each has ports of its own for each address of the target [default: the kernel chooses]
    #[arg(long, value_name = "LIST|RANGE|CIDR", help_heading = "Target")]
    #[serde(deserialize_with = "from_text")]
    pub source_ip: Option<SourceIps>,
    /// A server on this machine whose processor time and memory are read
    #[arg(long, value_name = "PID", help_heading = "Target")]
    pub server_pid: Option<u32>,
    /// A page of Prometheus' metrics from which the server's processor time, memory and open sockets are read, before,
    /// during and at the end of the load
    #[arg(long, value_name = "URL", help_heading = "Target", conflicts_with = "server_pid")]
    #[serde(deserialize_with = "from_text")]
    #[schemars(with = "Option<String>")]
    pub server_metrics: Option<Url>,
    /// What is read there: cpu=NAME,memory=NAME,sockets=NAME, or some of them [default:
    /// cpu=process_cpu_seconds_total,memory=process_resident_memory_bytes,sockets=process_open_fds]
    #[arg(long, value_name = "WHAT=NAME,...", help_heading = "Target")]
    #[serde(deserialize_with = "from_text")]
    #[schemars(with = "Option<String>")]
    pub server_metrics_names: Option<MetricNames>,

    /// Sockets to open in all [default: 5000, or as many as --duration has time for]
    #[arg(short, long, value_name = "N", help_heading = "Load")]
    pub connections: Option<u64>,
    /// Open model: arrivals per second, whatever the target does [default: 500/s]
    #[arg(short, long, value_name = "R/s", help_heading = "Load", conflicts_with = "concurrency")]
    #[serde(deserialize_with = "from_text")]
    pub rate: Option<PerSecond>,
    /// Open model: a rate that changes, as TIME:RATE for a step or TIME:FROM..TO for a ramp; several stages follow each
    /// other, as in 30s:0..500/s,1m:500/s,5s:2000/s
    #[arg(
        long,
        value_name = "STAGE,...",
        value_delimiter = ',',
        help_heading = "Load",
        conflicts_with_all = ["rate", "concurrency"]
    )]
    #[serde(deserialize_with = "many_from_text")]
    pub stage: Vec<Stage>,
    /// Gaps of the open model: uniform, poisson, or a file of instants, in seconds after the start, one a line
    /// [default: uniform]
    #[arg(long, value_name = "uniform|poisson|FILE", help_heading = "Load")]
    #[serde(deserialize_with = "from_text")]
    pub arrivals: Option<ArrivalsText>,
    /// Closed model, in place of --rate: handshakes in flight, each beginning as another ends
    #[arg(long, value_name = "K", help_heading = "Load")]
    pub concurrency: Option<u32>,
    /// Time of the same load before the measured part; its figures are thrown away [default: 0s]
    #[arg(long, value_name = "D", help_heading = "Load")]
    #[serde(deserialize_with = "from_text")]
    pub warmup: Option<Period>,
    /// Arrivals end then; with --connections, whichever comes first [default: until --connections]
    #[arg(long, value_name = "D", help_heading = "Load")]
    #[serde(deserialize_with = "from_text")]
    pub duration: Option<Period>,
    /// Random seed; equal seeds give equal schedules [default: 1]
    #[arg(long, value_name = "S", help_heading = "Load")]
    pub seed: Option<u64>,
    /// Processes that make the load, each with its own limit on open files: N of them hold N times as many sockets
    /// [default: 1]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub processes: Option<usize>,
    /// Threads of each of them [default: one per processor that is left to it, over all processes]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub workers: Option<usize>,
    /// Whether generator and embedded server keep to processors of their own [default: auto]
    #[arg(long, value_enum, value_name = "PIN", help_heading = "Load")]
    pub pin: Option<Pin>,

    /// How long a socket stays: a duration, `end` for until the run's end, or drawn for each by uniform:MIN..MAX,
    /// exponential:MEAN or log-normal:MEDIAN,SIGMA; 0s closes at once [default: end]
    #[arg(long, value_name = "D|end|DISTRIBUTION", help_heading = "Sockets")]
    #[serde(deserialize_with = "from_text")]
    pub hold: Option<Hold>,
    /// How a socket is closed after that [default: disconnect, or frame on a raw WebSocket]
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Sockets")]
    pub close: Option<Close>,
    /// Messages per socket [default: 1 on the embedded server, 0 with --target]
    #[arg(long, value_name = "N", help_heading = "Sockets")]
    pub echo: Option<u32>,
    /// What answers a message: the same sent back, Socket.IO's acknowledgement, either, or nothing, where messages go
    /// one way [default: any]
    #[arg(long, value_enum, value_name = "BY", help_heading = "Sockets")]
    pub answered_by: Option<AnsweredBy>,
    /// Planned messages per second and socket [default: each follows the answer before it]
    #[arg(long, value_name = "R/s", help_heading = "Sockets")]
    #[serde(deserialize_with = "from_text")]
    pub message_rate: Option<PerSecond>,
    /// Bytes of a message's payload [default: 32]
    #[arg(long, value_name = "BYTES", help_heading = "Sockets")]
    pub message_bytes: Option<usize>,
    /// Socket.IO event of a message [default: message]
    #[arg(long, value_name = "EVENT", help_heading = "Sockets")]
    pub message_event: Option<String>,
    /// Longest time of a whole handshake [default: 10s]
    #[arg(short, long, value_name = "D", help_heading = "Sockets")]
    #[serde(deserialize_with = "from_text")]
    pub timeout: Option<Period>,
    /// Longest time of its TCP connection [default: 5s]
    #[arg(long, value_name = "D", help_heading = "Sockets")]
    #[serde(deserialize_with = "from_text")]
    pub connect_timeout: Option<Period>,
    /// A raw WebSocket that the target closes within D of its 101 counts as refused [default: 500ms]
    #[arg(long, value_name = "D", help_heading = "Sockets")]
    #[serde(deserialize_with = "from_text")]
    pub auth_grace: Option<Period>,
    /// Close codes that count as a refusal of the token within that time, as codes and ranges [default:
    /// 1008,3000,3003,4000-4407,4409-4428,4430-4499]
    #[arg(long, value_name = "CODES", help_heading = "Sockets")]
    #[serde(deserialize_with = "from_text")]
    #[schemars(with = "Option<String>")]
    pub refused_by: Option<RefusedBy>,

    /// A user; the password also as env:NAME or file:PATH; repeatable [default: 100 on the embedded server]
    #[arg(long, value_name = "NAME:PASSWORD", help_heading = "Users", conflicts_with = "users")]
    #[serde(deserialize_with = "many_from_text")]
    pub user: Vec<UserText>,
    /// Users from a CSV file of name,password; further columns, which a first line of name,password,... names, become
    /// variables of steps
    #[arg(long, value_name = "FILE.csv", help_heading = "Users")]
    pub users: Option<PathBuf>,
    /// Where users log in before the run [default: credentials go with each token request]
    #[arg(long, value_name = "URL", help_heading = "Users")]
    #[serde(deserialize_with = "from_text")]
    #[schemars(with = "Option<String>")]
    pub login_url: Option<Url>,
    /// The requests of a login, one after the other, once for each user before the run
    #[arg(skip)]
    pub login: Vec<StepTable>,
    /// How credentials travel: HTTP Basic, a form, or JSON, with username and password [default: basic]
    #[arg(long, value_enum, value_name = "METHOD", help_heading = "Users")]
    pub login_method: Option<LoginMethod>,

    /// Source of the tokens: login, mint or file:PATH (a token in each line) [default: login]
    #[arg(long, value_name = "SOURCE", help_heading = "Tokens")]
    #[serde(deserialize_with = "from_text")]
    pub token_source: Option<TokenSourceName>,
    /// A token for each connection or for each user [default: connection]
    #[arg(long, value_enum, value_name = "PER", help_heading = "Tokens")]
    pub token_per: Option<TokenPer>,
    /// The requests that give a token, one after the other, for each connection or each user
    #[arg(skip)]
    pub token: Vec<StepTable>,
    /// login: where a user's session gets its token
    #[arg(long, value_name = "URL", help_heading = "Tokens")]
    #[serde(deserialize_with = "from_text")]
    #[schemars(with = "Option<String>")]
    pub token_url: Option<Url>,
    /// login: where the token stands in the answer's JSON, as in /data/token [default: the whole answer]
    #[arg(long, value_name = "POINTER", help_heading = "Tokens")]
    pub token_json_pointer: Option<String>,
    /// mint, and invalid tokens of --mix: the shared secret, as TEXT, env:NAME or file:PATH; never stored, never printed
    #[arg(long, value_name = "SECRET", help_heading = "Tokens", conflicts_with = "key")]
    #[serde(deserialize_with = "from_text")]
    pub secret: Option<SecretSource>,
    /// mint, and invalid tokens of --mix: the private key, a PEM file; for alg-confused the public one is enough
    #[arg(long, value_name = "FILE", help_heading = "Tokens")]
    pub key: Option<PathBuf>,
    /// mint: the algorithm [default: HS256 with --secret, what the key is made for with --key]
    #[arg(long, value_name = "ALG", help_heading = "Tokens")]
    #[serde(deserialize_with = "from_text")]
    #[schemars(with = "Option<String>")]
    pub alg: Option<Algorithm>,
    /// mint: the key's id in the token's header
    #[arg(long, value_name = "KID", help_heading = "Tokens")]
    pub kid: Option<String>,
    /// mint: laid over {"user":{"username":NAME},"iat":NOW}; null removes, texts may have {{username}} and {{COLUMN}}
    #[arg(long, value_name = "JSON", help_heading = "Tokens")]
    #[serde(deserialize_with = "from_text")]
    pub claims: Option<Claims>,
    /// Lifetime of minted tokens, and of the embedded server's [default: they do not expire]
    #[arg(long, value_name = "D", help_heading = "Tokens")]
    #[serde(deserialize_with = "from_text")]
    pub token_ttl: Option<Period>,
    /// When a token is made anew: never, ahead:5s (a user's next socket, once so little is left before its exp) or
    /// on-refusal (one new token and one retry for an arrival whose token is refused) [default: never]
    #[arg(long, value_name = "ahead:D|on-refusal|never", help_heading = "Tokens")]
    #[serde(deserialize_with = "from_text")]
    pub refresh: Option<Refresh>,
    /// Sockets must be closed by the target within D of their token's exp; those that are not fail the run with 99
    /// [default: not checked]
    #[arg(long, value_name = "D", help_heading = "Tokens")]
    #[serde(deserialize_with = "from_text")]
    pub expect_close_at_exp: Option<Period>,
    /// Kinds of token and their weights, such as valid=95,expired=3,forged=2; also not-yet-valid, wrong-key, alg-none,
    /// alg-confused, unknown-kid, garbage, oversized, missing and replayed [default: valid=100]
    #[arg(long, value_name = "KIND=WEIGHT,...", help_heading = "Tokens")]
    #[serde(deserialize_with = "from_text")]
    pub mix: Option<Weights>,
    /// What the target should do with a kind, KIND=accept or KIND=refuse; repeatable [default: accept valid and replayed
    /// tokens, refuse all others]
    #[arg(long, value_name = "KIND=accept|refuse", value_delimiter = ',', help_heading = "Tokens")]
    #[serde(deserialize_with = "many_from_text")]
    pub expect: Vec<Expectation>,
    /// Where the token travels: query:NAME, header, subprotocol, cookie:NAME or auth:NAME [default: query:token]
    #[arg(long, value_name = "PLACE", help_heading = "Tokens")]
    #[serde(deserialize_with = "from_text")]
    pub token_in: Option<TokenIn>,

    /// What the result must fulfil, such as handshake.p99<50ms,errors<0.1%; repeatable
    #[arg(long, value_name = "EXPR", help_heading = "Result")]
    #[serde(deserialize_with = "many_from_text")]
    pub threshold: Vec<Expression>,
    /// Where the result goes [default: gatecrash-out/TIME]
    #[arg(short, long, value_name = "DIR", help_heading = "Result")]
    pub out: Option<PathBuf>,
    /// Prints nothing while it runs
    #[arg(short, long, num_args = 0, default_missing_value = "true", help_heading = "Result")]
    pub quiet: Option<bool>,
    /// Plain lines in place of the live view
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Result")]
    pub no_tui: Option<bool>,
    /// Serves the figures of the live view to Prometheus, at http://IP:PORT/metrics; port 0: any that is free
    #[arg(long, value_name = "IP:PORT", help_heading = "Result")]
    #[serde(deserialize_with = "from_text")]
    #[schemars(with = "Option<String>")]
    pub prometheus: Option<SocketAddr>,
}

/// Runs have equal schedules unless another seed is given.
const SEED: u64 = 1;

impl RunArgs {
    /// The seed of all that is random.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(SEED)
    }

    /// Lays these over the values of a file: a value given here wins, lists as a whole. A way to make arrivals or users
    /// that is given here replaces the other ways in the file.
    pub fn over(self, file: Self) -> Self {
        let by_flags = self.login_url.is_some() || self.token_url.is_some();
        let file = Self {
            targets: if self.target.is_some() { Vec::new() } else { file.targets },
            login: if by_flags { Vec::new() } else { file.login },
            token: if by_flags { Vec::new() } else { file.token },
            rate: file.rate.filter(|_| self.concurrency.is_none() && self.stage.is_empty()),
            stage: if self.rate.is_some() || self.concurrency.is_some() { Vec::new() } else { file.stage },
            arrivals: file.arrivals.filter(|_| self.concurrency.is_none()),
            concurrency: file
                .concurrency
                .filter(|_| self.rate.is_none() && self.arrivals.is_none() && self.stage.is_empty()),
            user: if self.users.is_some() { Vec::new() } else { file.user },
            users: file.users.filter(|_| self.user.is_empty()),
            secret: file.secret.filter(|_| self.key.is_none()),
            key: file.key.filter(|_| self.secret.is_none()),
            ..file
        };
        macro_rules! first {
            (options: $($option:ident)*; lists: $($list:ident)*) => {
                Self {
                    $($option: self.$option.or(file.$option),)*
                    $($list: if self.$list.is_empty() { file.$list } else { self.$list },)*
                }
            };
        }
        first! {
            options: scenario target protocol eio transport namespace path insecure cacert tls_resumption source_ip server_pid server_metrics server_metrics_names connections rate arrivals concurrency warmup
                duration seed processes workers pin hold close echo answered_by message_rate message_bytes message_event timeout connect_timeout
                auth_grace refused_by users login_url login_method token_source token_per token_url token_json_pointer secret key
                alg kid claims token_ttl refresh expect_close_at_exp mix token_in out quiet no_tui prometheus;
            lists: targets header stage user login token expect threshold
        }
    }
}

#[cfg(test)]
impl RunArgs {
    /// The flags of a line, for tests.
    pub(crate) fn parse_line(flags: &str) -> Self {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: RunArgs,
        }
        let words = ["gatecrash"].into_iter().chain(flags.split_whitespace());
        let line: Result<Line, _> = clap::Parser::try_parse_from(words);
        line.unwrap_or_else(|error| panic!("{flags}: {error}")).args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let file = RunArgs {
            connections: Some(10),
            seed: Some(7),
            rate: "100/s".parse().ok(),
            quiet: Some(true),
            ..RunArgs::default()
        };
        for (line, connections, rate, concurrency, why) in [
            ("", 10, Some(100.0), None, "the file's own"),
            ("-c 20", 20, Some(100.0), None, "one flag, one change"),
            ("-r 5/s", 10, Some(5.0), None, "another rate"),
            ("--concurrency 4", 10, None, Some(4), "another model"),
        ] {
            let args = RunArgs::parse_line(line).over(file.clone());
            assert_eq!(args.connections, Some(connections), "{why}");
            assert_eq!(args.rate.map(PerSecond::get), rate, "{why}");
            assert_eq!(args.concurrency, concurrency, "{why}");
            assert_eq!((args.seed, args.quiet), (Some(7), Some(true)), "{why}");
        }
    }
}
