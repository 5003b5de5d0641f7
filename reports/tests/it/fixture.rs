//! Two results as the recorder would make them, from a seeded generator: a good run, and one where much went wrong.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use reports::histogram::LatencyHistogram;
use reports::hlog::HlogWriter;
use reports::schema::*;

/// A second of the run's load, and how many of them.
const RATE_PER_S: u64 = 500;
const SECONDS: u64 = 10;

/// 5,000 handshakes over ten seconds against the embedded server, all established, with its histogram log.
#[expect(clippy::too_many_lines, reason = "a result, field by field")]
pub fn fixture() -> (RunResult, Vec<u8>) {
    let mut dice = Dice { state: 7 };
    let mut whole = Recorder::default();
    let mut hlog = HlogWriter::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_777_888_800));
    let mut intervals = Vec::new();
    for _ in 0..100 {
        whole.record("login", dice.skewed_ns(1_900_000.0, 0.18));
    }
    for second in 0..SECONDS {
        let mut one = Recorder::default();
        // A pause of the server in the sixth second, as a collector or a neighbour makes.
        let slow = if second == 6 { 2.2 } else { 1.0 };
        for _ in 0..RATE_PER_S {
            one.arrival(&mut dice, slow);
        }
        let offset = Duration::from_secs(second);
        for (tag, histogram) in &one.by_tag {
            let length = Duration::from_secs(1);
            hlog.interval(offset, length, tag, histogram).unwrap();
        }
        let established = (second + 1) * RATE_PER_S;
        intervals.push(one.interval(second as u32, established));
        whole.merge(&one);
    }
    let lag_p99_us = whole.distribution("handshake.lag").map(|lag| lag.p99_us);
    let result = RunResult {
        schema: SCHEMA.to_owned(),
        kind: Kind::Run,
        tool: Tool { version: "0.1.0".to_owned() },
        environment: environment(),
        scenario: scenario(),
        started_at: "2026-05-04T10:00:00.250Z".to_owned(),
        duration_s: 10.41,
        totals: Totals { planned: 5_000, started: 5_000, established: 5_000, ..Totals::default() },
        rates: Rates { planned_per_s: 500.0, established_per_s: 499.93 },
        phases: whole.phases(),
        failures: Vec::new(),
        refusals: Vec::new(),
        control: None,
        sockets: Sockets::default(),
        tokens: Tokens::default(),
        messages: Some(Messages { sent: 5_000, answered: 5_000, unanswered: 0 }),
        steps: Vec::new(),
        targets: Vec::new(),
        server: Some(server()),
        machine: Some(Machine { cpu_share: 0.117 }),
        generator: Generator {
            cpu_us_per_handshake: Some(46.2),
            cpu_share: Some(0.0231),
            spin_share: Some(0.0107),
            lag_p99_us,
            rss_bytes_peak: Some(38_273_024),
        },
        validity: Validity { valid: true, reasons: Vec::new() },
        thresholds: vec![
            Threshold {
                text: "established>0".to_owned(),
                observed: Some(5_000.0),
                absent: None,
                unit: Unit::Count,
                pass: true,
            },
            Threshold {
                text: "handshake.p99<50ms".to_owned(),
                observed: whole.distribution("handshake.response").map(|figures| figures.p99_us),
                absent: None,
                unit: Unit::Us,
                pass: true,
            },
            Threshold {
                text: "errors<0.1%".to_owned(),
                observed: Some(0.0),
                absent: None,
                unit: Unit::Share,
                pass: true,
            },
        ],
        verdict: Verdict {
            code: 0,
            name: VerdictName::Pass,
            sentence: "All 5,000 sockets were established on schedule, and every threshold holds.".to_owned(),
        },
        shards: (0..2)
            .map(|index| Shard {
                index,
                process: None,
                planned: 2_500,
                started: 2_500,
                established: 2_500,
                lag_p99_us,
                cpu_us: Some(115_000.0 + 900.0 * f64::from(index)),
                pinned_core: Some(index),
            })
            .collect(),
        intervals,
    };
    (result, hlog.finish())
}

/// The same run with failures, refusals, a missed threshold and doubts, and names that try to become markup.
#[expect(clippy::too_many_lines, reason = "a result, field by field")]
pub fn troubled() -> RunResult {
    let (mut result, _) = fixture();
    result.totals = Totals {
        planned: 5_000,
        started: 4_990,
        established: 4_700,
        refused_expected: 150,
        false_accept: 0,
        false_reject: 3,
        timeout: 40,
        failed: 97,
        interrupted: 0,
        not_sent: 10,
    };
    let failure =
        |phase, kind: &str, count| Failure { phase, kind: kind.to_owned(), count, words: Some(HOSTILE.to_owned()) };
    result.failures = vec![
        failure(Phase::Connect, "reset", 90),
        failure(Phase::Auth, "timeout", 40),
        failure(Phase::Upgrade, HOSTILE, 7),
    ];
    result.refusals = vec![Refusal { token_kind: TokenKind::Expired, reason: HOSTILE.to_owned(), count: 150 }];
    result.sockets.drops = [("closed-1001", 30), (HOSTILE, 2)]
        .map(|(kind, count)| Drop { kind: kind.to_owned(), count, words: None })
        .to_vec();
    result.sockets.dropped = 32;
    if let Some(handshake) = result.phases.get_mut(&PhaseName::Handshake) {
        for kind in [TokenKind::Expired, TokenKind::Replayed] {
            handshake.by_token_kind.insert(kind, handshake.established.clone());
        }
    }
    result.messages = Some(Messages { sent: 5_000, answered: 4_988, unanswered: 12 });
    result.targets = [("a", 3.0, 3_750), (HOSTILE, 1.0, 1_250)]
        .map(|(name, weight, planned)| Target {
            name: name.to_owned(),
            url: "http://127.0.0.1:41207/".to_owned(),
            weight,
            totals: Totals {
                planned,
                started: planned,
                established: planned - 50,
                timeout: 10,
                failed: 40,
                ..Totals::default()
            },
            phases: result.phases.clone(),
            ..Target::default()
        })
        .to_vec();
    result.validity = Validity {
        valid: false,
        reasons: vec![
            "The p99 lag of 7.20 ms exceeds a tenth of the latency objective (5 ms): the generator was late."
                .to_owned(),
            "10 of 5,000 planned arrivals were not sent.".to_owned(),
        ],
    };
    result.thresholds[1].observed = None;
    result.thresholds[1].absent = Some(Absent::InfinitelySlow);
    result.thresholds[1].pass = false;
    result.thresholds[2].observed = Some(0.03);
    result.thresholds[2].pass = false;
    result.verdict = Verdict {
        code: 97,
        name: VerdictName::Invalid,
        sentence: format!(
            "The generator did not keep its schedule against {HOSTILE}, so nothing is known of the server."
        ),
    };
    result.scenario.target = Some(HOSTILE.to_owned());
    result.server = None;
    for interval in result.intervals.iter_mut().skip(6) {
        interval.established -= 75;
        interval.failed = 37;
        interval.refused_expected = 38;
    }
    result
}

/// What a target could answer in the hope that a report runs it.
pub const HOSTILE: &str = "<script src=//x>|'\"&\u{1b}[31m`";

fn environment() -> Environment {
    Environment {
        cpu_model: "AMD EPYC 9654 96-Core Processor".to_owned(),
        cores: 4,
        kernel: "Linux 6.12.0".to_owned(),
        memory_bytes: 16 * 1024 * 1024 * 1024,
        fd_limit: 1_048_576,
    }
}

fn scenario() -> Scenario {
    let text = |text: &str| Some(text.to_owned());
    Scenario {
        target: text("http://127.0.0.1:41207/socket.io/"),
        embedded: true,
        protocol: text("socketio"),
        eio: Some(4),
        transport: text("websocket"),
        path: text("/socket.io/"),
        connections: Some(5_000),
        rate_per_s: Some(500.0),
        arrivals: text("uniform"),
        hold: text("end"),
        echo: Some(1),
        message_bytes: Some(32),
        timeout_s: Some(10.0),
        connect_timeout_s: Some(5.0),
        users: Some(100),
        login_url: text("http://127.0.0.1:41208/login"),
        login_method: text("basic"),
        token_url: text("http://127.0.0.1:41208/getIoConnectionToken"),
        token_source: text("login"),
        token_per: text("connection"),
        token_in: text("query:token"),
        mix: BTreeMap::from([(TokenKind::Valid, 100.0)]),
        workers: Some(2),
        pin: text("auto"),
        seed: Some(1),
        ..Scenario::default()
    }
}

fn server() -> Server {
    let thread = |name: &str, cpu_us| Thread { name: name.to_owned(), cpu_us };
    Server {
        source: "embedded".to_owned(),
        cpu_us: Some(206_000.0),
        cpu_us_per_handshake: Some(41.2),
        cpu_share: Some(0.0103),
        rss_bytes_idle: Some(9_441_280),
        rss_bytes_peak: Some(12_390_400),
        rss_bytes_per_connection: Some(589.8),
        kernel_bytes_per_connection: Some(4_403.2),
        threads: vec![thread("gate-0", 104_000.0), thread("gate-1", 102_000.0)],
        frontend: Some(Frontend { cpu_us: 1_210_000.0, rss_bytes_peak: Some(22_118_400) }),
        ..Server::default()
    }
}

/// Histograms by the tag of the log: a phase, or a composite and its view.
#[derive(Default)]
struct Recorder {
    by_tag: BTreeMap<&'static str, LatencyHistogram>,
}

impl Recorder {
    fn record(&mut self, tag: &'static str, latency_ns: u64) {
        self.by_tag.entry(tag).or_default().record(latency_ns);
    }

    fn arrival(&mut self, dice: &mut Dice, slow: f64) {
        let mut service_ns = 0;
        for (phase, median_ns, spread) in [
            ("connect", 61_000.0, 0.35),
            ("upgrade", 148_000.0, 0.42),
            ("open", 21_000.0, 0.5),
            ("auth", 96_000.0, 0.48),
        ] {
            let latency_ns = dice.skewed_ns(median_ns * slow, spread);
            self.record(phase, latency_ns);
            service_ns += latency_ns;
        }
        self.record("token", dice.skewed_ns(410_000.0, 0.3));
        let lag_ns = dice.skewed_ns(9_000.0, 0.6);
        self.record("handshake.lag", lag_ns);
        self.record("handshake.service", service_ns);
        self.record("handshake.response", service_ns + lag_ns);
        let echo_ns = dice.skewed_ns(88_000.0 * slow, 0.4);
        self.record("echo.lag", lag_ns);
        self.record("echo.service", echo_ns);
        self.record("echo.response", echo_ns + lag_ns);
    }

    fn merge(&mut self, other: &Self) {
        for (tag, histogram) in &other.by_tag {
            self.by_tag.entry(tag).or_default().merge(histogram);
        }
    }

    fn distribution(&self, tag: &str) -> Option<Distribution> {
        self.by_tag.get(tag).map(LatencyHistogram::distribution)
    }

    fn interval(&self, second: u32, held: u64) -> Interval {
        let quantile_us = |tag: &str, quantile| {
            let histogram = self.by_tag.get(tag)?;
            Some(histogram.quantile_ns(quantile) as f64 / 1e3)
        };
        Interval {
            second,
            planned: RATE_PER_S,
            started: RATE_PER_S,
            established: RATE_PER_S,
            refused_expected: 0,
            failed: 0,
            held,
            echoes: RATE_PER_S,
            handshake_p50_us: quantile_us("handshake.response", 0.5),
            handshake_p99_us: quantile_us("handshake.response", 0.99),
            handshake_max_us: quantile_us("handshake.response", 1.0),
            lag_p99_us: quantile_us("handshake.lag", 0.99),
            echo_p50_us: quantile_us("echo.response", 0.5),
            echo_p99_us: quantile_us("echo.response", 0.99),
            sent_bytes: 312_500,
            received_bytes: 181_000,
        }
    }

    fn phases(&self) -> BTreeMap<PhaseName, PhaseLatencies> {
        let of = |phase: PhaseName| {
            let view = |view: &str| self.distribution(&format!("{phase}.{view}"));
            let service = self.distribution(&phase.to_string()).or_else(|| view("service"))?;
            let established = Latencies {
                count: service.count,
                response: view("response"),
                service: Some(service),
                lag: view("lag"),
            };
            let latencies = PhaseLatencies {
                by_outcome: BTreeMap::from([(Outcome::Established, established.clone())]),
                by_token_kind: BTreeMap::from([(TokenKind::Valid, established.clone())]),
                established,
            };
            Some((phase, latencies))
        };
        PhaseName::ALL.into_iter().filter_map(of).collect()
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers on every machine.
struct Dice {
    state: u64,
}

impl Dice {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Log-normal, as latencies are: a normal deviate from twelve even ones, and one in 250 three times as long.
    fn skewed_ns(&mut self, median_ns: f64, spread: f64) -> u64 {
        let normal = (0..12).map(|_| self.part()).sum::<f64>() - 6.0;
        let tail = if self.part() < 0.004 { 3.0 } else { 1.0 };
        (median_ns * (normal * spread).exp() * tail) as u64
    }
}
